"""Drawings and tables of notebook 07: each claim with and without its part, and every claim in one table."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from cdlearn.checkpoint import write_text
from cdlearn.course import figures, preset
from cdlearn.results.compare_seeds import BETTER, WORSE, compare
from cdlearn.results.plots import COLOURS, figure, grid

WITH, WITHOUT = COLOURS[0], COLOURS[4]
WORDS = {BETTER: "appears", WORSE: "reversed"}  # what a difference means for a claim; other verdicts keep their words


def comparisons(family: str, sides: Mapping[tuple[str, str, str], tuple[Mapping, Mapping]]) -> pd.DataFrame:
    """A line per comparison of a family: gap, 95% interval, p, Holm's p, smallest effect, verdict, pair by pair.

    family: what Holm's correction covers, in words; sides: (regime, claim, stage) -> the scores by training seed with
    the part and without it. See cdlearn/results/compare_seeds.py. Questions without a single pair are left out.
    """
    lines = []
    for (regime, claim, stage), d in compare(family, sides).items():
        line = {"regime": regime, "claim": claim, "stage": stage, "seeds": d.pairs, "left out": d.left_out}
        line |= {"with": d.one, "without": d.other, "gap": d.gap, "low": d.low, "high": d.high, "p": d.p}
        line |= {"holm": d.holm, "smallest": d.smallest, "verdict": WORDS.get(d.verdict, d.verdict)}
        lines += [line] * bool(d.pairs)
    return pd.DataFrame(lines)


def said(line: dict) -> str:
    """The measured gap with its interval, and the verdict, in two lines of text."""
    gap = f"{line['gap']:+.3f} [{line['low']:+.3f}, {line['high']:+.3f}]"
    small = "p < 0.001" if line["p"] < 0.001 else f"p = {line['p']:.3f}"
    corrected = "p < 0.001" if line["holm"] < 0.0005 else f"p {line['holm']:.3f}"
    return f"{gap}  {small}, Holm's {corrected}\n{line['verdict']} ({line['seeds']} seeds)"


def claims_figure(lines: list[dict], scores: Sequence[tuple[Sequence, Sequence]], title: str) -> Figure:
    """One row per claim: a point per training seed with the part and without it, a bar at each mean, the verdict.

    lines: of the table of comparisons; scores: for each of them the NMI with the part and without it. Where both are
    Series with the seeds as their index, a line joins the two points of a seed.
    """
    made, axes = figure(1, width=9.6, height=1.0 + 0.58 * len(lines))
    axis = axes[0, 0]
    for at, (line, sides) in enumerate(zip(lines, scores, strict=True)):
        if all(isinstance(side, pd.Series) for side in sides):
            pairs = pd.concat(sides, axis=1, join="inner").to_numpy()
            axis.plot(pairs.T, [[at - 0.17], [at + 0.17]] * np.ones(len(pairs)), color="0.7", linewidth=0.8, zorder=0)
        for off, values, colour, mark, face in (
            (-0.17, sides[0], WITH, "o", WITH),
            (0.17, sides[1], WITHOUT, "s", "white"),
        ):
            axis.scatter(values, [at + off] * len(values), s=22, marker=mark, facecolors=face, edgecolors=colour)
            axis.plot([np.mean(values)] * 2, [at + off - 0.14, at + off + 0.14], color=colour, linewidth=2.5)
        beside = dict(xycoords=("axes fraction", "data"), va="center", fontsize=8, annotation_clip=False)
        axis.annotate(said(line), (1.02, at), **beside)
    axis.scatter([], [], marker="o", color=WITH, label="with (CD)")
    axis.scatter([], [], marker="s", facecolors="white", edgecolors=WITHOUT, label="without")
    axis.set_yticks(range(len(lines)), [line["claim"] for line in lines])
    axis.set(title=title, xlabel="NMI of K-means (0 to 1)", ylim=(len(lines) - 0.5, -0.5))
    grid(axis, "x")
    axis.legend(fontsize=8, ncols=2, loc="upper left", bbox_to_anchor=(1.0, -0.02), frameon=False)
    return made


def in_full(lines: list[dict]) -> str:
    """Comparisons with gap, interval, corrected p and seeds, one per line of a cell of a table."""
    parts = [
        f"**{line['regime']}: {line['stage']} {line['gap']:+.3f}** [{line['low']:+.3f}, {line['high']:+.3f}], "
        f"Holm's p {line['holm']:.2g}, {line['seeds']} seeds"
        for line in lines
    ]
    return "<br>".join(parts) or "nowhere"


def in_short(lines: list[dict]) -> str:
    """Comparisons that show nothing: the gaps alone, one line per data set."""
    gaps: dict[str, list[str]] = {}
    for line in lines:
        gaps.setdefault(line["regime"], []).append(f"{line['stage']} {line['gap']:+.3f}")
    return "<br>".join(f"{regime}: {', '.join(of)}" for regime, of in gaps.items()) or "nowhere"


def table(rows: pd.DataFrame, name: str) -> Markdown:
    """A table of text, shown as Markdown; off the smoke preset also kept as NAME.csv."""
    if preset() != "smoke":
        write_text(figures() / f"{name}.csv", rows.to_csv(index=False, lineterminator="\n"))
    header = list(rows.columns)
    lines = [header, ["---"] * len(header), *rows.to_numpy().tolist()]
    return Markdown("\n".join("| " + " | ".join(line) + " |" for line in lines))
