"""What a trained network says about images that nobody sorted: the analysis behind ``python -m cdlearn.report``.

One embedding and one graph of nearest neighbours serve the map, the neighbours, the near-duplicates and the outliers.
No label is used; those that the names of folders give are only passed on, to colour the map by.
"""

import hashlib
import platform
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from cdlearn import checkpoint
from cdlearn.analysis import clusters, neighbours, tsne
from cdlearn.analysis.cache import Cache
from cdlearn.analysis.images import Source, opened
from cdlearn.analysis.pipeline import STAGES, Pipeline
from cdlearn.config import Config
from cdlearn.data import NAMES, folders
from cdlearn.data.fingerprints import is_of
from cdlearn.pages.contents import TIERS, Contents
from cdlearn.results.run_folder import data_name, folder_of
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import UserError

NEIGHBOURS = 12  # of each image that the page is given
OUTLIERS = 60
GROUPS = 300  # of near-duplicates in each tier of the page; the table names them all


@dataclass(frozen=True)
class Analysis:
    """A report's contents, and what only the table and ``cdlearn.load`` need.

    strangeness: (N,) mean distance to the nearest neighbours. duplicate_of: (N,) number of the first image of its group
    of near-duplicates, -1 for none, by the first two tiers (the third proves nothing). centres: (k, D), of the clusters
    that the page begins with, among the features of ``stage`` at length 1; None where there are too few images.
    """

    contents: Contents
    strangeness: np.ndarray
    duplicate_of: np.ndarray
    centres: np.ndarray | None
    stage: str


def analyse(
    run: str | Path,
    data: str | None = None,
    limit: int | None = None,
    stage: str = "backbone",
    device: str = "",
    progress: bool = False,
    root: str | Path = "data",
    cache: bool = True,
) -> Analysis:
    """Look at every image through a run's network.

    Args:
        run: the folder of a run.
        data: a folder, or the name of a data set; None takes the run's own and its limit.
        limit: take this many images, drawn with the run's seed.
        stage: ``backbone`` or ``output``: the features between which distances are measured.
        root: where downloads and decoded folders are kept.
        cache: keep finished parts in run/report-cache, and take up those that are there.

    Raises:
        UserError: naming the run, folder or file at fault, and the mend.
    """
    run = folder_of(Path(run))
    if stage not in STAGES:
        raise UserError(f"unknown stage {stage!r}; there are {' and '.join(STAGES)}")
    model, config = checkpoint.load_model(run)
    source = opened(asked(run, config, data, limit), Path(root), progress, folders.reading_of(run, config))
    model.to(pick_device(device), memory_format=torch.channels_last)
    kept = Cache(run / "report-cache" if cache else None, cache_key(run, source))
    parts = Pipeline(model, config, source, stage, kept, progress)
    state = checkpoint.read(run / "checkpoint.pt")
    told = notes(run, config, stage) | {"learned from": learned_from(state, source)}
    return summed_up(parts, source, checkpoint.progress(state)[-1], told)


def asked(run: Path, config: Config, data: str | None, limit: int | None) -> Config:
    """The run's settings with the images to look at. Raises UserError for wrong ones, or when the run's are gone."""
    if data is not None:
        wanted = replace(config, data=data, limit=limit)
    else:
        wanted = config if limit is None else replace(config, limit=limit)
        if config.data not in NAMES and not Path(config.data).is_dir():
            raise UserError(f"{run} was trained on {config.data}, and there is no such folder now; pass --data FOLDER")
    wanted.check()
    return wanted


def learned_from(state: dict, source: Source) -> str:
    """Whether the run saw these very images in its training."""
    same = is_of(state.get("images"), source.images)
    return "these images" if same else "other images than these, or these before some were added, changed or removed"


def cache_key(run: Path, source: Source) -> str:
    """Changes with the weights, with the settings and with any of the files."""
    digest = hashlib.sha256(b"1" + source.key.encode())
    digest.update((run / "checkpoint.pt").read_bytes())
    return digest.hexdigest()[:16]


def summed_up(parts: Pipeline, source: Source, history: list[dict], notes: dict[str, str]) -> Analysis:
    """Every part as the page wants it."""
    number, distance = parts.graph
    xy, found, groups = parts.map, parts.clusters, parts.duplicates
    answers, shown = parts.heads
    strange = neighbours.strangeness(distance)
    strangest = np.argsort(-strange, kind="stable")[:OUTLIERS] if distance.shape[1] else []
    ledger = source.ledger()
    for tier in TIERS:
        more = sum(group["tier"] == tier for group in groups) - GROUPS
        if more > 0:
            ledger["notes"].append(f"{more:,} more groups of near-duplicates ({tier}) are in the table alone.")
    contents = Contents(
        title=source.title,
        files=source.names,
        thumbnail=source.thumbnail,
        xy=xy,
        picture=source.picture(),
        labels=source.labels,
        classes=source.classes,
        answers=answers[:, [head["number"] for head in shown]].astype(np.float16) if shown else None,
        heads=shown,
        clusters={k: part["of"] for k, part in found.parts.items()},
        silhouette=found.silhouette,
        stability={k: float(part["stability"]) for k, part in found.parts.items()},
        medoids={k: part["medoids"].tolist() for k, part in found.parts.items()},
        k=found.k,
        advice=found.advice,
        neighbours=number[:, :NEIGHBOURS],
        duplicates=[group for tier in TIERS for group in [g for g in groups if g["tier"] == tier][:GROUPS]],
        outliers=[(int(i), float(strange[i])) for i in strangest],
        outlier_score=f"mean distance to its {min(neighbours.NEAR, distance.shape[1])} nearest neighbours",
        curves=history,
        ledger=ledger,
        notes=notes | {"heads": f"{len(shown)} of {answers.shape[1]} are shown; {notes['heads']}"},
    )
    duplicate_of = np.full(len(xy), -1)
    for group in reversed([group for group in groups if group["tier"] != TIERS[2]]):  # the surest has the last word
        duplicate_of[group["images"][1:]] = group["images"][0]
    centres = found.parts[found.k]["centres"] if found.k else None
    return Analysis(contents, strange, duplicate_of, centres, parts.stage)


def notes(run: Path, config: Config, stage: str) -> dict[str, str]:
    """How the report was made, for its last table."""
    what = {"backbone": "h, the backbone's features", "output": "the heads' answers y"}[stage]
    settings = ", ".join(f"{name} {value}" for name, value in config.as_dict().items() if name != "data")
    return {
        "run": run.resolve().name,  # names without their place: a page is made to be passed on
        "trained on": data_name(config.data),
        "settings": settings,
        "distances": f"Euclidean between {what}, scaled to length 1: 0 is the same direction, 1.41 a right angle",
        "map": f"t-SNE (openTSNE), perplexity {tsne.PERPLEXITY:g}, from the {neighbours.NEIGHBOURS} nearest neighbours",
        "heads": "none repeats one before it (|r| < 0.7); ordered without labels, by spread x agreement of two views x "
        "square root of how many heads say the same",
        "clusters": f"K-means on the features above, up to k = {clusters.LARGEST}",
        "versions": ", ".join(
            [f"Python {platform.python_version()}"]
            + [f"{name} {version(name)}" for name in ("torch", "scikit-learn", "openTSNE", "pillow")]
        ),
    }
