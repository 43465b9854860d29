"""The paper's tables as commands: ``python -m cdlearn.compare --table N [--data D] [--preset P] [--seeds S …]``.

Runs what the table needs, takes up what an earlier call left, and writes figures/table-N-D.csv, .md and .png with the
published values beside ours. What each table compares stands in paper_rows.py. A method that assigns clusters by itself
is scored by them at the output, all others by K-means.
"""

import json
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cdlearn import checkpoint
from cdlearn.config import Config
from cdlearn.data import ImageSet, load
from cdlearn.data.fingerprints import is_of
from cdlearn.evaluate import assignment_scores, cluster_scores, embed, raw_pixels, untrained_heads
from cdlearn.methods import needs_clusters
from cdlearn.results import equal_time
from cdlearn.results.paper_rows import CODES, OURS, PIXELS, RANDOM, TABLE_STAGES, published  # noqa: F401 (names of this file)
from cdlearn.results.run_folder import data_name, home_of, make_folder
from cdlearn.results.tables import METRICS, Row
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import UserError
from cdlearn.trainer import check_count, fit, fresh_model

TRAINED = "trained"  # beside the stages of a run: its epochs, and the seconds they took where it was not interrupted
CONTROL = "untrained heads"  # a stage of CD beside backbone and output, and a row wherever the output is shown
NO_LABELS = "{} has no class sub-folders; a table compares with labels"
IMAGES_SEED = 42  # of which images are drawn, whatever the training's seed: rows differ in one thing only


def measure(config: Config, images: ImageSet, home: Path) -> dict[str, dict[str, float]]:
    """Train ``config``, or take up or reuse an earlier run of it: stage -> scores against the labels.

    A stage is scored by K-means; the output of a method that is given the number of clusters by its own, the argmax.
    A finished run whose labels are others now is scored anew, not trained anew: training never saw them.

    Raises:
        UserError: where there are no labels, or an earlier run is damaged; it is named and left as it is.
    """
    if images.labels is None:
        raise UserError(NO_LABELS.format(config.data))
    config = config.for_images(images)
    out = home_of(config, home, f"{data_name(config.data)}-{config.method}-s{config.seed}-{len(images)}-")
    make_folder(out)
    scores = out / "table.json"
    known, same_labels = scored(scores, images) if scores.exists() else ({}, False)
    if same_labels:
        return known
    began, again = equal_time.clock(config), (out / "checkpoint.pt").exists()
    if not again:
        checkpoint.write_text(out / "config.json", json.dumps({"config": config.as_dict()}, indent=1) + "\n")
    model = fit(config, images, out, resume=again, progress=sys.stderr.isatty())
    spent = None if again else round(equal_time.clock(config) - began, 1)
    features = embed(model, images.images, config.size, amp=config.amp)
    if model.has_heads:
        features[CONTROL] = untrained_heads(model, features["backbone"], config.seed)
    found = {}
    for stage, values in features.items():
        assigned = stage == "output" and needs_clusters(config.method)
        found[stage] = (
            assignment_scores(values, images.labels)
            if assigned
            else cluster_scores(values, images.labels, seeds=config.kmeans_seeds)
        )
    found[TRAINED] = known.get(TRAINED) or {"epochs": config.epochs_for(len(images)), "seconds": spent}
    checkpoint.write_text(scores, json.dumps(found | {"labels": checksum(images.labels)}, indent=1) + "\n")
    return found


def checksum(labels: Tensor) -> int:
    """Of labels (N,), to recognise them."""
    return zlib.crc32(labels.numpy().tobytes())


def scored(scores: Path, images: ImageSet) -> tuple[dict[str, dict[str, float]], bool]:
    """What an earlier call found, and whether it was against these labels; not so where it did not note which.

    Raises:
        UserError: where the file is damaged, or the images are no longer those.
    """
    try:
        found = json.loads(scores.read_text())
        labels, trained = found.get("labels"), found.get(TRAINED, {})
        stages = [stage for stage in ("backbone", "output", CONTROL) if stage != CONTROL or CONTROL in found]
        _ = [found[stage][metric] for stage in stages for metric in METRICS]
        found = {stage: found[stage] for stage in stages} | {TRAINED: dict(trained)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{scores} is damaged ({error}); remove it to score the run again") from error
    if not is_of(checkpoint.read(scores.with_name("checkpoint.pt")).get("images"), images.images):
        raise UserError(f"{scores.parent} was made from other images; remove it, or restore them")
    return found, labels == checksum(images.labels)


def rows(
    table: int,
    preset: str = "laptop",
    seeds: tuple[int, ...] = (42, 43, 44),
    home: Path = Path("runs/compare"),
    seconds: float | None = None,
    **settings,
) -> list[Row]:
    """Every row of a table; ours is empty where one is not implemented. ``settings`` go to every run's Config.

    seconds: how long each run trains, about, instead of the same number of epochs for all; see ``equal_time``.

    Finished runs in ``home`` are used again, others taken up where they stopped. Mean and std are over the training
    seeds; of raw pixels, which train nothing, over the seeds of K-means.
    """
    seeds = tuple(dict.fromkeys(seeds))  # the same seed twice is no second run
    known = published(table)
    first = Config.preset(preset, **settings | {"seed": seeds[0]})
    images = load(first.data, first.size, first.limit, IMAGES_SEED, stored=first.stored)
    if images.labels is None:
        raise UserError(NO_LABELS.format(first.data))
    configs = configurations(table, preset, seeds, settings)
    for (name, _), config in configs.items():  # what cannot work is reported before hours of training, not after
        check_row(table, name, config.for_images(images), len(images))
    make_folder(home)
    values: dict[str, dict[int, dict]] = {}
    for name, changes in OURS[table].items():
        if changes is PIXELS:
            found = control(images, first, raw_pixels(images.images, first.size))
            values[name] = dict.fromkeys(seeds, found)  # no seed of training changes it
            continue
        own = {seed: configs[name, seed] for seed in seeds}
        if seconds and "random" not in changes:
            epochs = epochs_at_equal_time(own[seeds[0]], images, seconds, home)
            own = {seed: replace(config, epochs=epochs) for seed, config in own.items()}
        values[name] = {seed: scores_of(name, changes, config, images, home) for seed, config in own.items()}
    more = {(name, stage): {} for stage in TABLE_STAGES[table] for name in OURS[table] if (name, stage) not in known}
    return [
        row
        for (name, stage), by_data in {**known, **more}.items()
        for row in rows_of(table, name, stage, values.get(name, {}), by_data, first.kmeans_seeds)
    ]


def configurations(table: int, preset: str, seeds: tuple[int, ...], settings: dict) -> dict[tuple[str, int], Config]:
    """(row, seed) -> the settings of the run, for every row of a table that has a network."""
    return {
        (name, seed): Config.preset(
            preset, **settings | {k: changes[k] for k in changes if k != "random"} | {"seed": seed}
        )
        for name, changes in OURS[table].items()
        if changes is not PIXELS
        for seed in seeds
    }


def epochs_at_equal_time(config: Config, images: ImageSet, seconds: float, home: Path) -> int:
    """How many epochs take about ``seconds``: from a trial, corrected by what a whole run then took."""
    one = config.for_images(images)
    epochs = equal_time.epochs_for_seconds(one, images, seconds, home)
    spent = measure(replace(one, epochs=epochs), images, home)[TRAINED].get("seconds")
    return equal_time.corrected(one, images, seconds, home, epochs, spent)


def scores_of(name: str, changes: dict, config: Config, images: ImageSet, home: Path) -> dict[str, dict[str, float]]:
    """stage -> scores of one run of a row, or of its network untrained."""
    if "random" not in changes:
        return measure(config, images, home)
    untrained = fresh_model(config).to(pick_device(config.device), memory_format=torch.channels_last)
    features = embed(untrained, images.images, config.size, amp=config.amp)
    return control(images, config, features["output" if coded(name) else "backbone"])


def rows_of(table: int, name: str, stage: str, runs: dict[int, dict], published: dict, kmeans_seeds: int) -> list[Row]:
    """A row of a table from its runs by seed, and below it untrained heads where the output is shown."""
    at = "output" if coded(name) else stage
    changes = OURS[table].get(name, {})
    found = {seed: run[at] for seed, run in runs.items()}
    ours, by_seed, count = mean_and_std(found), split_by_seed(found), len(found)
    if changes is PIXELS:
        of_pixels = next(iter(found.values()))
        ours, count = {m: (of_pixels[m], of_pixels[f"{m}_std"]) for m in METRICS}, kmeans_seeds
    given_k = stage == "output" and bool(changes) and needs_clusters(changes.get("method", "cd"))
    trained = [run[TRAINED] for run in runs.values() if run.get(TRAINED)]
    spent = [each["seconds"] for each in trained if each["seconds"]]
    epochs, seconds = trained[0]["epochs"] if trained else 0, float(np.mean(spent)) if spent else 0.0
    at_stage = "code" if coded(name) else "own clusters" if given_k else stage
    made = [Row(name, at_stage, ours, count, published, epochs, seconds, by_seed)]
    without = {seed: run[CONTROL] for seed, run in runs.items() if CONTROL in run}
    if at == "output" and without:
        ours, by_seed = mean_and_std(without), split_by_seed(without)
        made.append(Row(f"{name}: {CONTROL}", stage, ours, len(without), {}, by_seed=by_seed))
    return made


def mean_and_std(found: dict[int, dict]) -> dict[str, tuple[float, float]]:
    """metric -> mean and standard deviation over the seeds; nothing where there is no run."""
    if not found:
        return {}
    values = {metric: [scores[metric] for scores in found.values()] for metric in METRICS}
    return {metric: (float(np.mean(each)), float(np.std(each))) for metric, each in values.items()}


def split_by_seed(found: dict[int, dict]) -> dict[str, dict[int, float]]:
    """metric -> seed -> score."""
    return {metric: {seed: scores[metric] for seed, scores in found.items()} for metric in METRICS} if found else {}


def check_row(table: int, name: str, config: Config, images: int) -> None:
    """Raises UserError where a row cannot be trained on so few images; a row's own batch is no setting to change."""
    own = OURS[table][name].get("batch_size", 0)
    if own > images:
        raise UserError(f"{name} of table {table} has batches of {own}, and there are {images} images; it needs more")
    if "random" not in OURS[table][name]:
        check_count(config, images)


def coded(name: str) -> bool:
    """Whether K-means sees the code of a row's method, whatever the table's stage."""
    return name.split(":")[0] in CODES


def control(images: ImageSet, config: Config, features: Tensor) -> dict[str, dict[str, float]]:
    """The scores of what trains nothing, (N, D), the same at both stages."""
    scores = cluster_scores(features, images.labels, seeds=config.kmeans_seeds)
    return {"backbone": scores, "output": scores}
