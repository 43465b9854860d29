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
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from budget import RECORDS, recorded
from matplotlib.figure import Figure

from cdlearn.config import Config
from cdlearn.data import ImageSet, load
from cdlearn.evaluate import agreement, clusterings, knn_accuracy, place
from cdlearn.results.compare_seeds import SCORES, Difference, compare, in_words
from cdlearn.results.plots import COLOURS, MARKS, figure, grid
from cdlearn.results.scoring import stages
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
            for score, value in zip(("nmi", "ari", "acc"), agreement(labels, clusters), strict=True):
                row[f"{score} {name}"] = round(float(value), 4)
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


def by_seed(rows: list[dict], regime: str, arm: str, column: str) -> dict[int, float]:
    """Training seed -> a column of the record, where it is filled in."""
    found = [row for row in rows if (row["regime"], row["arm"]) == (regime, arm)]
    return {int(row["seed"]): float(row[column]) for row in found if row.get(column) not in ("", None)}


def comparisons(
    rows: list[dict],
    claims: Sequence[tuple[str, str, str]] = CLAIMS,
    asked: str = "published claims",
    stages: str = "yh",
) -> dict[tuple[str, str, str], dict[str, Difference]]:
    """(regime, claim, stage) -> score -> the difference; only what has at least one pair in some score.

    asked: what the claims have in common, for the name of their family. A claim about one arm alone is about its
    trained heads against untrained heads, so it has no line for h.
    """
    found: dict[tuple[str, str, str], dict[str, Difference]] = {}
    for regime in dict.fromkeys(row["regime"] for row in rows):
        for score, name in SCORES.items():
            sides = {}
            for claim, better, worse in claims:
                for stage in "y" if better == worse else stages:
                    other = "never trained" if better == worse else stage
                    columns = ((better, f"{score} {stage}"), (worse, f"{score} {other}"))
                    sides[regime, claim, stage] = tuple(by_seed(rows, regime, *of) for of in columns)
            for key, difference in compare(f"{regime}, {name}: {asked}, on {' and '.join(stages)}", sides).items():
                found.setdefault(key, {})[name] = difference
    return {key: each for key, each in found.items() if any(of.pairs for of in each.values())}


def chart(found: dict[tuple[str, str, str], dict[str, Difference]], claims: Sequence = CLAIMS) -> Figure:
    """The differences with their intervals, a panel per score and stage; filled: Holm's p < 0.05."""
    names = [claim for claim, *_ in claims][::-1]
    regimes = list(dict.fromkeys(regime for regime, *_ in found))
    scores = [name for name in SCORES.values() if any(each[name].pairs > 1 for each in found.values())]
    made, grid_of_axes = figure(2, len(scores), 5.2, 0.7 + 0.5 * len(names))
    for axes, score in zip(grid_of_axes, scores, strict=True):
        for axis, (stage, title) in zip(axes, (("y", "output y"), ("h", "backbone h")), strict=True):
            for number, regime in enumerate(regimes):
                offset = 0.2 * (len(regimes) / 2 - 0.5 - number)
                style = dict(color=COLOURS[(0, 4, 2, 6)[number]], mark=MARKS[number], label=regime)
                some = {c: each[score] for (r, c, s), each in found.items() if (r, s) == (regime, stage)}
                intervals(axis, {names.index(claim) + offset: d for claim, d in some.items()}, **style)
            axis.axvline(0, color="0.3", linewidth=1)
            axis.set(title=f"{title}: {score} gained", xlabel=f"difference of {score}, 95% interval")
            axis.set_yticks(range(len(names)), names if stage == "y" else [""] * len(names))
            axis.set_ylim(-0.6, len(names) - 0.4)
            grid(axis, "x")
    grid_of_axes[0, 1].legend(fontsize=8, title="filled: Holm's p < 0.05", title_fontsize=8, loc="lower right")
    return made


def intervals(axis, at: dict[float, Difference], color: str, mark: str, label: str) -> None:
    """A mark with its interval at each height; filled where Holm's p < 0.05. One pair is left out."""
    axis.plot([], [], mark, color=color, label=label)
    for height, difference in at.items():
        if difference.pairs < 2:
            continue
        spread = np.nan_to_num([[difference.gap - difference.low], [difference.high - difference.gap]])
        axis.errorbar(difference.gap, height, xerr=spread, fmt="none", color=color, linewidth=1.4, capsize=2)
        face = color if difference.verdict in ("better", "worse") else "white"
        axis.plot(difference.gap, height, mark, markerfacecolor=face, markeredgecolor=color, markersize=6)


def recorded_scores(found: dict[tuple[str, str, str], dict[str, Difference]]) -> list[str]:
    """The scores that some comparison has."""
    return [name for name in SCORES.values() if any(each[name].pairs for each in found.values())]


def markdown(found: dict[tuple[str, str, str], dict[str, Difference]]) -> str:
    """A line per regime, claim and stage with its scores, what they say in words, and the families below."""
    scores = recorded_scores(found)
    head = [
        "images",
        "claim (tables)",
        "scored on",
        "pairs",
        *scores,
        f"smallest effect: {', '.join(scores)}",
        "in words",
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for (regime, claim, stage), each in found.items():
        pairs = max(of.pairs for of in each.values())
        least = [each[name].smallest for name in scores]
        least = ", ".join("–" if math.isnan(value) else f"{value:.3f}" for value in least)
        words = in_words({name: each[name] for name in scores})
        cells = [regime, claim, stage, str(pairs), *(str(each[name]) for name in scores), least, words]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *families(found)])


def families(found: dict) -> list[str]:
    """What the correction covers, how many tests each family has, and what was left out."""
    named = {of.family: of.tests for each in found.values() for of in each.values() if of.tests}
    lines = [f"- {name}: {tests} tests with at least two pairs." for name, tests in named.items()]
    missing = [name for name in SCORES.values() if name not in recorded_scores(found)]
    lines += [f"- {' and '.join(missing)}: not recorded when these runs were made."] * bool(missing)
    alone = [max(of.left_out for of in each.values() if of.pairs) for each in found.values()]
    lines += [f"- {sum(alone)} seeds of {sum(map(bool, alone))} comparisons have no partner, and are left out."] * any(
        alone
    )
    return ["Families of Holm's correction:", "", *lines]


EXPLAINED = """Runs that share a training seed are compared pair by pair. Each cell: mean difference [95% interval of
this comparison alone], p of the t test for pairs after Holm's correction. The smallest effect is what so many pairs
find with 80% power at the strictest level of the family."""


def report(path: Path) -> None:
    """Write regimes.md and regimes.png beside the record's folder."""
    found = comparisons(recorded(path))
    home = path.resolve().parent.parent
    title = "# Where the published effects appear\n\nMeasured with `python tests/benchmarks/regimes.py`. "
    (home / "regimes.md").write_text(f"{title}{EXPLAINED}\n\n{markdown(found)}\n")
    chart(found).savefig(home / "regimes.png")
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
