"""Features of any other network from a file: .npy, .npz, or .parquet, with or without the files that they are of."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

from cdlearn.runtime.errors import UserError

NAMED = ("file", "files", "path", "filename")  # what a column or an array of the files' names may be called


def read(path: Path) -> tuple[np.ndarray, list[str] | None]:
    """(features (N, D), the names of the N files where the file gives them, else None).

    A .npz holds one array of features, and possibly one of names. A .parquet holds a column of lists, or a column per
    feature; a column ``file`` or ``path`` names the files. Any other column that is no number is refused.

    Raises:
        UserError: for a file that is missing, damaged, or of another kind.
    """
    readers = {".npy": from_npy, ".npz": from_npz, ".parquet": from_parquet}
    if not path.is_file():
        raise UserError(f"no file at {path}; --features takes {', '.join(readers)}")
    if path.suffix not in readers:
        raise UserError(f"{path} is no file of features; --features takes {', '.join(readers)}")
    try:
        return readers[path.suffix](path)
    except UserError:
        raise
    except Exception as error:  # numpy, zipfile and pyarrow each raise their own kinds
        raise UserError(f"{path} is damaged, or holds more than numbers ({error}); write it anew") from error


def from_npy(path: Path) -> tuple[np.ndarray, None]:
    """See :func:`read`."""
    return np.load(path, allow_pickle=False), None


def from_npz(path: Path) -> tuple[np.ndarray, list[str] | None]:
    """See :func:`read`."""
    with np.load(path, allow_pickle=False) as arrays:
        held = dict(arrays)
    names = next((held.pop(name).tolist() for name in NAMED if name in held), None)
    if len(held) != 1:
        raise UserError(f"{path} holds {len(held)} arrays ({', '.join(held)}); it must be the features alone")
    return next(iter(held.values())), names


def from_parquet(path: Path) -> tuple[np.ndarray, list[str] | None]:
    """See :func:`read`."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError(f"{path} needs pyarrow: pip install pyarrow, or give the features as .npy")
    rows = pd.read_parquet(path)
    names = next((rows.pop(name).astype(str).tolist() for name in NAMED if name in rows), None)
    lists = [name for name in rows if rows[name].map(lambda value: isinstance(value, (list, np.ndarray))).all()]
    if len(lists) == 1:
        return np.stack([np.asarray(value) for value in rows[lists[0]]]), names
    words = [str(name) for name in rows if not pd.api.types.is_numeric_dtype(rows[name])]
    if words or lists:
        raise UserError(
            f"{path} has the columns {', '.join(words or lists)}; besides file or path there may be one column of "
            "lists, or a column of numbers for each feature"
        )
    return rows.to_numpy(), names


def in_order(features: np.ndarray, given: list[str], wanted: list[str], name: str) -> np.ndarray:
    """The rows of ``features`` in the order of ``wanted``, by the names ``given`` for them.

    Raises:
        UserError: for an image without features, naming it, and for more or fewer names than features. Rows of files
            that are not there are left out in silence.
    """
    if len(given) != len(features):
        raise UserError(f"{name} names {len(given):,} files for {len(features):,} rows of features; write it anew")
    place = {file: number for number, file in enumerate(given)}
    missing = [file for file in wanted if file not in place]
    if missing:
        raise UserError(
            f"{name} has no features for {len(missing):,} of {len(wanted):,} images, such as {missing[0]}; its files "
            f"are named like {given[0] if given else 'nothing'}"
        )
    return features[[place[file] for file in wanted]]
