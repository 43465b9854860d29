"""What a trained network finds in images without labels: the analysis behind ``python -m cdlearn.report``.

One embedding and one graph of nearest neighbours serve the map, the neighbours, the near-duplicates and the outliers.
No label is used; those that the names of folders give are only passed on, to colour the map by.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cdlearn import checkpoint
from cdlearn.analysis import given_features, names
from cdlearn.analysis.cache import Cache
from cdlearn.analysis.images import Source, opened
from cdlearn.analysis.pipeline import STAGES, Pipeline
from cdlearn.analysis.since import earlier
from cdlearn.analysis.summary import Analysis, how, notes, recipe, summed_up
from cdlearn.config import Config
from cdlearn.data import NAMES, folders
from cdlearn.data.fingerprints import is_of
from cdlearn.results.run_folder import folder_of
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import UserError
from cdlearn.runtime.paths import expanded

__all__ = ["STAGES", "Analysis", "Pipeline", "analyse", "analyse_features", "names"]
GIVEN_SIZE = 64  # px at which the pictures themselves are compared where there is no network with an input size


def analyse(
    run: str | Path,
    data: str | None = None,
    limit: int | None = None,
    stage: str = "backbone",
    device: str = "",
    progress: bool = False,
    root: str | Path = "data",
    cache: bool = True,
    since: str | Path | None = None,
) -> Analysis:
    """Analyse every image with a run's network.

    Args:
        run: the folder of a run.
        data: a folder, or the name of a data set; None takes the run's own and its limit.
        limit: take this many images, drawn with the run's seed.
        stage: ``backbone`` or ``output``: the features between which distances are measured.
        root: where downloads and decoded folders are kept.
        cache: keep finished parts in run/report-cache, and take up those that are there.
        since: a run with a report, to list what is new and to keep the numbers of its clusters.

    Raises:
        UserError: naming the run, folder or file at fault, and the fix.
    """
    run = folder_of(run)
    if stage not in STAGES:
        raise UserError(f"unknown stage {stage!r}; there are {' and '.join(STAGES)}")
    before, named = earlier(Path(since)) if since else None, names.read(run)
    model, config = checkpoint.load_model(run)
    source = opened(asked(run, config, data, limit), expanded(root), progress, folders.reading_of(run, config))
    model.to(pick_device(device), memory_format=torch.channels_last)
    key = cache_key((run / "checkpoint.pt").read_bytes(), source)
    parts = Pipeline(model, config, source, stage, Cache(run / "report-cache" if cache else None, key), progress)
    state = checkpoint.read(run / "checkpoint.pt")
    return summed_up(
        parts,
        source,
        run=run.resolve().name,
        key=key,
        history=checkpoint.progress(state)[-1],
        notes=notes(run, config, stage) | {"learned from": learned_from(state, source)},
        names=named,
        recipe=recipe(config),
        before=before,
    )


def analyse_features(
    features: np.ndarray,
    data: str,
    name: str = "features",
    limit: int | None = None,
    seed: int = 0,
    progress: bool = False,
    root: str | Path = "data",
    cache: Path | None = None,
    since: str | Path | None = None,
    files: list[str] | None = None,
) -> Analysis:
    """The same for features of any other network, without heads, curves and the tests that need a network.

    Args:
        features: (N, D), a row per image that can be read, in the order of their sorted paths.
        data: the folder of the images, or the name of a data set.
        name: what the features are called, in the title and the notes: the file's name.
        limit, seed: take this many images, drawn with ``seed``; the features are of these.
        cache: the folder for finished parts; None keeps nothing.
        files: N names of files below the folder, where the features are in another order, or of more images.

    Raises:
        UserError: for features of another number than the images, or not finite, and as :func:`analyse`.
    """
    before = earlier(Path(since)) if since else None
    features = np.asarray(features)
    config = Config.preset("laptop", data=data, limit=limit, seed=seed, size=GIVEN_SIZE)
    source = replace(opened(config, Path(root), progress), size=0)
    if files is not None:
        features = given_features.in_order(features, files, source.names, name)
    features = checked(features, name, data, len(source.names))
    key = cache_key(features.tobytes(), source)
    parts = Pipeline(None, config, source, "backbone", Cache(cache, key), progress, features)
    notes = {"features": f"{features.shape[1]} per image, from {name}"} | how(f"the features of {name}")
    return summed_up(parts, source, run=name, key=key, history=[], notes=notes, names={}, recipe=name, before=before)


def checked(features: np.ndarray, name: str, data: str, n: int) -> np.ndarray:
    """Features as float32 (n, D). Raises UserError for other shapes, and for what are no finite numbers."""
    numbers = features.dtype.kind in "fiu"
    finite = numbers and bool(np.isfinite(features).all())
    if finite and features.ndim == 2 and len(features) == n and features.shape[1]:
        return features.astype(np.float32)
    what = "" if finite else ", not all finite" if numbers else f" of {features.dtype}"
    raise UserError(
        f"{name} holds {' x '.join(map(str, features.shape))}{what}; it must be N x D finite numbers, a row for each "
        f"of the {n:,} images of {data} that can be read, in the order of their sorted paths"
    )


def asked(run: Path, config: Config, data: str | None, limit: int | None) -> Config:
    """The run's settings with the images to look at. Raises UserError for wrong ones, or when the run's are gone."""
    if data is not None:
        wanted = replace(config, data=data, limit=limit)
    else:
        wanted = config if limit is None else replace(config, limit=limit)
        if config.data not in NAMES and not expanded(config.data).is_dir():
            raise UserError(f"{run} was trained on {config.data}, and there is no such folder now; pass --data FOLDER")
    wanted.check()
    return wanted


def learned_from(state: dict, source: Source) -> str:
    """Whether the run saw these very images in its training."""
    same = is_of(state.get("images"), source.images)
    return "these images" if same else "other images than these, or these before some were added, changed or removed"


def cache_key(of: bytes, source: Source) -> str:
    """Changes with ``of`` (weights and settings, or features), with any of the files, and with the parts' meaning."""
    digest = hashlib.sha256(b"2" + source.key.encode())
    digest.update(of)
    return digest.hexdigest()[:16]
