"""Where does each published effect appear? One row per arm, regime and seed, for figures/records/regimes.csv.

    python tests/benchmarks/regimes.py --regimes patches --seeds 42 43 44 45 46
    python tests/benchmarks/regimes.py --complete   # runs again what was recorded before ARI and ACC were
    python tests/benchmarks/regimes.py --table      # regimes.md and .png: the comparisons, pair by pair

An arm is what one of the paper's Tables 4 to 10 changes; a regime is data, length and sizes. Runs that are in the
record already are not repeated. Scores: NMI, ARI and ACC of K-means (one seed, ten starts) and kNN, on h, on y and on
untrained heads; NMI of held-out patches put into the clusters; the loss terms of the last epoch; and what the heads do:
the fraction of outputs beyond 0.1 and 0.9, and the mean correlation (absolute) between two heads.

Arms that share a seed are compared pair by pair (cdlearn/results/compare_seeds.py). A family is what was asked of one
regime, in one score: every claim, on h and on y.
"""

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from budget import RECORDS, recorded
from paired_claims import EXPLAINED, chart, comparisons, markdown, spreads

from cdlearn.config import Config
from cdlearn.data import ImageSet, load
from cdlearn.evaluate import assign_to_clusters, clusterings, knn_accuracy, label_agreement
from cdlearn.results.scoring import stages
from cdlearn.runtime.devices import cpu_kind
from cdlearn.trainer import fit

RECORD = RECORDS / "regimes.csv"
REGIMES = {
    "patches": dict(data="patches"),  # the first command's
    "patches, many steps": dict(data="patches", limit=512, epochs=200, batch_size=32),  # 3,200 steps on 512 patches
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


def measure(settings: dict, about: dict, more: Callable[[np.ndarray, ImageSet], dict] | None = None) -> dict:
    """Train and score one run: what it is ``about`` (its regime, arm and seed), its scores, and what ``more`` finds."""
    config = Config.preset("laptop", **settings | {"seed": about["seed"]})
    images = load(config.data, config.size, config.limit, 42, stored=config.stored)  # the same for all seeds
    began = time.process_time()
    model = fit(config, images)
    row = about | {"cpu s": round(time.process_time() - began)}
    features = stages(model, config, images.images)
    unseen = stages(model, config, images.held_out.images, features["backbone"]) if images.held_out else {}
    labels, k = images.labels.numpy(), len(images.labels.unique())
    for name, stage in (("h", "backbone"), ("y", "output"), ("never trained", "untrained heads")):
        if stage in features:
            clusters = clusterings(features[stage], k, seeds=1)[0]
            for score, value in zip(("nmi", "ari", "acc"), label_agreement(labels, clusters), strict=True):
                row[f"{score} {name}"] = round(float(value), 4)
            row[f"knn {name}"] = round(knn_accuracy(features[stage], images.labels), 4)
            if unseen:
                found = assign_to_clusters(features[stage], clusters, unseen[stage])
                row[f"held-out nmi {name}"] = round(float(label_agreement(images.held_out.labels.numpy(), found)[0]), 4)
    last = model.history[-1]
    row |= {term: round(last[term], 4) for term in ("instance", "feature", "entropy") if term in last}
    if "feature" in last:
        y = features["output"]
        row["decided"] = round(((y < 0.1) | (y > 0.9)).float().mean().item(), 4)
        between = np.corrcoef(y.numpy(), rowvar=False)[np.triu_indices(y.shape[1], 1)]
        row["correlation"] = round(float(np.nanmean(np.abs(between))), 4)
    row |= more(features["output"].numpy(), images) if more else {}
    return row | {"machine": cpu_kind()}


def identity(row: dict) -> tuple[str, str, int]:
    """What makes a row of the record one run."""
    return row["regime"], row["arm"], int(row["seed"])


def write(path: Path, rows: list[dict]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


CLAIMS = (  # the paper's tables, what is claimed to be better, than what
    ("6, 9: heads over z", "CD", "SimCLR"),
    ("4: with entropy", "CD", "no entropy"),
    ("4: with BatchNorm", "CD", "no BatchNorm"),
    ("4: with both", "CD", "neither"),
    ("7, 10: both views augmented", "CD", "one view"),
    ("5, 8: schedule and clipping", "CD", "no schedule, no clipping"),
    ("control: trained heads over untrained", "CD", "CD"),
)


def report(path: Path) -> None:
    """Write regimes.md and regimes.png beside the record's folder."""
    found = comparisons(recorded(path), CLAIMS)
    home = path.resolve().parent.parent
    title = "# Where the published effects appear\n\nMeasured with `python tests/benchmarks/regimes.py`. "
    text = f"{title}{EXPLAINED}\n\n{markdown(found)}\n\n{spreads(recorded(path), CLAIMS)}"
    (home / "regimes.md").write_text(text.rstrip() + "\n")
    chart(found, CLAIMS).savefig(home / "regimes.png")
    print(markdown(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regimes", nargs="+", default=["patches"], choices=REGIMES)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44, 45, 46])
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--complete", action="store_true", help="run again, of these, what has no ARI and ACC")
    parser.add_argument("--table", action="store_true", help="write the comparisons, and train nothing")
    asked = parser.parse_args()
    if asked.table:
        return report(asked.record)
    for seed in asked.seeds:
        for regime in asked.regimes:
            for arm in asked.arms:
                done = {identity(row) for row in recorded(asked.record) if row.get("ari h") or not asked.complete}
                if (regime, arm, seed) not in done:
                    row = measure(REGIMES[regime] | ARMS[arm], {"regime": regime, "arm": arm, "seed": seed})
                    others = [old for old in recorded(asked.record) if identity(old) != identity(row)]
                    write(asked.record, [*others, row])
                    print(row, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
