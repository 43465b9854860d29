"""Recipes with the same processor time, one thread, several seeds, in all four scores, for records/recipes-NAME.csv.

    python tests/benchmarks/recipes.py tiny10 --data path/to/tiny10 --method cd --seconds 100 --seeds 0 1 2
    python tests/benchmarks/recipes.py tiny10 --data path/to/tiny10 --method simclr --arms published gray01+multicrop
    python tests/benchmarks/recipes.py cifar10 --data path/to/cifar10 --limit 10000 --images-seed 1
    python tests/benchmarks/recipes.py tiny10 --table

An arm is one of PARTS, or several joined by "+"; those to the right win. ``published`` changes nothing of the laptop
preset: two views of one size, full colours, cosine heads at temperature 1. A row is a stage of a run: h, z, untrained
heads on that z, and the output y. An arm and seed that the record holds are not trained again, so a stopped call is
simply given again; ``--at-most`` starts no run after so many seconds. Other settings hold for all arms. The schedule
falls with the processor time. The images are the same for all seeds.
"""

import argparse
import json
import time

import pandas as pd
import torch
from budget import RECORDS, append, recorded, train_for
from search import DECORRELATED, settings, strength

from cdlearn.config import Config
from cdlearn.course import measured
from cdlearn.data import load
from cdlearn.evaluate import embed, untrained_heads
from cdlearn.runtime.commandline import guarded
from cdlearn.runtime.devices import cpu_kind
from cdlearn.runtime.errors import UserError, did_you_mean
from cdlearn.trainer import Trainer

PARTS = {
    "published": {},
    "gray01": dict(gray=0.1, instance_temperature=0.2) | strength(0.5),
    "heads": DECORRELATED,  # correlation at feature temperature 0.2, where there are heads
    "grow": dict(grow="16@0.4,24@0.75"),
    "grow24": dict(grow="24@0.65"),
    "multicrop": dict(small_views=4, small_size=16, small_crop=(0.08, 0.5)),
}
ARMS = ("published", "gray01", "gray01+heads", "gray01+heads+grow", "gray01+heads+multicrop",
        "gray01+heads+multicrop+grow24")  # fmt: skip
SCORES = ("nmi", "ari", "acc", "knn")


def changes_of(arm: str) -> dict:
    """The settings of an arm. Raises UserError for an unknown part."""
    found = {}
    for part in arm.split("+"):
        if part not in PARTS:
            raise UserError(f"unknown part {part!r}{did_you_mean(part, PARTS)}; there are {', '.join(PARTS)}")
        found |= PARTS[part]
    return found


def arms_for(method: str, asked: list[str] | None) -> list[str]:
    """The arms as asked for, or all; without heads where the method has none, and each once."""
    given = asked or list(ARMS)
    if method != "cd":
        given = ["+".join(part for part in arm.split("+") if part != "heads") or "published" for arm in given]
    return list(dict.fromkeys(given))


def features_of(model, images, config: Config) -> dict[str, torch.Tensor]:
    """The stages to compare, each (N, D): h and z, and of a method with heads y and untrained heads on the same z."""
    found = embed(model, images.images, config.size, amp=config.amp)
    h, output = found["backbone"], found["output"]
    if not model.has_heads:
        return {"h": h, "z": output}
    with torch.no_grad():
        z = model.projector(h.to(next(model.parameters()).device)).cpu()
    return {"h": h, "z": z, "untrained heads": untrained_heads(model, h, config.seed), "y": output}


def run(base: dict, arm: str, seed: int, seconds: float, images_seed: int) -> list[dict]:
    """Train an arm for so many seconds of the processor; the four scores of every stage."""
    config = Config.preset("laptop", **base | changes_of(arm) | {"seed": seed})
    images = load(config.data, config.size, config.limit, images_seed, stored=config.stored)
    if images.labels is None:
        raise UserError(f"{config.data} has no labels to score by; put each class into a sub-folder")
    config = config.for_images(images)
    trainer = Trainer(config, images.images)
    spent = train_for(trainer, seconds, time.process_time)
    views = trainer.views_per_image * trainer.step * config.batch_size
    made = {"images": len(images), "seconds": round(spent, 1), "views": views}
    return [
        made | {"stage": stage} | {name: round(value, 4) for name, value in scores.items() if name in SCORES}
        for stage, values in features_of(trainer.model, images, config).items()
        for scores in [measured(values, images)]
    ]


def table(rows: list[dict]) -> str:
    """Mean and standard deviation over the seeds, an arm and stage a line."""
    frame = pd.DataFrame(rows).astype(dict.fromkeys((*SCORES, "views"), float))
    by = frame.groupby(["method", "base", "budget", "arm", "stage"], sort=False)
    found = by[["views", *SCORES]].mean().round(3).join(by[list(SCORES)].std().round(3).add_suffix(" sd"))
    return found.assign(seeds=by["seed"].nunique()).astype({"views": int}).to_string()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the record, and of the data in it")
    parser.add_argument("--method", default="cd", choices=("cd", "simclr", "byol", "vicreg", "fastsiam", "cc"))
    parser.add_argument("--arms", nargs="+", help=f"parts {', '.join(PARTS)}, joined by +; default: {' '.join(ARMS)}")
    parser.add_argument("--seconds", type=float, default=100.0, help="of the processor, for each run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images-seed", type=int, default=42, help="draws the images where --limit is given")
    parser.add_argument("--at-most", type=float, default=float("inf"), help="start no run after so many seconds")
    parser.add_argument("--table", action="store_true", help="print the record and train nothing")
    asked, options = parser.parse_known_args()
    path, began = RECORDS / f"recipes-{asked.name}.csv", time.monotonic()
    base = {"data": asked.name} | settings(options) | {"method": asked.method}
    arms = arms_for(asked.method, asked.arms)
    for arm in arms:
        changes_of(arm)
    torch.set_num_threads(1)
    machine, others = f"{cpu_kind()}, 1 thread", {k: v for k, v in base.items() if k not in ("data", "method")}
    of_all = {"method": asked.method, "base": json.dumps(others) if others else "", "budget": f"{asked.seconds:g}"}
    for seed, arm in [] if asked.table else [(seed, arm) for seed in asked.seeds for arm in arms]:
        key = {**of_all, "arm": arm, "seed": str(seed)}
        done = any(all(row[name] == value for name, value in key.items()) for row in recorded(path))
        if done or time.monotonic() - began > asked.at_most:
            continue
        found = run(base, arm, seed, asked.seconds, asked.images_seed)
        append(path, *({**key, "settings": json.dumps(changes_of(arm)), **row, "machine": machine} for row in found))
        for row in found:
            shown = "  ".join(f"{name} {row[name]:.3f}" for name in SCORES)
            print(f"{arm:<32} seed {seed}  {row['views']:>9,} views  {row['stage']:<16} {shown}", flush=True)
    rows = recorded(path)
    print(table(rows) if rows else f"{path} holds no run yet")


if __name__ == "__main__":
    raise SystemExit(guarded(main))
