"""NMI and kNN against the number of views: long runs on photographs, for figures/records/curves-NAME.csv.

    python tests/benchmarks/curves.py tiny10 --data path/to/tiny10 --method cd --views 5000000
    python tests/benchmarks/curves.py tiny10 --data path/to/tiny10 --method cd --alpha 0 --views 5000000
    python tests/benchmarks/curves.py --ends       # the ends of all runs, five K-means seeds: records/curves-ends.csv
    python tests/benchmarks/curves.py --chart      # figures/curves.png and curves.md, from all records

A call that was cut goes on where it stopped. At about fifteen numbers of views, evenly spaced by their logarithm, both
stages are scored on up to 10,000 images drawn with the seed (one K-means seed), and for CD also untrained heads on
the trained z. Raw pixels and a network that never trained are scored once, on the same images. The learning rate falls
over the whole run, so the points before the last are not short runs.
"""

import argparse
import csv
from pathlib import Path

import pandas as pd
import torch
from budget import RECORDS, recorded
from matplotlib.ticker import EngFormatter
from torch import Tensor, nn

from cdlearn import checkpoint
from cdlearn.config import Config
from cdlearn.data import ImageSet, load
from cdlearn.evaluate import cluster_scores, embed, knn_accuracy, raw_pixels, untrained_heads
from cdlearn.results import plots
from cdlearn.runtime import rng
from cdlearn.runtime.commandline import settings_parser
from cdlearn.runtime.devices import cpu_kind
from cdlearn.trainer import Trainer, fit, fresh_model

POINTS, SCORED, SEEDS = 15, 10_000, 5  # looks, images at each, K-means seeds at the end
UNTRAINED = "untrained"
DATA = {"tiny10": "tiny10: 5,000 photographs", "cifar10": "CIFAR-10 (JPEG copy): 60,000 images"}
LINES = (  # method and stage of the record, label, colour, mark, line
    ("simclr", "backbone", "SimCLR, backbone h", 4, "s", "-"),
    ("simclr", "output", "SimCLR, output z", 4, "s", "--"),
    ("cd, alpha 1", "backbone", "CD, backbone h", 0, "o", "-"),
    ("cd, alpha 1", "output", "CD, output y", 0, "o", "--"),
    ("cd, alpha 1", "untrained heads", "untrained heads, on CD's z", 7, "v", ":"),
    ("cd, alpha 0", "backbone", "CD without entropy, h", 2, "D", "-"),
    ("cd, alpha 0", "output", "CD without entropy, y", 2, "D", "--"),
)


def looks(epochs: int) -> set[int]:
    """The epochs at which to look."""
    return {round(epochs ** (i / (POINTS - 1))) for i in range(POINTS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=DATA, help="which record, records/curves-NAME.csv")
    parser.add_argument("--ends", action="store_true", help="score the ends of the runs in runs/, and train nothing")
    parser.add_argument("--chart", action="store_true", help="draw the records, and train nothing")
    asked, options = parser.parse_known_args()
    if asked.ends or asked.chart:
        return ends(Path("runs")) if asked.ends else chart(RECORDS.parent)
    if asked.name is None:
        parser.error(f"name a record ({', '.join(DATA)}), or give --chart")
    given = vars(settings_parser("curves", "", Config, {}).parse_args(options))
    config = Config.preset("laptop", **given)
    images = load(config.data, config.size, config.limit, config.seed, stored=config.stored)
    some, path, what = drawn(images, config), RECORDS / f"curves-{asked.name}.csv", named(config)
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
        features = stages(trainer.model, config, some)
        score(what, features, epoch, 2 * trainer.step * config.batch_size)

    if not any(row["method"] == UNTRAINED for row in recorded(path)):
        random = embed(fresh_model(config), some.images, config.size, amp=config.amp)["backbone"]
        pixels = raw_pixels(some.images, config.size)
        score(UNTRAINED, {"raw pixels": pixels, "random network": random}, 0, 0)
    out.mkdir(parents=True, exist_ok=True)
    fit(config, images, out, resume=(out / "checkpoint.pt").exists(), after_epoch=look)


def drawn(images: ImageSet, config: Config) -> ImageSet:
    """Those that are scored."""
    order = torch.randperm(len(images), generator=rng.generator(config.seed, "monitor"))
    return images.take(order[:SCORED].sort().values)


def named(config: Config) -> str:
    """The method, and for CD the weight of its entropy."""
    return config.method + (f", alpha {config.alpha:g}" if config.method == "cd" else "")


def stages(model: nn.Module, config: Config, some: ImageSet) -> dict[str, Tensor]:
    """Both stages, and for CD untrained heads."""
    features = embed(model, some.images, config.size, amp=config.amp)
    if hasattr(model, "untrained_output"):
        features["untrained heads"] = untrained_heads(model, features["backbone"], config.seed)
    return features


def ends(runs: Path) -> None:
    """Score the last weights of every finished run in ``runs`` with several K-means seeds, and keep CD's loss terms.

    Runs that are in the record already are not scored again.
    """
    rows = recorded(RECORDS / "curves-ends.csv")
    for run in sorted(runs.glob("curves-*")):
        model, config = checkpoint.load_model(run)
        name, done = run.name.split("-")[1], pd.read_csv(run / "metrics.csv")
        run_of = (name, named(config), config.seed)
        if any((row["images"], row["method"], int(row["seed"])) == run_of for row in rows):
            continue
        images = load(config.data, config.size, config.limit, config.seed, stored=config.stored)
        if len(done) < config.epochs_for(len(images)):
            continue
        some = drawn(images, config)
        base = {"images": name, "method": named(config), "seed": config.seed, "epochs": len(done)}
        for stage, values in stages(model, config, some).items():
            scores = cluster_scores(values, some.labels, seeds=SEEDS)
            rows.append(base | {"stage": stage} | scores | {"knn": round(knn_accuracy(values, some.labels), 4)})
            print(rows[-1], flush=True)
        if named(config) == "cd, alpha 1":
            (RECORDS / "curves").mkdir(exist_ok=True)
            done.drop(columns=["seconds", "views/s"]).to_csv(RECORDS / "curves" / f"{name}-cd.csv", index=False)
    pd.DataFrame(rows).to_csv(RECORDS / "curves-ends.csv", index=False)


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
    for (name, record), pair in zip(records.items(), axes, strict=True):
        for axis, score, unit in zip(pair, ("nmi", "knn"), ("NMI (0 to 1)", "kNN accuracy (0 to 1)"), strict=True):
            for method, stage, label, colour, mark, line in LINES:
                some = record[(record["method"] == method) & (record["stage"] == stage)].sort_values("views")
                style = dict(color=plots.COLOURS[colour], marker=mark, linestyle=line, markersize=4.5)
                style |= {"markerfacecolor": "white"} if line == "--" else {}
                axis.plot(some["views"], some[score], label=label, **style)
            for stage, line in (("raw pixels", "-."), ("random network", (0, (1, 3)))):
                at = record[(record["method"] == UNTRAINED) & (record["stage"] == stage)][score].iloc[0]
                axis.axhline(at, color="0.4", linestyle=line, linewidth=1.2, label=stage)
            axis.set(
                title=f"{DATA[name]}, {unit.split(' (')[0]}",
                xlabel="views (log)",
                ylabel=unit,
                xscale="log",
                xlim=(8e3, 7e6),
            )
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
            plots.grid(axis)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    made.savefig(home / "curves.png")
    lines = ["| images | method | stage | NMI | ARI | ACC | kNN |", "|---" * 7 + "|"]
    for row in pd.read_csv(home / "records" / "curves-ends.csv").to_dict("records"):
        cells = [f"{row[key]:.3f} ± {row[f'{key}_std']:.3f}" for key in ("nmi", "ari", "acc")]
        lines.append(
            f"| {' | '.join([row['images'], row['method'], row['stage'], *cells, format(row['knn'], '.3f')])} |"
        )
    title = "# The ends of the long runs\n\nMeasured with `python tests/benchmarks/curves.py --ends`: one "
    title += "training seed each (42), mean ± standard deviation over five K-means seeds.\n\n"
    (home / "curves.md").write_text(title + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
