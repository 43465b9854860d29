"""NMI and kNN against the number of views: long runs on photographs, for figures/records/curves-NAME.csv.

    python tests/curves.py tiny10 --data path/to/tiny10 --method cd --views 5000000
    python tests/curves.py tiny10 --data path/to/tiny10 --method cd --alpha 0 --views 5000000

A call that was cut goes on where it stopped. At about fifteen numbers of views, evenly spaced by their logarithm, both
stages are scored on up to 10,000 images drawn with the seed (one K-means seed), and for CD also heads never trained on
the trained z. The learning rate falls over the whole run, so the points before the last are not short runs.
"""

import argparse
import csv
from pathlib import Path

import torch

from cdlearn.config import Config
from cdlearn.data import load
from cdlearn.evaluate import cluster_scores, embed, knn_accuracy, never_trained
from cdlearn.runtime import streams
from cdlearn.runtime.commandline import settings_parser
from cdlearn.runtime.devices import cpu_kind
from cdlearn.trainer import Trainer, fit

RECORDS = Path(__file__).resolve().parent.parent / "figures" / "records"
POINTS, SCORED = 15, 10_000


def looks(epochs: int) -> set[int]:
    """The epochs at which to look."""
    return {round(epochs ** (i / (POINTS - 1))) for i in range(POINTS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    asked, options = parser.parse_known_args()
    given = vars(settings_parser("curves", "", Config, {"preset": ()}).parse_args(options))
    config = Config.preset("laptop", **given)
    images = load(config.data, config.size, config.limit, config.seed, stored=config.stored)
    drawn = torch.randperm(len(images), generator=streams.generator(config.seed, "monitor"))[:SCORED].sort().values
    some, path = images.take(drawn), RECORDS / f"curves-{asked.name}.csv"
    what = config.method + (f", alpha {config.alpha:g}" if config.method == "cd" else "")
    out = Path("runs") / f"curves-{asked.name}-{what.replace(', ', '-').replace(' ', '')}-s{config.seed}"

    def look(trainer: Trainer) -> None:
        epoch = trainer.history[-1]["epoch"]
        if epoch not in looks(trainer.epochs):
            return
        features = embed(trainer.model, some.images, config.size, amp=config.amp)
        if hasattr(trainer.model, "untrained_output"):
            features["heads never trained"] = never_trained(trainer.model, features["backbone"], config.seed)
        row = {"method": what, "seed": config.seed, "epoch": epoch, "images": len(some), "machine": cpu_kind()}
        row["views"] = 2 * trainer.step * config.batch_size
        for stage, values in features.items():
            scores = cluster_scores(values, some.labels, seeds=1)
            knn = round(knn_accuracy(values, some.labels), 4)
            append(path, row | {"stage": stage, "nmi": scores["nmi"], "knn": knn})

    out.mkdir(parents=True, exist_ok=True)
    fit(config, images, out, resume=(out / "checkpoint.pt").exists(), after_epoch=look)


def append(path: Path, row: dict) -> None:
    """Add a row. A point that a resumed run passes again replaces its older one."""
    with path.open(newline="") if path.exists() else open("/dev/null") as file:
        rows = list(csv.DictReader(file))
    keys = ("method", "seed", "epoch", "stage")
    rows = [old for old in rows if any(old[key] != str(row[key]) for key in keys)] + [row]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
