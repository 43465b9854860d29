"""What changed since an earlier report, and clusters that keep their numbers (``report --since RUN``)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from cdlearn.runtime.errors import UserError


@dataclass(frozen=True)
class Earlier:
    """An earlier report's table: ``name`` of its run, ``files``, and ``cluster`` and ``bytes`` per file, or None."""

    name: str
    files: list[str]
    cluster: np.ndarray | None
    bytes: np.ndarray | None


def earlier(report: Path) -> Earlier:
    """Read the table of a report: of a run's folder, or the ``…-images.npz`` itself.

    Raises:
        UserError: where there is none, or it cannot be read.
    """
    path = report / "report-images.npz" if report.is_dir() else report
    try:
        with np.load(path, allow_pickle=False) as table:
            parts = {name: table.get(name) for name in ("cluster", "bytes")}
            return Earlier(path.resolve().parent.name, table["files"].tolist(), **parts)
    except FileNotFoundError as error:
        raise UserError(
            f"no earlier report at {path}; make one: python -m cdlearn.report {report}, or name its …-images.npz"
        ) from error
    except Exception as error:  # numpy and zipfile raise half a dozen kinds for damaged files
        raise UserError(
            f"{path} is no table of a report ({error}); name a run with a report, or its …-images.npz"
        ) from (error)


def changes(before: Earlier, names: list[str], size: np.ndarray | None) -> dict:
    """For the page: see ``since`` of cdlearn.pages.contents.Contents. size: bytes of each of the ``names``."""
    at = {name: number for number, name in enumerate(before.files)}
    old = np.array([at.get(name, -1) for name in names])
    gone = sorted(set(before.files) - set(names))
    changed = []
    if size is not None and before.bytes is not None:
        other = (old >= 0) & (before.bytes[old] != size)
        changed = [names[number] for number in np.flatnonzero(other)]
    new = old < 0
    parts = [f"{int(new.sum()):,} image{' is' if new.sum() == 1 else 's are'} new", f"{len(gone):,} gone"]
    parts += [f"{len(changed):,} changed"] if changed else []
    says = f"Since the report of {before.name}: {', '.join(parts)}, of {len(names):,} now."
    return {"run": before.name, "new": new, "gone": gone, "changed": changed, "says": says}


def numbered_as(before: Earlier, names: list[str], of: np.ndarray, k: int) -> np.ndarray | None:
    """New number -> old number of ``k`` clusters, (k,), by the files that both reports have; None where k differs.

    The numbers are paired so that as many files as possible keep theirs.
    """
    if before.cluster is None or int(before.cluster.max(initial=-1)) + 1 != k:
        return None
    then = dict(zip(before.files, before.cluster.tolist(), strict=True))
    shared = np.zeros((k, k), int)
    for name, cluster in zip(names, of.tolist(), strict=True):
        if then.get(name, -1) >= 0:
            shared[cluster, then[name]] += 1
    return linear_sum_assignment(-shared)[1] if shared.any() else None
