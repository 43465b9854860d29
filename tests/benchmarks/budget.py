"""What peer.py and search.py share: training for a given time, scores of both stages, rows of a record."""

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from cdlearn.config import Config
from cdlearn.course import measured
from cdlearn.data import ImageSet
from cdlearn.evaluate import embed, extra_metrics
from cdlearn.trainer import Trainer

RECORDS = Path(__file__).resolve().parents[2] / "figures" / "records"


def steps_ahead(step: int, spent: float, seconds: float) -> int:
    """How many steps the whole budget is likely to hold, when ``step`` of them took ``spent`` seconds.

    A schedule that believes this number falls with the time: step / steps is the fraction of the budget that is spent.
    """
    return max(step + 1, round(step * seconds / spent)) if step and spent > 0 else 10**6


def train_for(
    trainer: Trainer,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    after_step: Callable[[], None] | None = None,
) -> float:
    """Take steps until ``seconds`` of ``clock`` are over; returns the seconds it took.

    Learning rate and whatever else depends on the fraction of the run go by the time that has passed, so the schedule
    ends with the budget, however fast the machine is. The model is in evaluation mode afterwards.
    """
    trainer.prepare()
    began = clock()
    while (spent := clock() - began) < seconds:
        trainer.steps = steps_ahead(trainer.step, spent, seconds)
        trainer.epochs = math.ceil(trainer.steps / trainer.steps_per_epoch)
        trainer.train_step()
        if after_step:
            after_step()
    trainer.model.eval()
    return spent


def scores(model: nn.Module, images: ImageSet, config: Config) -> tuple[dict[str, float], dict[str, Tensor]]:
    """NMI of K-means (three seeds) and kNN of h and of the output, against the labels; and these features."""
    features = embed(model, images.images, config.size, amp=config.amp)
    found = {}
    for name, stage in (("h", "backbone"), ("z", "output")):
        of_stage = measured(features[stage], images)
        found |= {f"{name} nmi": of_stage["nmi"], f"{name} knn": round(of_stage["knn"], 4)}
    return found, features


def without_labels(model: nn.Module, images: ImageSet, config: Config, features: dict[str, Tensor]) -> dict[str, float]:
    """RankMe of both stages, and the fraction of images whose two views find each other."""
    pairs = extra_metrics.agreement_between_views(model, images.images, config)
    found = {}
    for name, stage in (("h", "backbone"), ("z", "output")):
        found |= {
            f"{name} rankme": round(extra_metrics.rank_me(features[stage]), 2),
            f"{name} pairs": round(pairs[stage], 4),
        }
    return found


def recorded(path: Path) -> list[dict]:
    """The rows of a record; none where there is no file yet."""
    return list(csv.DictReader(path.open(newline=""))) if path.exists() else []


def append(path: Path, *new: dict) -> None:
    """Add rows, written at once, so that a stopped call loses none. New columns are empty in the rows before."""
    rows = [*recorded(path), *new]
    names = list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(path)
