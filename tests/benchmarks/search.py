"""What makes a short run learn: settings tried one by one, each with the same processor time, for records/search.csv.

    python tests/benchmarks/search.py --data path/to/tiny10 --method simclr --seconds 60 --seeds 0 1
    python tests/benchmarks/search.py --data path/to/tiny10 --method cd --trials today "heads: correlation 0.2"
    python tests/benchmarks/search.py --data path/to/tiny10 --method vicreg --also "lr=3e-3 batch_size=256"
    python tests/benchmarks/search.py --table       # every trial of the record, the best first

A trial is a row: NMI and kNN of h and of the output, which know the labels, and beside them RankMe and the agreement
between views, which do not. ``--table`` says how far the two kinds of measure agree, so that a choice made without
labels can be judged. A trial that the record holds already is not repeated, so a stopped call is simply given again;
``--at-most`` starts no trial after so many seconds. All trials look at the same images, and the schedule falls with the
processor time. Other settings (``--size 32``, ``--limit 2000``) hold for all trials.

"average" is no setting of cdlearn: weights averaged over the steps (an EMA by that momentum) are scored instead of the
last ones. More than two views are tried by ``--method fastsiam``; for the other methods they are left out.
"""

import argparse
import sys
import time
from pathlib import Path

import pandas as pd
import torch
from budget import RECORDS, append, recorded, scores, train_for, without_labels
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cdlearn.config import Config
from cdlearn.data import load
from cdlearn.runtime.commandline import guarded, settings_parser
from cdlearn.runtime.devices import cpu_kind
from cdlearn.runtime.errors import UserError, did_you_mean
from cdlearn.trainer import Trainer

STRENGTHS = ("brightness", "contrast", "saturation", "hue")


def strength(times: float) -> dict[str, float]:
    """The colours of the views, changed by a factor."""
    return {name: round(min(getattr(Config, name) * times, 0.5 if name == "hue" else 1.0), 4) for name in STRENGTHS}


DECORRELATED = dict(heads_similarity="correlation", feature_temperature=0.2)
TRIALS = {
    "today": {},
    "lr 3e-4": dict(lr=3e-4),
    "lr 2e-3": dict(lr=2e-3),
    "lr 3e-3": dict(lr=3e-3),
    "lr 5e-3": dict(lr=5e-3),
    "warm-up 0": dict(warmup=0),
    "warm-up 200": dict(warmup=200),
    "temperature 0.1": dict(instance_temperature=0.1),
    "temperature 0.2": dict(instance_temperature=0.2),
    "temperature 0.3": dict(instance_temperature=0.3),
    "temperature 1": dict(instance_temperature=1.0),
    "batch 32": dict(batch_size=32),
    "batch 64": dict(batch_size=64),
    "batch 256": dict(batch_size=256),
    "hidden 256": dict(hidden=256),
    "hidden 512": dict(hidden=512),
    "dim 64": dict(dim=64),
    "dim 256": dict(dim=256),
    "crop from 0.08": dict(crop=(0.08, 1.0)),
    "crop from 0.35": dict(crop=(0.35, 1.0)),
    "crop from 0.5": dict(crop=(0.5, 1.0)),
    "colours x 0.5": strength(0.5),
    "colours x 1.5": strength(1.5),
    "gray 0": dict(gray=0.0),
    "stored 32": dict(stored=32),
    "weight decay 0.01": dict(weight_decay=0.01),
    "weight decay 0.1": dict(weight_decay=0.1),
    "clip 0": dict(clip=0.0),
    "average 0.99": dict(average=0.99),
    "average 0.999": dict(average=0.999),
}
ONLY = {  # trials that mean something to one method only
    "heads: correlation 1": ("cd", dict(heads_similarity="correlation")),
    "heads: correlation 0.2": ("cd", DECORRELATED),
    "heads: correlation 0.2, mean": ("cd", DECORRELATED | dict(entropy_of="mean")),
    "heads: mean": ("cd", dict(entropy_of="mean")),
    "heads: temperature 0.2": ("cd", dict(feature_temperature=0.2)),
    "heads: no entropy": ("cd", dict(alpha=0.0)),
    "momentum 0.9": ("byol", dict(target_momentum=0.9)),
    "momentum 0.99": ("byol", dict(target_momentum=0.99)),
}
LABELS, NO_LABELS = ("h nmi", "h knn", "z nmi", "z knn"), ("h rankme", "h pairs", "z rankme", "z pairs")


def trials_of(method: str) -> dict[str, dict]:
    """Every trial that means something to the method."""
    return TRIALS | {name: changes for name, (of, changes) in ONLY.items() if of == method}


def settings(options: list[str]) -> dict:
    """Options of the command line as settings. Raises UserError for an unknown one, or a value that it cannot have."""
    return vars(settings_parser("search", "", Config, {}).parse_args(options))


def settings_in(text: str) -> dict:
    """``"lr=3e-3 crop=0.3,1.0 cosine=false average=0.99"`` -> settings; see :func:`settings`."""
    pairs, options = [word.partition("=")[::2] for word in text.split()], []
    for name, value in pairs:
        option = name.replace("_", "-")
        if value.lower() in ("true", "false"):
            options.append(f"--{option}" if value.lower() == "true" else f"--no-{option}")
        elif name != "average":
            options += [f"--{option}", *value.split(",")]
    return settings(options) | {name: float(value) for name, value in pairs if name == "average"}


def try_out(base: dict, changes: dict, seed: int, seconds: float, images_seed: int) -> dict:
    """Train one trial for so many seconds of the processor, and score it.

    base: the settings of all trials; changes: those of this one, with ``average`` for averaged weights.
    """
    changes = dict(changes)
    average = changes.pop("average", None)
    config = Config.preset("laptop", **base | changes | {"seed": seed})
    images = load(config.data, config.size, config.limit, images_seed, stored=config.stored)
    if images.labels is None:
        raise UserError(f"{config.data} has no labels to score by; put each class into a sub-folder")
    config = config.for_images(images)
    trainer, averaged = Trainer(config, images.images), None
    if average is not None:
        averaged = AveragedModel(trainer.model, multi_avg_fn=get_ema_multi_avg_fn(average), use_buffers=True)
    follow = (lambda: averaged.update_parameters(trainer.model)) if averaged else None
    spent = train_for(trainer, seconds, time.process_time, follow)
    model = averaged.module.eval() if averaged else trainer.model
    made = {"processor s": round(spent, 1), "views": trainer.views_per_image * trainer.step * config.batch_size}
    found, features = scores(model, images, config)
    made |= found | without_labels(model, images, config, features)
    return {"images": len(images)} | made


def table(rows: list[dict]) -> str:
    """Means over the seeds, the best kNN of h first, for each data, method and budget; then how far measures agree."""
    frame = pd.DataFrame(rows)
    columns = [name for name in ("views", *LABELS, *NO_LABELS) if name in frame]
    frame[columns] = frame[columns].astype(float)
    parts = []
    for (data, base, method, budget), part in frame.groupby(["data", "base", "method", "budget"], sort=False):
        means = part.groupby("trial", sort=False)[columns].mean()
        means.insert(0, "seeds", part.groupby("trial", sort=False).size())
        means = means.sort_values("h knn", ascending=False).round(3).astype({"views": int})
        parts.append(f"{method} on {data}, {base + ', ' if base else ''}{budget} s:\n{means.to_string()}")
        if len(means) > 2:
            likeness = means[list(LABELS + NO_LABELS)].corr("spearman").loc[list(LABELS), list(NO_LABELS)].round(2)
            parts.append(f"how far they order the {len(means)} trials alike (Spearman):\n{likeness.to_string()}")
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of one thread's processor, for each trial")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--images-seed", type=int, default=0, help="by which --limit draws images: the same for all")
    parser.add_argument("--trials", nargs="+", metavar="NAME", help="of the table in this file; all if not given")
    parser.add_argument(
        "--also", nargs="+", default=[], metavar="SETTINGS", help='own trials: "lr=3e-3 batch_size=256"'
    )
    parser.add_argument("--at-most", type=float, default=float("inf"), help="start no trial after so many seconds")
    parser.add_argument("--record", type=Path, default=RECORDS / "search.csv")
    parser.add_argument("--table", action="store_true", help="only show what the record holds")
    asked, options = parser.parse_known_args()
    began = time.monotonic()
    if not asked.table:
        base = settings(options)
        method = base.setdefault("method", "simclr")
        wanted = {name: known(name, trials_of(method)) for name in asked.trials or ([] if asked.also else TRIALS)}
        wanted |= {text: settings_in(text) for text in asked.also}
        for seed in asked.seeds:
            for name, changes in wanted.items():
                if time.monotonic() - began < asked.at_most:
                    trial(asked, base, name, changes, seed)
    rows = recorded(asked.record)
    print(table(rows) if rows else f"{asked.record} holds no trial yet")


def known(name: str, trials: dict[str, dict]) -> dict:
    """The settings of a trial. Raises UserError for an unknown one, with the nearest name."""
    if name not in trials:
        raise UserError(
            f"unknown trial {name!r}{did_you_mean(name, trials)}; see TRIALS and ONLY in tests/benchmarks/search.py"
        )
    return trials[name]


def trial(asked: argparse.Namespace, base: dict, name: str, changes: dict, seed: int) -> None:
    """Try it out, unless the record has it."""
    about = {"data": Path(base.get("data", Config.data)).name, "method": base["method"], "trial": name, "seed": seed}
    about["base"] = " ".join(f"{key}={value}" for key, value in base.items() if key not in about)
    about["budget"] = f"{asked.seconds:g}"
    for row in recorded(asked.record):
        if all(row[key] == str(value) for key, value in about.items()):
            return
    row = about | try_out(base, changes, seed, asked.seconds, asked.images_seed)
    row["machine"] = f"{cpu_kind()}, {torch.get_num_threads()} thread"
    append(asked.record, row)
    print(row, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(guarded(main))
