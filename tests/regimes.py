"""Where does each published effect appear? One row per arm, regime and seed, for figures/records/regimes.csv.

    python tests/regimes.py --regimes patches --seeds 42 43 44 45 46
    python tests/regimes.py --table      # the comparisons, with Holm's correction over all of them

An arm is what one of the paper's Tables 4 to 10 changes; a regime is data, length and sizes. Runs that are in the
record already are not repeated. Scores: NMI of K-means (one seed, ten starts) on h, on y and on heads never trained;
the same for held-out pieces put into the clusters; kNN; the loss terms of the last epoch; and what the heads do: the
share of answers beyond 0.1 and 0.9, and the mean correlation (absolute) between two heads.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch

from cdlearn.config import Config
from cdlearn.data import load
from cdlearn.evaluate import agreement, clusterings, knn_accuracy, place
from cdlearn.results.closing import stages
from cdlearn.runtime.devices import cpu_kind
from cdlearn.trainer import fit

RECORD = Path(__file__).resolve().parent.parent / "figures" / "records" / "regimes.csv"
REGIMES = {
    "patches": dict(data="patches"),  # the first command's
    "patches, many steps": dict(data="patches", limit=512, epochs=200, batch_size=32),  # 3,200 steps on 512 pieces
    "shapes": dict(data="shapes"),
}
PLAIN = dict(cosine=False, clip=0.0)
ARMS = {
    "CD": {},
    "SimCLR": dict(method="simclr"),
    "no entropy": dict(alpha=0.0),
    "no BatchNorm": dict(head_batch_norm=False),
    "neither": dict(alpha=0.0, head_batch_norm=False),
    "one view": dict(both_views=False),
    "no schedule, no clipping": PLAIN,
}


def measure(regime: str, arm: str, seed: int, changes: dict) -> dict:
    """Train and score one run."""
    config = Config.preset("laptop", **REGIMES[regime] | ARMS[arm] | changes | {"seed": seed})
    images = load(config.data, config.size, config.limit, 42)  # the same images for all seeds: they differ in one thing
    began = time.process_time()
    model = fit(config, images)
    row = {"regime": regime, "arm": arm, "seed": seed, "cpu s": round(time.process_time() - began)}
    features = stages(model, config, images.images)
    unseen = stages(model, config, images.held_out.images) if images.held_out else {}
    labels, k = images.labels.numpy(), len(images.labels.unique())
    for name, stage in (("h", "backbone"), ("y", "output"), ("never trained", "heads never trained")):
        if stage in features:
            clusters = clusterings(features[stage], k, seeds=1)[0]
            row[f"nmi {name}"] = round(float(agreement(labels, clusters)[0]), 4)
            row[f"knn {name}"] = round(knn_accuracy(features[stage], images.labels), 4)
            if unseen:
                found = place(features[stage], clusters, unseen[stage])
                row[f"held-out nmi {name}"] = round(float(agreement(images.held_out.labels.numpy(), found)[0]), 4)
    last = model.history[-1]
    row |= {term: round(last[term], 4) for term in ("instance", "feature", "entropy") if term in last}
    if "feature" in last:
        y = features["output"]
        row["decided"] = round(((y < 0.1) | (y > 0.9)).float().mean().item(), 4)
        between = np.corrcoef(y.numpy(), rowvar=False)[np.triu_indices(y.shape[1], 1)]
        row["correlation"] = round(float(np.nanmean(np.abs(between))), 4)
    return row | {"machine": cpu_kind()}


def recorded(path: Path) -> list[dict]:
    return list(csv.DictReader(path.open(newline=""))) if path.exists() else []


def write(path: Path, rows: list[dict]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regimes", nargs="+", default=["patches"], choices=REGIMES)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44, 45, 46])
    parser.add_argument("--record", type=Path, default=RECORD)
    asked = parser.parse_args()
    for seed in asked.seeds:
        for regime in asked.regimes:
            for arm in asked.arms:
                done = {(row["regime"], row["arm"], int(row["seed"])) for row in recorded(asked.record)}
                if (regime, arm, seed) not in done:
                    row = measure(regime, arm, seed, {})
                    write(asked.record, [*recorded(asked.record), row])
                    print(row, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
