"""What the report finds in a folder of one's own: ``python tests/benchmarks/own_images.py --photographs data/tiny10``.

For each seed: fills a folder (see planted.py), trains the default for --views views, makes the analysis, and compares
it with what was planted. Appends to figures/records/own-images.csv: recall and precision of pairs per tier, recall per
kind of copy, the ranks of the six outliers, and the purity of clusters at the k that the page begins with. A folder
RUNS/run-SEED from before is taken as it is.

Two images are a true pair when both come from one photograph. Outliers, quality and duplicates need no label; purity is
measured with the names of the classes, which the analysis does not see.
"""

import argparse
import csv
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from planted import COPIES, OUTLIERS, plant

from cdlearn import train
from cdlearn.analysis import Analysis, analyse, duplicates
from cdlearn.pages.contents import TIERS

RECORD = Path(__file__).resolve().parents[2] / "figures" / "records" / "own-images.csv"


def truth_of(table: Path, files: list[str]) -> pd.DataFrame:
    """The truth in the order of the report's files; ``origin`` is the photograph that an image comes from."""
    truth = pd.read_csv(table).fillna("").set_index("file").loc[files].reset_index()
    return truth.assign(origin=truth["copy_of"].where(truth["copy_of"] != "", truth["file"]))


def pairs_of(groups: list[list[int]]) -> set[tuple[int, int]]:
    """Every two images of a group."""
    return {pair for group in groups for pair in combinations(sorted(map(int, group)), 2)}


def by_ratio_alone(found: Analysis) -> set[tuple[int, int]]:
    """The pairs of the third tier as if the surer tiers, which leave it little, were not there."""
    n, thumbnail = len(found.contents.files), found.contents.thumbnail
    images = torch.from_numpy(np.stack([np.asarray(thumbnail(i, 64)) for i in range(n)])).permute(0, 3, 1, 2)
    told = duplicates.similar_to_network(images, found.neighbours, found.distance, np.full(n, -1))
    return pairs_of([list(pair[:2]) for pair in told])


def duplicates_found(found: list[dict], alone: set[tuple[int, int]], truth: pd.DataFrame) -> dict[str, float]:
    """Per tier pairs, precision and recall (of all that was planted); per kind of copy recall by any tier."""
    planted = pairs_of([list(of) for of in truth.groupby("origin").groups.values() if len(of) > 1])
    kind = {pair: truth["kind"][max(pair, key=lambda i: truth["copy_of"][i] != "")] for pair in planted}
    row: dict[str, float] = {}
    everything: set[tuple[int, int]] = set()

    def measured(told: set[tuple[int, int]], name: str) -> None:
        true = len(told & planted)
        row[f"{name}: pairs"], row[f"{name}: recall"] = len(told), round(true / len(planted), 3)
        row[f"{name}: precision"] = round(true / len(told), 3) if told else ""

    for tier in TIERS:
        told = pairs_of([group["images"] for group in found if group["tier"] == tier])
        measured(told, tier)
        everything |= told
    measured(everything, "any tier")
    measured(alone, "ratio test alone")
    for name in COPIES:
        of_kind = {pair for pair in planted if kind[pair] == name}
        row[f"{name}: recall"] = round(len(of_kind & everything) / len(of_kind), 3)
    return row


def purity(of: np.ndarray, classes: np.ndarray) -> float:
    """Fraction of images whose class is the most frequent one of their cluster; images in none (-1) are left out."""
    known = (of >= 0) & (classes != "")
    table = pd.crosstab(of[known], classes[known])
    return round(float(table.max(axis=1).sum() / known.sum()), 3) if known.any() else float("nan")


def looked_at(run: Path, folder: Path, table: Path) -> dict:
    """One row of the record."""
    began = time.process_time()
    found = analyse(run, str(folder), cache=False, root=folder.parent / "data")
    seconds, shown = time.process_time() - began, found.contents
    truth = truth_of(table, shown.files)
    classes = truth["class"].to_numpy()
    row = {"images": len(shown.files), "processor seconds": round(seconds, 1)}
    row |= duplicates_found(shown.duplicates, by_ratio_alone(found), truth)
    for stranger in OUTLIERS:
        name = stranger.__name__
        at = shown.files.index(f"stranger {name}.jpg")
        row[f"{name}: rank"] = int(found.outlier_rank[at])
        row[f"{name}: reason"] = found.outlier_reason[at]
    row |= {"k": shown.k, "purity": purity(shown.clusters[shown.k], classes), "advice": shown.advice}
    of = shown.density["of"]
    row |= {"dense regions": int(of.max()) + 1, "in none": round(float((of < 0).mean()), 3)}
    return row | {"dense purity": purity(of, classes)} | shown.tests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, default=Path("data/tiny10"))
    parser.add_argument("--runs", type=Path, default=Path("runs/own-images"))
    parser.add_argument("--views", type=int, default=200_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4])
    parser.add_argument("--what", default="this version", help="the column `what` of the record")
    asked = parser.parse_args()
    for seed in asked.seeds:
        folder, run = asked.runs / f"planted-{seed}", asked.runs / f"run-{seed}"
        table = plant(asked.photographs, folder, seed)
        if not (run / "scores.json").exists():
            command = ["--data", folder, "--views", asked.views, "--seed", seed, "--out", run]
            if train.main(list(map(str, command))):
                raise SystemExit(1)
        row = {"what": asked.what, "seed": seed, "views": asked.views} | looked_at(run, folder, table)
        print(*(f"{name}: {value}" for name, value in row.items()), sep="\n")
        new = not RECORD.exists()
        with RECORD.open("a", newline="") as file:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)


if __name__ == "__main__":
    main()
