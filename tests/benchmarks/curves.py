"""NMI, ARI, ACC and kNN against the number of views: long runs on photographs, for records/long-runs-NAME.csv.

    python tests/benchmarks/curves.py tiny10 --data path/to/tiny10 --method cd --views 5000000 --seed 43
    python tests/benchmarks/curves.py tiny10 --data path/to/tiny10 --method cd --alpha 0 --views 5000000 --seed 43
    python tests/benchmarks/curves.py tiny10 --collect long-tiny10-*.csv      # rows that were written elsewhere
    python tests/benchmarks/curves.py --chart      # figures/curves.png and curves.md, from all records

A call that was cut goes on where it stopped; several may write one record at once. At about fifteen numbers of views,
evenly spaced by their logarithm, both stages are scored on up to 10,000 images drawn with the seed, and for CD also
untrained heads on the trained z: one K-means seed, five at the end of the run. Raw pixels and an untrained network are
scored once per seed, on the same images. The learning rate falls over the whole run, so the points before the last are
not short runs. The runs of seed 42 were recorded before ARI and ACC were, as records/curves-NAME.csv and
curves-ends.csv.
"""

import argparse
import csv
import sys
from pathlib import Path

import pandas as pd
import torch
from budget import RECORDS
from matplotlib.ticker import EngFormatter
from torch import Tensor, nn

from cdlearn.config import Config
from cdlearn.data import ImageSet, load
from cdlearn.evaluate import cluster_scores, embed, knn_accuracy, raw_pixels, untrained_heads
from cdlearn.results import plots
from cdlearn.results.compare_seeds import SCORES
from cdlearn.runtime import rng
from cdlearn.runtime.commandline import guarded, settings_parser
from cdlearn.runtime.devices import cpu_kind
from cdlearn.runtime.errors import UserError
from cdlearn.trainer import Trainer, fit, fresh_model

POINTS, SCORED, SEEDS = 15, 10_000, 5  # checkpoints that are scored, images at each, K-means seeds at the end
UNTRAINED = "untrained"
KEYS = ["method", "seed", "epoch", "stage"]  # of a row
COLUMNS = ["method", "seed", "epoch", "images", "machine", "views", "stage", *SCORES]
STAGES = {"heads never trained": "untrained heads"}  # older name -> name
DATA = {"tiny10": "tiny10: 5,000 photographs", "cifar10": "CIFAR-10 (JPEG copy): 60,000 images"}
LINES = (  # method and stage of the record, label, colour, mark, line
    ("simclr", "backbone", "SimCLR, backbone h", 4, "s", "-"),
    ("simclr", "output", "SimCLR, output z", 4, "s", "--"),
    ("cd, alpha 1", "backbone", "CD, backbone h", 0, "o", "-"),
    ("cd, alpha 1", "output", "CD, output y", 0, "o", "--"),
    ("cd, alpha 1", "untrained heads", "untrained heads, on CD's z", 7, "v", ":"),
    ("cd, alpha 0", "backbone", "CD without entropy, h", 2, "D", "-"),
    ("cd, alpha 0", "output", "CD without entropy, y", 2, "D", "--"),
    ("cd, alpha 1, decorrelated heads", "backbone", "decorrelated heads, h", 6, "^", "-"),
    ("cd, alpha 1, decorrelated heads", "output", "decorrelated heads, y", 6, "^", "--"),
)


def checkpoints(epochs: int) -> set[int]:
    """The epochs after which the run is scored."""
    return {round(epochs ** (i / (POINTS - 1))) for i in range(POINTS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=DATA, help="which record, records/long-runs-NAME.csv")
    parser.add_argument("--collect", nargs="+", type=Path, metavar="CSV", help="add the rows of these files")
    parser.add_argument("--chart", action="store_true", help="draw the records, and train nothing")
    asked, options = parser.parse_known_args()
    if asked.chart:
        return chart(RECORDS.parent)
    if asked.name is None:
        parser.error(f"name a record ({', '.join(DATA)}), or give --chart")
    if asked.collect:
        return collect(RECORDS / f"long-runs-{asked.name}.csv", asked.collect)
    given = vars(settings_parser("curves", "", Config, {}).parse_args(options))
    train(asked.name, Config.preset("laptop", **given))


def train(name: str, config: Config) -> None:
    """One run, scored at its checkpoints; taken up where an earlier call stopped."""
    images = load(config.data, config.size, config.limit, config.seed, stored=config.stored)
    some, path, method = drawn(images, config), RECORDS / f"long-runs-{name}.csv", named(config)
    out = Path("runs") / f"curves-{name}-{method.replace(', ', '-').replace(' ', '')}-s{config.seed}"

    def score(method: str, features: dict, epoch: int, views: int, seeds: int = 1) -> None:
        row = {"method": method, "seed": config.seed, "epoch": epoch, "images": len(some), "machine": cpu_kind()}
        for stage, values in features.items():
            scores = cluster_scores(values, some.labels, seeds=seeds)
            scores = {key: scores[key] for key in ("nmi", "ari", "acc")}
            append(path, row | {"views": views, "stage": stage} | scores | {"knn": knn(values, some)})

    def after_epoch(trainer: Trainer) -> None:
        epoch = trainer.history[-1]["epoch"]
        if epoch in checkpoints(trainer.epochs):
            seeds = SEEDS if epoch == trainer.epochs else 1
            score(method, stages(trainer.model, config, some), epoch, 2 * trainer.step * config.batch_size, seeds)

    if not any(row["method"] == UNTRAINED and int(row["seed"]) == config.seed for row in rows_of(path)):
        random = embed(fresh_model(config), some.images, config.size, amp=config.amp)["backbone"]
        score(UNTRAINED, {"raw pixels": raw_pixels(some.images, config.size), "random network": random}, 0, 0)
    out.mkdir(parents=True, exist_ok=True)
    model = fit(config, images, out, resume=(out / "checkpoint.pt").exists(), after_epoch=after_epoch)
    if method == "cd, alpha 1" and config.seed == 42:  # the loss terms that notebook 07 draws
        (RECORDS / "curves").mkdir(exist_ok=True)
        terms = pd.DataFrame(model.history).drop(columns=["seconds", "views/s"])
        terms.to_csv(RECORDS / "curves" / f"{name}-cd.csv", index=False)


def drawn(images: ImageSet, config: Config) -> ImageSet:
    """Those that are scored."""
    order = torch.randperm(len(images), generator=rng.generator(config.seed, "monitor"))
    return images.take(order[:SCORED].sort().values)


def named(config: Config) -> str:
    """The method, and for CD the weight of its entropy and what is changed about its heads."""
    if config.method != "cd":
        return config.method
    return f"cd, alpha {config.alpha:g}" + ", decorrelated heads" * (config.heads_similarity == "correlation")


def stages(model: nn.Module, config: Config, some: ImageSet) -> dict[str, Tensor]:
    """Both stages, and for CD untrained heads."""
    features = embed(model, some.images, config.size, amp=config.amp)
    if model.has_heads:
        features["untrained heads"] = untrained_heads(model, features["backbone"], config.seed)
    return features


def knn(features: Tensor, some: ImageSet) -> float:
    """To four digits."""
    return round(knn_accuracy(features, some.labels), 4)


def append(path: Path, row: dict) -> None:
    """Add a row, in one piece, so that several processes may. :func:`rows_of` takes the last of several."""
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", restval="")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def rows_of(path: Path) -> list[dict]:
    """The rows of a record, ordered. A point that a resumed run passed again replaces its older row."""
    if not path.exists():
        return []
    rows = pd.read_csv(path, keep_default_na=False, dtype=str).replace({"stage": STAGES})
    rows = rows.drop_duplicates(KEYS, keep="last")
    number = rows[["seed", "epoch"]].astype(int).rename(columns=lambda name: f"{name} as number")
    order = ["method", "seed as number", "epoch as number", "stage"]
    return rows.join(number).sort_values(order, kind="stable").drop(columns=list(number)).to_dict("records")


def collect(path: Path, files: list[Path]) -> None:
    """Add the rows of other files to the record ``path``, and say how many there were.

    Raises:
        UserError: for a file that is missing or has other columns; the record is as it was.
    """
    found = []
    for file in files:
        if not file.exists():
            raise UserError(f"{file} is missing; there is nothing to collect")
        if not {*KEYS, "views", "nmi", "knn"} <= set(pd.read_csv(file, nrows=0).columns):
            raise UserError(f"{file} is no record of checkpoints: it needs the columns {', '.join(COLUMNS)}")
        found += rows_of(file)
    before = len(rows_of(path))
    for row in found:
        append(path, {name: row.get(name, "") for name in COLUMNS})
    kept = pd.DataFrame(rows_of(path), columns=COLUMNS)
    kept.to_csv(path, index=False, lineterminator="\n")
    print(f"{path}: {len(kept)} rows, {len(kept) - before} of them new, from {len(files)} files")


def points(home: Path, name: str) -> pd.DataFrame:
    """Every checkpoint of a data set: today's record, and that of seed 42, which has no ARI and ACC."""
    paths = [home / "records" / f"{kind}-{name}.csv" for kind in ("curves", "long-runs")]
    rows = pd.DataFrame([row for path in paths for row in rows_of(path)], columns=COLUMNS)
    rows = rows.drop_duplicates(KEYS, keep="last")
    numbers = ["seed", "epoch", "images", "views", *SCORES]
    return rows.assign(**{column: pd.to_numeric(rows[column]) for column in numbers})


def last(home: Path, name: str) -> pd.DataFrame:
    """The end of every finished run: as :func:`points`, with the four scores of seed 42 from curves-ends.csv.

    A run is finished if it has as many views as the longest of its data set.
    """
    rows = points(home, name)
    rows = rows[rows["views"] >= 0.99 * rows["views"].max()] if len(rows) else rows
    ends = home / "records" / "curves-ends.csv"
    if not ends.exists():
        return rows
    old = pd.read_csv(ends).replace({"stage": STAGES}).query("images == @name").set_index(["method", "seed", "stage"])
    of = ["method", "seed", "stage"]
    rows = rows[[tuple(row) not in old.index for row in rows[of].to_numpy()]]
    return pd.concat([rows, old.reset_index()[[*of, *SCORES]]], ignore_index=True)


def chart(home: Path) -> None:
    """Write curves.png (a row per data set; four scores) and curves.md (where each line ends) into ``home``."""
    made, axes = plots.figure(len(SCORES), len(DATA), 4.1, 3.6)
    for name, panels in zip(DATA, axes, strict=True):
        record = points(home, name)
        for axis, (score, title) in zip(panels, SCORES.items(), strict=True):
            for method, stage, label, colour, mark, line in LINES:
                some = record[(record["method"] == method) & (record["stage"] == stage)].dropna(subset=score)
                style = dict(color=plots.COLOURS[colour], marker=mark, linestyle=line, markersize=4.5)
                style |= {"markerfacecolor": "white"} if line == "--" else {}
                by_views = some.groupby("views")[score]
                axis.plot(by_views.mean(), label=label, **style)
                if some["seed"].nunique() > 1:
                    low, high = by_views.min(), by_views.max()
                    axis.fill_between(low.index, low, high, color=style["color"], alpha=0.15, linewidth=0)
            for stage, line in (("raw pixels", "-."), ("random network", (0, (1, 3)))):
                at = record[(record["method"] == UNTRAINED) & (record["stage"] == stage)][score].mean()
                axis.axhline(at, color="0.4", linestyle=line, linewidth=1.2, label=stage)
            named = DATA[name].split(":")[0]
            axis.set(title=f"{named}, {title}", xlabel="views (log)", ylabel=f"{title} (0 to 1)", xscale="log")
            axis.set_xlim(8e3, 7e6)
            if record[score].isna().all():
                axis.text(0.5, 0.5, "not yet measured", transform=axis.transAxes, ha="center", color="0.35")
                axis.set_yticks([])
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
            plots.grid(axis)
    made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    made.savefig(home / "curves.png")
    (home / "curves.md").write_text(markdown(home))


def markdown(home: Path) -> str:
    """Where every line ends: mean ± standard deviation over the training seeds."""
    head = ["images", "method", "stage", "seeds", *SCORES.values()]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name in DATA:
        for (method, stage), some in last(home, name).groupby(["method", "stage"]):
            cells = []
            for score in SCORES:
                values = some[score].dropna()
                spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
                cells.append(f"{values.mean():.3f}{spread}" if len(values) else "")
            seeds = ", ".join(map(str, sorted(some["seed"].astype(int).unique())))
            lines.append(f"| {' | '.join([name, method, stage, seeds, *cells])} |")
    about = (
        "Measured with `python tests/benchmarks/curves.py` and drawn with `--chart`: the runs that reached the last "
    )
    about += "checkpoint, mean ± standard deviation over training seeds (none for one seed: no verdict)."
    return f"# The ends of the long runs\n\n{about}\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(guarded(main))
