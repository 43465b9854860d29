"""Every part of the analysis as the page and the table want it."""

import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

from cdlearn import tsne
from cdlearn.analysis import clusters, density, duplicates, neighbours, outliers, quality, since
from cdlearn.analysis.images import Source
from cdlearn.analysis.label_first import label_first
from cdlearn.analysis.pipeline import Pipeline
from cdlearn.config import Config
from cdlearn.pages.contents import TIERS, Contents
from cdlearn.results.run_folder import data_name

NEIGHBOURS = 12  # of each image that the page is given
OUTLIERS = 60
GROUPS = 300  # of near-duplicates in each tier of the page; the table names them all
COPIED = (TIERS[0], TIERS[1])  # tiers that prove a copy


@dataclass(frozen=True)
class Analysis:
    """A report's contents, and what only the table and ``cdlearn.load`` need.

    strangeness: (N,) mean distance to the nearest neighbours. duplicate_of: (N,) number of the image to keep in its
    stead, -1 for none, by the most certain tier that has it; duplicate_tier: (N,) the number of that tier in
    :data:`~cdlearn.pages.contents.TIERS`, else -1. centres: (k, D), of the clusters that the page begins with, among
    the features of ``stage`` at unit norm; None where there are too few images. outlier_rank: (N,), 1 for the
    strangest; outlier_reason: N texts, empty
    beyond the first OUTLIERS. neighbours, distance: the graph (N, M). folder: of the images, None for a named
    data set.
    """

    contents: Contents
    strangeness: np.ndarray
    duplicate_of: np.ndarray
    centres: np.ndarray | None
    stage: str
    duplicate_tier: np.ndarray
    outlier_rank: np.ndarray
    outlier_reason: list[str] = field(default_factory=list)
    neighbours: np.ndarray | None = None
    distance: np.ndarray | None = None
    folder: Path | None = None


def summed_up(
    parts: Pipeline,
    source: Source,
    *,
    run: str,
    key: str,
    history: list[dict],
    notes: dict[str, str],
    names: dict,
    recipe: str = "",
    before: since.Earlier | None = None,
) -> Analysis:
    """The whole report.

    Args:
        run: its name, for the title.
        key: changes with the run and the images.
        names: from cdlearn.analysis.names.read.
        before: an earlier report to compare with.
    """
    number, distance = parts.graph
    n, found = len(parts.map), renumbered(parts.clusters, source, before)
    outputs, shown = parts.heads
    sizes, measures, strange = parts.sizes, parts.quality, parts.outliers
    groups = parts.duplicates
    of, tier = duplicates.duplicate_of(groups, n)
    proven, _ = duplicates.duplicate_of([group for group in groups if group["tier"] in COPIED], n)
    reasons = [outliers.reason(strange, measures, i) if strange["rank"][i] <= OUTLIERS else "" for i in range(n)]
    near = neighbours.strangeness(distance)
    contents = Contents(
        title=f"{source.title} · {run}" if run else source.title,
        key=key,
        recipe=recipe,
        files=source.names,
        thumbnail=source.thumbnail,
        whole=source.whole if source.files else None,
        xy=parts.map,
        picture=source.picture(),
        **(sizes or {}),
        measures=measures,
        quality=quality.issues(measures),
        labels=source.labels,
        classes=source.classes,
        answers=outputs[:, [head["number"] for head in shown]].astype(np.float16) if shown else None,
        heads=shown,
        names=names,
        clusters={k: part["of"] for k, part in found.parts.items()},
        silhouette=found.silhouette,
        chance=found.chance,
        stability={k: float(part["stability"]) for k, part in found.parts.items()},
        medoids={k: part["medoids"].tolist() for k, part in found.parts.items()},
        k=found.k,
        advice=found.advice,
        density=density.for_page(parts.density),
        neighbours=number[:, :NEIGHBOURS],
        duplicates=[group for name in TIERS for group in [g for g in groups if g["tier"] == name][:GROUPS]],
        outliers=[(int(i), float(strange["score"][i]), reasons[i]) for i in np.argsort(strange["rank"])[:OUTLIERS]]
        if n > 1
        else [],
        outlier_score=outliers.SCORE,
        label_first=label_first(parts.rows, near, proven >= 0),
        since=before and since.changes(before, source.names, sizes and sizes["bytes"]),
        tests=parts.tests,
        curves=history,
        ledger=ledger(source, groups),
        notes=notes | ({"heads": f"{len(shown)} of {outputs.shape[1]} are shown; {ABOUT_HEADS}"} if shown else {}),
    )
    centres = found.parts[found.k]["centres"] if found.k else None
    return Analysis(
        contents, near, of, centres, parts.stage, tier, strange["rank"], reasons, number, distance, source.folder
    )


def renumbered(found: clusters.Clusterings, source: Source, before: since.Earlier | None) -> clusters.Clusterings:
    """The clusters with the numbers that an earlier report gave them, and beginning with its k, where that is tried."""
    if before is None or before.cluster is None:
        return found
    k = int(before.cluster.max(initial=-1)) + 1
    numbers = since.numbered_as(before, source.names, found.parts[k]["of"], k) if k in found.parts else None
    if numbers is None:
        return found
    part, order = found.parts[k], np.argsort(numbers)
    kept = part | {
        "of": numbers[part["of"]].astype(np.int32),
        "centres": part["centres"][order],
        "medoids": part["medoids"][order],
    }
    advice = f"{found.advice} The page begins with the k = {k} of the report of {before.name}, its numbers kept."
    return clusters.Clusterings(found.parts | {k: kept}, found.silhouette, k, found.clear, advice, found.chance)


def ledger(source: Source, groups: list[dict]) -> dict:
    """The files' book-keeping, and what of the duplicates is in the table alone."""
    book = source.ledger()
    for tier in TIERS:
        more = sum(group["tier"] == tier for group in groups) - GROUPS
        if more > 0:
            book["notes"].append(f"{more:,} more groups of near-duplicates ({tier}) are in the table alone.")
    return book


ABOUT_HEADS = (
    "none repeats one before it (|r| < 0.7); ordered without labels, by spread x agreement of two views x square root "
    "of how many heads agree with it"
)


def how(stage: str) -> dict[str, str]:
    """How distances, map and clusters were made, for the report's last table."""
    what = {"backbone": "h, the backbone's features", "output": "the heads' outputs y"}.get(stage, stage)
    return {
        "distances": f"Euclidean between {what}, scaled to unit norm: 0 is the same direction, 1.41 orthogonal",
        "map": f"t-SNE (openTSNE), perplexity {tsne.PERPLEXITY:g}, from the {neighbours.NEIGHBOURS} nearest neighbours",
        "clusters": f"K-means on the features above, up to k = {clusters.BEYOND[-1]}; HDBSCAN on the map",
        "outliers": "the better rank of two: eight statistics of light and colour, and the network (distance to the "
        "nearest neighbours, Mahalanobis distance)",
        "versions": ", ".join(
            [f"Python {platform.python_version()}"]
            + [f"{name} {version(name)}" for name in ("torch", "scikit-learn", "openTSNE", "pillow")]
        ),
    }


def notes(run: Path, config: Config, stage: str) -> dict[str, str]:
    """How the run and the report were made, for its last table."""
    settings = ", ".join(f"{name} {value}" for name, value in public(config).items() if name != "data")
    return {
        "run": run.resolve().name,  # names without their place: a page is made to be passed on
        "trained on": data_name(config.data),
        "recipe": recipe(config),
        "settings": settings,
    } | how(stage)


def public(config: Config) -> dict:
    """The settings, of pretrained weights only the last name: a page is made to be passed on."""
    return config.as_dict() | {"weights": config.weights and data_name(config.weights)}


def recipe(config: Config) -> str:
    """Method, preset and length of the training, and every setting that is not the preset's: a line of text."""
    usual, named = Config.preset(config.preset_name, data=config.data).as_dict(), public(config)
    apart = ("data", "limit", "seed", "method", "device", "compile", "amp", "kmeans_seeds", "views", "epochs")
    own = [f"{name} {value}" for name, value in named.items() if name not in apart and value != usual[name]]
    by_views = f"{config.views:,} views" if config.views else "not trained"
    length = f"{config.epochs:,} epochs" if config.epochs else by_views
    return ", ".join([config.method, f"preset {config.preset_name}", length, *own])
