"""Claims about arms of a record of seeds: their comparisons pair by pair, as a table and as a figure.

A record has a row per regime, arm and seed, with the columns "nmi h", "knn y", "nmi never trained" and so on. A claim
is its name, the arm that should be better, and the other. What a family is and how it is corrected stands in
cdlearn/results/compare_seeds.py.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cdlearn.results.compare_seeds import SCORES, Difference, compare, in_words
from cdlearn.results.plots import COLOURS, MARKS, figure, grid

Claim = tuple[str, str, str]


def by_seed(rows: list[dict], regime: str, arm: str, column: str) -> dict[int, float]:
    """Training seed -> a column of the record, where it is filled in."""
    found = [row for row in rows if (row["regime"], row["arm"]) == (regime, arm)]
    return {int(row["seed"]): float(row[column]) for row in found if row.get(column) not in ("", None)}


def comparisons(
    rows: list[dict],
    claims: Sequence[Claim],
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


def chart(found: dict[tuple[str, str, str], dict[str, Difference]], claims: Sequence[Claim]) -> Figure:
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


def spreads(rows: list[dict], claims: Sequence[Claim]) -> str:
    """Why each pair of arms has an error of its own: how far correlations and spreads of the differences range."""
    found, deviations = [], []
    for regime in dict.fromkeys(row["regime"] for row in rows):
        for _, better, worse in claims:
            for stage in "yh":
                other = "never trained" if better == worse else stage
                columns = ((better, f"nmi {stage}"), (worse, f"nmi {other}"))
                one, two = (by_seed(rows, regime, *of) for of in columns)
                pairs = np.array([(one[seed], two[seed]) for seed in one if seed in two])
                if len(pairs) > 4 and pairs.std(0).min() > 0 and (better != worse or stage == "y"):
                    found.append(np.corrcoef(pairs.T)[0, 1])
                    deviations.append(np.std(pairs[:, 0] - pairs[:, 1], ddof=1))
    if not found:
        return ""
    return (
        f"NMI of the two arms of a comparison, over seeds: correlation {min(found):.2f} to {max(found):.2f}; standard "
        f"deviation of their difference {min(deviations):.3f} to {max(deviations):.3f}."
    )


EXPLAINED = """Runs that share a training seed are compared pair by pair. Each cell: mean difference [95% interval of
this comparison alone], p of the t test for pairs after Holm's correction. The smallest effect is what so many pairs
find with 80% power at the strictest level of the family."""
