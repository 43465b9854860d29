"""The paper's tables as commands: ``python -m cdlearn.compare --table N [--data D] [--preset P] [--seeds S …]``.

Runs what the table needs, takes up what an earlier call left, and writes figures/table-N-D.csv, .md and .png with the
published values beside ours. Tables 2 and 3 compare methods, 4 to 10 switch parts of CD off; 2 and 8 to 10 look at the
backbone, 3 and 5 to 7 at the output, 4 at both. A method that assigns clusters by itself is scored by them at the
output, all others by K-means. Rows that the paper does not have stand below its own: controls, and seed 003's method.
"""

import csv
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
from cdlearn.results.run_folder import data_name, make_folder
from cdlearn.results.tables import METRICS, Row
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import UserError
from cdlearn.trainer import check_count, fit, fresh_model

STAGES = {2: ("backbone",), 3: ("output",), 4: ("backbone", "output")}
STAGES |= {5: ("output",), 6: ("output",), 7: ("output",), 8: ("backbone",), 9: ("backbone",), 10: ("backbone",)}
TRAINED = "trained"  # beside the stages of a run: its epochs, and the seconds they took where it was not interrupted
CONTROL = "untrained heads"  # a stage of CD beside backbone and output, and a row wherever the output is shown
NO_LABELS = "{} has no class sub-folders; a table compares with labels"
IMAGES_SEED = 42  # of which images are drawn, whatever the training's seed: rows differ in one thing only
PIXELS, RANDOM = {"pixels": True}, {"random": True}  # stand for K-means on raw pixels and on an untrained network
# Table 4's last row is Table 5's first: it was run without schedule and clipping. (Our 50 steps of warm-up stay.)
PLAIN = dict(cosine=False, clip=0.0)
SCHEDULE = {"schedule+clip=off": PLAIN, "schedule+clip=on": {}}
HEADS = {"feature head=off": dict(method="simclr"), "feature head=on": {}}
ONE_VIEW = {"single-view augmentation": dict(both_views=False), "dual-view augmentation": {}}
OURS: dict[int, dict[str, dict]] = {  # table -> the name of a row in published.csv -> what it changes in Config
    2: {
        "K-means": PIXELS,
        **{name: dict(method=name.lower()) for name in ("AE", "DeCNN", "DAE", "VAE", "DCGAN", "CC")},
        "CD-128": dict(batch_size=128, heads=128, dim=128),
        "CD-256": dict(batch_size=256, heads=256, dim=256),
        "SimCLR": dict(method="simclr"),
        "Cluster centres": dict(method="centres"),
        "Random network": RANDOM,
        "DeCNN: never trained": {**RANDOM, "method": "decnn"},  # its sparse coding alone may do what it does
    },
    4: {
        "NE=off BN=off": dict(alpha=0.0, head_batch_norm=False, **PLAIN),
        "row 2 (NE=on BN=off)": dict(head_batch_norm=False, **PLAIN),
        "row 3 (NE=off BN=on)": dict(alpha=0.0, **PLAIN),
        "NE=on BN=on": PLAIN,
    },
    **{5: SCHEDULE, 8: SCHEDULE, 6: HEADS, 9: HEADS, 7: ONE_VIEW, 10: ONE_VIEW},
}  # fmt: skip
CODES = ("AE", "DeCNN", "DAE", "VAE", "DCGAN")  # K-means on what each calls its features, whatever the table's stage
OURS[3] = {name: dict(method=name.lower()) for name in ("JULE", "DEC", "DAC", "DCCM", "PICA")}
OURS[3] |= {name: OURS[2][name] for name in ("CC", "CD-128", "CD-256", "SimCLR", "Cluster centres")}


def published(table: int) -> dict[tuple[str, str], dict]:
    """(row, stage) -> data set -> metric -> (value, std or None), in the paper's order.

    Raises:
        UserError: for a table the paper does not have.
    """
    if table not in STAGES:
        raise UserError(f"there is no table {table}; the paper's comparisons are tables 2 to 10")
    found: dict[tuple[str, str], dict] = {}
    with Path(__file__).with_name("published.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            if int(line["table"]) == table:
                stage = "output" if line["stage"] == "final output" else line["stage"]
                of_row = found.setdefault((line["method"], stage), {}).setdefault(line["dataset"], {})
                of_row[line["metric"].lower()] = (float(line["value"]), float(line["std"]) if line["std"] else None)
    return found


def measure(config: Config, images: ImageSet, home: Path) -> dict[str, dict[str, float]]:
    """Train ``config``, or take up or reuse an earlier run of it: stage -> scores against the labels.

    A stage is scored by K-means; the output of a method that is told the number of clusters by its own, the argmax.
    A finished run whose labels are others now is scored anew, not trained anew: training never saw them.

    Raises:
        UserError: where there are no labels, or an earlier run is damaged; it is named and left as it is.
    """
    if images.labels is None:
        raise UserError(NO_LABELS.format(config.data))
    config = config.for_images(images)
    digest = checkpoint.digest(config.as_dict())
    out = make_folder(home / f"{data_name(config.data)}-{config.method}-s{config.seed}-{len(images)}-{digest}")
    scores = out / "table.json"
    known, same_labels = scored(scores, images) if scores.exists() else ({}, False)
    if same_labels:
        return known
    began, again = equal_time.clock(config), (out / "checkpoint.pt").exists()
    model = fit(config, images, out, resume=again, progress=sys.stderr.isatty())
    spent = None if again else round(equal_time.clock(config) - began, 1)
    features = embed(model, images.images, config.size, amp=config.amp)
    if hasattr(model, "untrained_output"):
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
    """Of labels (N,), to know them again."""
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
    configs = {
        (name, seed): Config.preset(
            preset, **settings | {k: changes[k] for k in changes if k != "random"} | {"seed": seed}
        )
        for name, changes in OURS[table].items()
        if changes is not PIXELS
        for seed in seeds
    }
    for (name, _), config in configs.items():  # what cannot work is said before hours of training, not after
        check_row(table, name, config.for_images(images), len(images))
    make_folder(home)
    values: dict[str, list[dict]] = {}
    for name, changes in OURS[table].items():
        if seconds and not {"pixels", "random"} & changes.keys():
            one = configs[name, seeds[0]].for_images(images)
            epochs = equal_time.epochs_for_seconds(one, images, seconds, home)
            spent = measure(replace(one, epochs=epochs), images, home)[TRAINED].get("seconds")
            epochs = equal_time.corrected(one, images, seconds, home, epochs, spent)
            configs |= {(name, seed): replace(configs[name, seed], epochs=epochs) for seed in seeds}
        if changes is PIXELS:
            values[name] = [control(images, first, raw_pixels(images.images, first.size))]
        for config in (config for (of, _), config in configs.items() if of == name):
            if "random" in changes:
                untrained = fresh_model(config).to(pick_device(config.device), memory_format=torch.channels_last)
                features = embed(untrained, images.images, config.size, amp=config.amp)
                found = control(images, config, features["output" if coded(name) else "backbone"])
            else:
                found = measure(config, images, home)
            values.setdefault(name, []).append(found)
    made = []
    more = {(name, stage): {} for stage in STAGES[table] for name in OURS[table] if (name, stage) not in known}
    for (name, stage), by_data in {**known, **more}.items():
        at = "output" if coded(name) else stage
        runs, count = [run[at] for run in values.get(name, [])], len(values.get(name, []))
        ours = {m: (float(np.mean([r[m] for r in runs])), float(np.std([r[m] for r in runs]))) for m in METRICS if runs}
        if OURS[table].get(name) is PIXELS:
            ours, count = {m: (runs[0][m], runs[0][f"{m}_std"]) for m in METRICS}, first.kmeans_seeds
        told = stage == "output" and name in OURS[table] and needs_clusters(OURS[table][name].get("method", "cd"))
        trained = [run[TRAINED] for run in values.get(name, []) if run.get(TRAINED)]
        spent = [each["seconds"] for each in trained if each["seconds"]]
        epochs = trained[0]["epochs"] if trained else 0
        at_stage = "code" if coded(name) else "own clusters" if told else stage
        made.append(Row(name, at_stage, ours, count, by_data, epochs, float(np.mean(spent)) if spent else 0.0))
        without = [run[CONTROL] for run in values.get(name, []) if CONTROL in run]
        if at == "output" and without:
            ours = {
                m: (float(np.mean([r[m] for r in without])), float(np.std([r[m] for r in without]))) for m in METRICS
            }
            made.append(Row(f"{name}: {CONTROL}", stage, ours, len(without), {}))
    return made


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
