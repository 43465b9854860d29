"""NMI and kNN against the number of views: long runs on photographs, for figures/records/curves-NAME.csv.

    python tests/curves.py tiny10 --data path/to/tiny10 --method cd --views 5000000
    python tests/curves.py tiny10 --data path/to/tiny10 --method cd --alpha 0 --views 5000000
    python tests/curves.py --chart      # figures/curves.png and curves.md, from all records

A call that was cut goes on where it stopped. At about fifteen numbers of views, evenly spaced by their logarithm, both
stages are scored on up to 10,000 images drawn with the seed (one K-means seed), and for CD also heads never trained on
the trained z. Raw pixels and a network that never trained are scored once, on the same images. The learning rate falls
over the whole run, so the points before the last are not short runs.
"""

import argparse
import csv
from pathlib import Path

import pandas as pd
import torch
from matplotlib.ticker import EngFormatter

from cdlearn.config import Config
from cdlearn.data import load
from cdlearn.evaluate import cluster_scores, embed, knn_accuracy, never_trained, raw_pixels
from cdlearn.results import plots
from cdlearn.runtime import streams
from cdlearn.runtime.commandline import settings_parser
from cdlearn.runtime.devices import cpu_kind
from cdlearn.trainer import Trainer, fit, fresh_model

RECORDS = Path(__file__).resolve().parent.parent / "figures" / "records"
POINTS, SCORED = 15, 10_000
UNTRAINED = "untrained"
DATA = {"tiny10": "tiny10: 5,000 photographs", "cifar10": "CIFAR-10 (JPEG copy): 60,000 images"}
LINES = (  # method and stage of the record, label, colour, mark, line
    ("simclr", "backbone", "SimCLR, backbone h", 4, "s", "-"),
    ("simclr", "output", "SimCLR, output z", 4, "s", "--"),
    ("cd, alpha 1", "backbone", "CD, backbone h", 0, "o", "-"),
    ("cd, alpha 1", "output", "CD, output y", 0, "o", "--"),
    ("cd, alpha 1", "heads never trained", "heads never trained, on CD's z", 7, "v", ":"),
    ("cd, alpha 0", "backbone", "CD without entropy, h", 2, "D", "-"),
    ("cd, alpha 0", "output", "CD without entropy, y", 2, "D", "--"),
)


def looks(epochs: int) -> set[int]:
    """The epochs at which to look."""
    return {round(epochs ** (i / (POINTS - 1))) for i in range(POINTS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=DATA, help="which record, records/curves-NAME.csv")
    parser.add_argument("--chart", action="store_true", help="draw the records and train nothing")
    asked, options = parser.parse_known_args()
    if asked.chart:
        return chart(RECORDS.parent)
    if asked.name is None:
        parser.error(f"name a record ({', '.join(DATA)}), or give --chart")
    given = vars(settings_parser("curves", "", Config, {"preset": ()}).parse_args(options))
    config = Config.preset("laptop", **given)
    images = load(config.data, config.size, config.limit, config.seed, stored=config.stored)
    drawn = torch.randperm(len(images), generator=streams.generator(config.seed, "monitor"))[:SCORED].sort().values
    some, path = images.take(drawn), RECORDS / f"curves-{asked.name}.csv"
    what = config.method + (f", alpha {config.alpha:g}" if config.method == "cd" else "")
    out = Path("runs") / f"curves-{asked.name}-{what.replace(', ', '-').replace(' ', '')}-s{config.seed}"

    def score(method: str, features: dict, epoch: int, views: int) -> None:
        row = {"method": method, "seed": config.seed, "epoch": epoch, "images": len(some), "machine": cpu_kind()}
        for stage, values in features.items():
            scores = cluster_scores(values, some.labels, seeds=1)
            knn = round(knn_accuracy(values, some.labels), 4)
            append(path, row | {"views": views, "stage": stage, "nmi": scores["nmi"], "knn": knn})

    def look(trainer: Trainer) -> None:
        epoch = trainer.history[-1]["epoch"]
        if epoch not in looks(trainer.epochs):
            return
        features = embed(trainer.model, some.images, config.size, amp=config.amp)
        if hasattr(trainer.model, "untrained_output"):
            features["heads never trained"] = never_trained(trainer.model, features["backbone"], config.seed)
        score(what, features, epoch, 2 * trainer.step * config.batch_size)

    if not any(row["method"] == UNTRAINED for row in recorded(path)):
        random = embed(fresh_model(config), some.images, config.size, amp=config.amp)["backbone"]
        pixels = raw_pixels(some.images, config.size)
        score(UNTRAINED, {"raw pixels": pixels, "random network": random}, 0, 0)
    out.mkdir(parents=True, exist_ok=True)
    fit(config, images, out, resume=(out / "checkpoint.pt").exists(), after_epoch=look)


def recorded(path: Path) -> list[dict]:
    with path.open(newline="") if path.exists() else open("/dev/null") as file:
        return list(csv.DictReader(file))


def append(path: Path, row: dict) -> None:
    """Add a row. A point that a resumed run passes again replaces its older one."""
    keys = ("method", "seed", "epoch", "stage")
    rows = [old for old in recorded(path) if any(old[key] != str(row[key]) for key in keys)] + [row]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def chart(home: Path) -> None:
    """Write curves.png (a row per data set; NMI, kNN) and curves.md (where each line ends) into the folder ``home``."""
    records = {name: pd.read_csv(home / "records" / f"curves-{name}.csv") for name in DATA}
    made, axes = plots.figure(2, 2, 5.2, 3.7)
    ends = ["| images | method | stage | views | NMI | kNN |", "|---" * 6 + "|"]
    for (name, record), pair in zip(records.items(), axes, strict=True):
        for axis, score, unit in zip(pair, ("nmi", "knn"), ("NMI (0 to 1)", "kNN accuracy (0 to 1)"), strict=True):
            for method, stage, label, colour, mark, line in LINES:
                some = record[(record["method"] == method) & (record["stage"] == stage)].sort_values("views")
                style = dict(color=plots.COLOURS[colour], marker=mark, linestyle=line, markersize=4.5)
                axis.plot(
                    some["views"], some[score], label=label, markerfacecolor="white" if line == "--" else None, **style
                )
            for stage, line in (("raw pixels", "-."), ("random network", (0, (1, 3)))):
                at = record[(record["method"] == UNTRAINED) & (record["stage"] == stage)][score].iloc[0]
                axis.axhline(at, color="0.4", linestyle=line, linewidth=1.2, label=stage)
            axis.set(title=f"{DATA[name]}, {unit.split(' (')[0]}", xlabel="views (log)", ylabel=unit, xscale="log")
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
            plots.grid(axis)
        for row in record[record["views"] == record.groupby("method")["views"].transform("max")].to_dict("records"):
            cells = (name, row["method"], row["stage"], f"{row['views']:,}", f"{row['nmi']:.3f}", f"{row['knn']:.3f}")
            ends.append(f"| {' | '.join(cells)} |")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    made.savefig(home / "curves.png")
    title = (
        "# NMI and kNN at the end of the long runs\n\nMeasured with `python tests/curves.py`; one seed each (42).\n\n"
    )
    (home / "curves.md").write_text(title + "\n".join(ends) + "\n")


if __name__ == "__main__":
    main()
