"""The report as a table: one row per image, in the order of the files; as CSV, NPZ, Parquet, and for Label Studio."""

import importlib.util
import io
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from cdlearn import checkpoint
from cdlearn.analysis import names
from cdlearn.analysis.summary import NEIGHBOURS, Analysis
from cdlearn.pages.contents import TIERS, Contents

THUMBNAIL = 64  # px of the pictures in the Parquet file


def data_frame(analysis: Analysis) -> pd.DataFrame:
    """A row per image, with the columns

    - ``file``; ``class`` where folders name one; ``cluster``, and ``cluster_name`` where names.json has any;
    - ``x``, ``y`` on the map; ``distance``, the mean to the nearest neighbours;
    - ``outlier_rank`` (1 is the strangest) and ``outlier_reason``;
    - ``duplicate_of`` (the file to keep in its stead, or empty) and ``duplicate_tier``;
    - ``issues`` of quality at the thresholds that the page begins with ("dark; blurred"), and every measure;
    - ``width``, ``height``, ``bytes`` of the file; ``label_first`` (1 is the first to label, 0 for none);
      ``new`` with --since;
    - every head that the report shows, by its name in names.json, else ``head_N``.
    """
    shown = analysis.contents
    files = np.array(shown.files, dtype=object)
    columns: dict[str, object] = {"file": files}
    if shown.labels is not None:
        columns["class"] = np.array(shown.classes, dtype=object)[shown.labels]
    if shown.k:
        columns["cluster"] = shown.clusters[shown.k]
        given = shown.names.get("clusters", {}).get(shown.k)
        if given:
            columns["cluster_name"] = [given.get(cluster, "") for cluster in columns["cluster"].tolist()]
    columns |= {"x": shown.xy[:, 0], "y": shown.xy[:, 1], "distance": analysis.strangeness}
    columns |= {"outlier_rank": analysis.outlier_rank, "outlier_reason": analysis.outlier_reason}
    copied = analysis.duplicate_of >= 0
    columns["duplicate_of"] = np.where(copied, files[analysis.duplicate_of], "")
    columns["duplicate_tier"] = np.where(copied, np.array(TIERS, dtype=object)[analysis.duplicate_tier], "")
    columns |= {"issues": issues(shown), **shown.measures}
    columns |= {name: getattr(shown, name) for name in ("width", "height", "bytes") if getattr(shown, name) is not None}
    first = np.zeros(len(files), int)
    first[shown.label_first] = np.arange(1, len(shown.label_first) + 1)
    columns["label_first"] = first
    if shown.since:
        columns["new"] = shown.since["new"].astype(int)
    heads = names.columns([head["number"] for head in shown.heads], shown.names.get("heads", {}), columns)
    for column, name in enumerate(heads):
        columns[name] = shown.answers[:, column].astype(np.float32)
    return pd.DataFrame(columns)


def issues(shown: Contents) -> list[str]:
    """The names of each image's issues, joined by "; "."""
    found: list[list[str]] = [[] for _ in shown.files]
    for issue in shown.quality:
        for image in shown.flagged(issue).tolist():
            found[image].append(issue["name"])
    return ["; ".join(names) for names in found]


def write(analysis: Analysis, beside: Path) -> list[Path]:
    """Write ``beside`` with the endings .csv, .npz and, where pyarrow is installed, .parquet; returns the paths.

    The .npz holds the columns (``file`` as ``files``) and, for ``cdlearn.load(RUN).predict``, the ``centres`` (k, D) of
    the clusters and the ``stage`` that they are of. The .parquet has what Embedding Atlas shows, see
    :func:`with_pictures`. Each file is written whole or not at all.

    Raises:
        UserError: where one cannot be written.
    """
    rows = data_frame(analysis)
    text = rows.to_csv(index=False, float_format="%.5g", lineterminator="\n")
    made = {".csv": lambda file: file.write(text.encode())}
    arrays = {name: of.to_numpy() if is_numeric_dtype(of) else np.array(of.tolist()) for name, of in rows.items()}
    if analysis.centres is not None:
        arrays |= {"centres": analysis.centres, "stage": np.array(analysis.stage)}
    arrays["files"] = arrays.pop("file")  # numpy keeps the other name for itself
    made[".npz"] = lambda file: np.savez_compressed(file, **arrays)
    if importlib.util.find_spec("pyarrow"):
        made[".parquet"] = lambda file: with_pictures(analysis, rows).to_parquet(file, index=False)
    for ending, content in made.items():
        checkpoint.write(beside.with_name(beside.name + ending), content)
    return [beside.with_name(beside.name + ending) for ending in made]


def with_pictures(analysis: Analysis, rows: pd.DataFrame) -> pd.DataFrame:
    """The table with ``image`` and ``neighbors``, as Embedding Atlas reads them.

    ``embedding-atlas report-images.parquet --x x --y y --image image --neighbors neighbors``. An image is a struct of
    ``bytes`` (JPEG, THUMBNAIL px) and ``path``, as Hugging Face has it; neighbours are a struct of ``ids``, row numbers
    from the nearest on, and ``distances``.
    """
    near, far = (of[:, :NEIGHBOURS] for of in (analysis.neighbours, analysis.distance))
    pictures = [{"bytes": jpeg(analysis.contents, i), "path": name} for i, name in enumerate(rows["file"])]
    neighbours = [
        {"ids": ids, "distances": distances} for ids, distances in zip(near.tolist(), far.tolist(), strict=True)
    ]
    return rows.assign(image=pictures, neighbors=neighbours)


def jpeg(shown: Contents, image: int) -> bytes:
    """A small picture of an image."""
    buffer = io.BytesIO()
    shown.thumbnail(image, THUMBNAIL).convert("RGB").save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def label_studio(analysis: Analysis, path: Path, prefix: str) -> Path:
    """Write tasks for Label Studio as CSV: ``image`` is ``prefix`` + the file's name, those to label first come first.

    For files that Label Studio serves itself the prefix is "/data/local-files/?d=FOLDER/" (LOCAL_FILES_SERVING).
    The other columns can be shown beside the picture: ``file``, ``cluster``, ``outlier_reason``, ``issues``. Copies by
    the two most certain tiers are left out, because their labels follow.

    Raises:
        UserError: where it cannot be written.
    """
    rows = data_frame(analysis)
    rows.insert(0, "image", [prefix + quote(name) for name in rows["file"]])
    rows = rows[~rows["duplicate_tier"].isin(TIERS[:2])]
    rows = rows.iloc[np.lexsort((rows.index, np.where(rows["label_first"] > 0, rows["label_first"], len(rows) + 1)))]
    kept = [name for name in ("image", "file", "cluster", "cluster_name", "outlier_reason", "issues") if name in rows]
    text = rows[kept].to_csv(index=False, lineterminator="\n")
    checkpoint.write(path, lambda file: file.write(text.encode()))
    return path
