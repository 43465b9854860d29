"""The report as a table: one row per image, in the order of the files; as CSV, NPZ and, with pyarrow, Parquet."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from cdlearn import checkpoint
from cdlearn.analysis import Analysis


def table(analysis: Analysis) -> pd.DataFrame:
    """Columns ``file``, ``class`` where folders name one, ``cluster``, ``x``, ``y``, ``distance`` (to the nearest
    neighbours), ``duplicate_of`` (a file, or empty) and ``head_N`` for every head that the report shows."""
    shown = analysis.contents
    names = np.array(shown.files, dtype=object)
    columns: dict[str, object] = {"file": names}
    if shown.labels is not None:
        columns["class"] = np.array(shown.classes, dtype=object)[shown.labels]
    if shown.k:
        columns["cluster"] = shown.clusters[shown.k]
    columns |= {"x": shown.xy[:, 0], "y": shown.xy[:, 1], "distance": analysis.strangeness}
    columns["duplicate_of"] = np.where(analysis.duplicate_of >= 0, names[analysis.duplicate_of], "")
    for column, head in enumerate(shown.heads):
        columns[f"head_{head['number']}"] = shown.answers[:, column].astype(np.float32)
    return pd.DataFrame(columns)


def write(analysis: Analysis, beside: Path) -> list[Path]:
    """Write ``beside`` with the endings .csv, .npz and, where pyarrow is installed, .parquet; returns the paths.

    The .npz holds the columns (``file`` as ``files``) and, for ``cdlearn.load(RUN).predict``, the ``centres`` (k, D) of
    the clusters and the ``stage`` that they are of. Each file is written whole or not at all.

    Raises:
        UserError: where one cannot be written.
    """
    rows = table(analysis)
    text = rows.to_csv(index=False, float_format="%.5g", lineterminator="\n")
    made = {".csv": lambda file: file.write(text.encode())}
    arrays = {name: of.to_numpy() if is_numeric_dtype(of) else np.array(of.tolist()) for name, of in rows.items()}
    if analysis.centres is not None:
        arrays |= {"centres": analysis.centres, "stage": np.array(analysis.stage)}
    arrays["files"] = arrays.pop("file")  # numpy keeps the other name for itself
    made[".npz"] = lambda file: np.savez_compressed(file, **arrays)
    if importlib.util.find_spec("pyarrow"):
        made[".parquet"] = lambda file: rows.to_parquet(file, index=False)
    for ending, content in made.items():
        checkpoint.write(beside.with_name(beside.name + ending), content)
    return [beside.with_name(beside.name + ending) for ending in made]
