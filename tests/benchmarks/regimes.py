"""Where does each published effect appear? One row per arm, regime and seed, for figures/records/regimes.csv.

    python tests/benchmarks/regimes.py --regimes patches --seeds 42 43 44 45 46
    python tests/benchmarks/regimes.py --table      # the comparisons, with Holm's correction over all of them

An arm is what one of the paper's Tables 4 to 10 changes; a regime is data, length and sizes. Runs that are in the
record already are not repeated. Scores: NMI of K-means (one seed, ten starts) on h, on y and on untrained heads;
the same for held-out pieces put into the clusters; kNN; the loss terms of the last epoch; and what the heads do: the
share of answers beyond 0.1 and 0.9, and the mean correlation (absolute) between two heads.
"""

import argparse
import csv
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from budget import RECORDS, recorded
from matplotlib.figure import Figure
from scipy.stats import ttest_ind, ttest_rel

from cdlearn.config import Config
from cdlearn.data import ImageSet, load
from cdlearn.evaluate import agreement, assign_to_clusters, clusterings, knn_accuracy
from cdlearn.results.plots import COLOURS, MARKS, figure, grid
from cdlearn.results.scoring import stages
from cdlearn.results.tables import holm
from cdlearn.runtime.devices import cpu_kind
from cdlearn.trainer import fit

RECORD = RECORDS / "regimes.csv"
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
            row[f"nmi {name}"] = round(float(agreement(labels, clusters)[0]), 4)
            row[f"knn {name}"] = round(knn_accuracy(features[stage], images.labels), 4)
            if unseen:
                found = assign_to_clusters(features[stage], clusters, unseen[stage])
                row[f"held-out nmi {name}"] = round(float(agreement(images.held_out.labels.numpy(), found)[0]), 4)
    last = model.history[-1]
    row |= {term: round(last[term], 4) for term in ("instance", "feature", "entropy") if term in last}
    if "feature" in last:
        y = features["output"]
        row["decided"] = round(((y < 0.1) | (y > 0.9)).float().mean().item(), 4)
        between = np.corrcoef(y.numpy(), rowvar=False)[np.triu_indices(y.shape[1], 1)]
        row["correlation"] = round(float(np.nanmean(np.abs(between))), 4)
    row |= more(features["output"].numpy(), images) if more else {}
    return row | {"machine": cpu_kind()}


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


def comparisons(
    rows: list[dict], claims: Sequence[tuple[str, str, str]] = CLAIMS, paired: bool = False
) -> pd.DataFrame:
    """A line per regime, claim and stage: the difference of the NMI over seeds, its 95% interval, p, Holm's p.

    Welch's test, or, where ``paired``, a t test of the differences between runs of the same seed.
    """
    found = []
    for regime in dict.fromkeys(row["regime"] for row in rows):
        for claim, better, worse in claims:
            for stage in ("h", "y"):
                other = "never trained" if better == worse else stage
                a, b = (
                    {r["seed"]: float(r[f"nmi {of}"]) for r in rows if (r["regime"], r["arm"]) == (regime, arm)}
                    for arm, of in ((better, stage), (worse, other))
                )
                if min(len(a), len(b)) < 2 or (better == worse and stage == "h"):
                    continue
                line = {"regime": regime, "claim": claim, "stage": stage, "seeds": min(len(a), len(b))}
                together = paired or better == worse
                common = [seed for seed in a if seed in b]
                one, two = ([of[seed] for seed in (common if together else of)] for of in (a, b))
                line |= {"better": np.mean(one), "other": np.mean(two), "difference": np.mean(one) - np.mean(two)}
                test = ttest_rel(one, two) if together else ttest_ind(one, two, equal_var=False)
                low, high = test.confidence_interval()
                found.append(line | {"low": low, "high": high, "p": test.pvalue})
    table = pd.DataFrame(found)
    table["p"] = table["p"].fillna(1.0)  # equal to the last digit in all seeds
    table["corrected"] = holm(list(table["p"]))
    return table.round(4)


def chart(table: pd.DataFrame) -> Figure:
    """The differences with their intervals, a panel per stage; filled marks are significant after the correction."""
    made, axes = figure(2, 1, 5.2, 4.4)
    claims = [claim for claim, _, _ in CLAIMS][::-1]
    regimes = list(dict.fromkeys(table["regime"]))
    for axis, (stage, title) in zip(axes[0], (("y", "output y"), ("h", "backbone h")), strict=True):
        for number, regime in enumerate(regimes):
            some = table[(table["regime"] == regime) & (table["stage"] == stage)]
            at = np.array([claims.index(claim) for claim in some["claim"]]) + 0.2 * (len(regimes) / 2 - 0.5 - number)
            colour = COLOURS[(0, 4, 2, 6)[number]]
            spread = np.array([some["difference"] - some["low"], some["high"] - some["difference"]])
            sure = some["corrected"] < 0.05
            axis.errorbar(some["difference"], at, xerr=spread, fmt="none", color=colour, linewidth=1.4, capsize=2)
            face = [colour if yes else "white" for yes in sure]
            axis.scatter(some["difference"], at, marker=MARKS[number], c=face, edgecolors=colour, s=38, zorder=3)
            axis.plot([], [], MARKS[number], color=colour, label=regime)
        axis.axvline(0, color="0.3", linewidth=1)
        axis.set(title=f"{title}: NMI gained", xlabel="difference of NMI, 95% interval")
        axis.set_yticks(range(len(claims)), claims if stage == "y" else [""] * len(claims))
        grid(axis, "x")
    axes[0, 1].legend(fontsize=8, title="filled: p < 0.05 (Holm)", title_fontsize=8, loc="lower right")
    return made


def report(path: Path) -> None:
    """Write regimes.md and regimes.png beside the record's folder."""
    table = comparisons(recorded(path))
    home = path.resolve().parent.parent
    lines = ["| regime | claim (tables) | scored on | seeds | with | without | difference [95%] | p | Holm's p |"]
    lines.append("|---" * 9 + "|")
    for row in table.to_dict("records"):
        cells = (row["regime"], row["claim"], row["stage"], row["seeds"], f"{row['better']:.3f}", f"{row['other']:.3f}")
        gap = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        lines.append(f"| {' | '.join(map(str, cells))} | {gap} | {row['p']:.4f} | {row['corrected']:.4f} |")
    title = (
        "# Where the published effects appear\n\nMeasured with `python tests/benchmarks/regimes.py`; K-means NMI.\n\n"
    )
    (home / "regimes.md").write_text(title + "\n".join(lines) + "\n")
    chart(table).savefig(home / "regimes.png")
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regimes", nargs="+", default=["patches"], choices=REGIMES)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44, 45, 46])
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if asked.table:
        return report(asked.record)
    for seed in asked.seeds:
        for regime in asked.regimes:
            for arm in asked.arms:
                done = {(row["regime"], row["arm"], int(row["seed"])) for row in recorded(asked.record)}
                if (regime, arm, seed) not in done:
                    row = measure(REGIMES[regime] | ARMS[arm], {"regime": regime, "arm": arm, "seed": seed})
                    write(asked.record, [*recorded(asked.record), row])
                    print(row, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
