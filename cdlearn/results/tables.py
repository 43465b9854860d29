"""A table of the paper as CSV, Markdown and a figure: what was measured, the published values beside it."""

from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cdlearn import checkpoint
from cdlearn.results import compare_seeds
from cdlearn.results.compare_seeds import SCORES, holm  # noqa: F401 (notebook 07 takes holm from here)
from cdlearn.results.plots import COLOURS, MARKS, figure, interval_bars
from cdlearn.results.run_folder import data_name, make_folder
from cdlearn.runtime.errors import UserError

METRICS = ("nmi", "ari", "acc")
TITLES = {2: "K-means on the backbone", 3: "the final output", 4: "entropy and BatchNorm in the heads"}
TITLES |= {5: "schedule and clipping", 6: "the feature heads", 7: "augmenting one view or both"}
TITLES |= {8: "schedule and clipping", 9: "the feature heads", 10: "augmenting one view or both"}


@dataclass(frozen=True)
class Row:
    """A row of a table: ``ours`` and ``published`` map a metric to (mean, std or None).

    stage: what K-means was run on, backbone, output or code; or "own clusters".
    """

    name: str
    stage: str
    ours: dict[str, tuple[float, float]]
    seeds: int
    published: dict[str, dict[str, tuple[float, float | None]]]  # data set -> metric -> ...
    epochs: int = 0  # of each run; 0 for what trains nothing
    seconds: float = 0.0  # of training, mean over the runs that were not interrupted; 0 where there are none
    by_seed: dict[str, dict[int, float]] = field(default_factory=dict)  # metric -> training seed -> ours


def lines(table: list[Row]) -> list[dict]:
    """For the CSV: a line a row, stage and metric, ours beside each published data set."""
    found = []
    for row in table:
        for metric in METRICS:
            mean, std = row.ours.get(metric, ("not implemented yet", ""))
            line = {"row": row.name, "stage": row.stage, "metric": metric, "seeds": row.seeds or ""}
            line |= {"ours": mean if isinstance(mean, str) else f"{mean:.4f}"}
            line |= {"ours std": std if isinstance(std, str) else f"{std:.4f}"}
            line |= {"epochs": row.epochs or "", "seconds": f"{row.seconds:.1f}" if row.seconds else ""}
            line["by seed"] = " ".join(f"{seed}:{value:.4f}" for seed, value in row.by_seed.get(metric, {}).items())
            line |= {f"published {data}": values.get(metric, ("",))[0] for data, values in row.published.items()}
            found.append(line)
    return found


def markdown(table: list[Row], number: int, note: str) -> str:
    """The table as Markdown, a metric a column for ours, NMI alone for the published ones."""
    data = list(table[0].published)
    head = [
        "row",
        "scored on",
        *(f"{m.upper()}, ours" for m in METRICS),
        "seeds",
        "epochs, s",
        *(f"NMI, {d} (paper)" for d in data),
    ]
    text = [f"# Table {number}: {TITLES[number]}", "", note, "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in table:
        ours = [f"{row.ours[m][0]:.3f} ± {row.ours[m][1]:.3f}" if row.ours else "not implemented yet" for m in METRICS]
        paper = [f"{row.published[d]['nmi'][0]:.3f}" if d in row.published else "" for d in data]
        spent = (f"{row.epochs}, {row.seconds:.0f}" if row.seconds else str(row.epochs)) if row.epochs else ""
        text.append(f"| {' | '.join([row.name, row.stage, *ours, str(row.seeds or ''), spent, *paper])} |")
    return "\n".join([*text, "", *verdicts(table)]) + "\n"


def verdicts(table: list[Row]) -> list[str]:
    """Whether the paper's order of rows appears, by every metric that it publishes, as lines of Markdown."""
    made = [
        "Does the paper's order of rows appear? Runs that share a training seed are compared pair by pair; a gap "
        "counts where the t test for pairs gives p < 0.05 after Holm's correction for all pairs of rows in one metric.",
        "",
    ]
    if not any(row.by_seed for row in table):
        return [*made, "- The scores of the single seeds were not kept when this table was made: no verdict."]
    for data in table[0].published:
        for metric in METRICS:
            same, reversed_, close = order(table, data, metric)
            found = f"{same} in the same order, {reversed_} reversed, {close} too close to tell"
            pairs = f"{same + reversed_ + close} pairs of rows that we ran and the paper has"
            made.append(f"- {data}, {SCORES[metric]}: {pairs}; {found}.")
    return made


def order(table: list[Row], data: str, metric: str = "nmi") -> tuple[int, int, int]:
    """Pairs of rows that the paper orders by ``metric`` on ``data``: ours in the same order, reversed, too close.

    Too close: by the t test for pairs, with Holm's correction for the number of pairs of rows. Backbone and output are
    no pair.
    """
    known = [row for row in table if row.by_seed.get(metric) and metric in row.published.get(data, {})]
    sides, theirs = {}, {}
    for a, b in combinations(known, 2):
        gap = a.published[data][metric][0] - b.published[data][metric][0]
        if gap and {a.stage, b.stage} != {"backbone", "output"}:
            name = (a.name, a.stage, b.name, b.stage)
            sides[name], theirs[name] = (a.by_seed[metric], b.by_seed[metric]), gap
    found = compare_seeds.compare(f"all pairs of rows, {metric}", sides)
    shown = {name: d for name, d in found.items() if d.verdict in (compare_seeds.BETTER, compare_seeds.WORSE)}
    same = sum((d.gap > 0) == (theirs[name] > 0) for name, d in shown.items())
    return same, len(shown) - same, len(found) - len(shown)


def chart(table: list[Row], number: int, title: str) -> Figure:
    """NMI of every row, ours (bar, ± std over training seeds) and as published (marks)."""
    made, axes = figure(1, width=7.2, height=1.3 + 0.42 * len(table))
    axis = axes[0, 0]
    names = [f"{row.name}, {row.stage}" if number == 4 else row.name for row in table]
    place = np.arange(len(table))
    ours = np.array([row.ours.get("nmi", (np.nan, 0.0)) for row in table])
    for bars in interval_bars(axis, ours[:, :1], ours[:, 1:], [COLOURS[5]], "h"):  # one, or none without a number
        bars.set_label("ours, ± std over seeds")
    for count, data in enumerate(table[0].published):
        at = [row.published.get(data, {}).get("nmi", (np.nan,))[0] for row in table]
        axis.scatter(
            at, place, marker=MARKS[count], color=COLOURS[(4, 7, 2, 6)[count]], label=f"paper, {data}", zorder=3
        )
    for y, row in zip(place, table, strict=True):
        if not row.ours:
            marks = [values["nmi"][0] for values in row.published.values()]
            x, side = (max(marks) + 0.03, "left") if max(marks) < 0.7 else (min(marks) - 0.03, "right")
            axis.text(x, y, "not implemented yet", ha=side, va="center", fontsize=8, color="0.35")
    axis.set_yticks(place, names, fontsize=9)
    axis.set(xlabel="NMI with the classes (0 to 1)", ylabel="", title=title, xlim=(0, 1.05))
    axis.set_ylim(len(table) - 0.5, -0.5)  # the first row on top
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return made


def write(table: list[Row], number: int, data: str, note: str, folder: Path) -> list[Path]:
    """table-N-D.csv, .md and .png in ``folder``."""
    paths = [folder / f"table-{number}-{data_name(data)}.{ending}" for ending in ("csv", "md", "png")]
    make_folder(folder)
    checkpoint.write_text(paths[0], pd.DataFrame(lines(table)).to_csv(index=False, lineterminator="\n"))
    checkpoint.write_text(paths[1], markdown(table, number, note))
    made = chart(table, number, f"Table {number} on {data_name(data)}: {TITLES[number]}")
    checkpoint.write(paths[2], lambda file: made.savefig(file, format="png"))
    return paths


def trained(line: dict) -> tuple[int, float]:
    """Epochs and seconds of a line; tables from before they were noted have neither."""
    return int(line.get("epochs") or 0), float(line.get("seconds") or 0)


def read(number: int, data: str, folder: Path) -> list[Row]:
    """The rows that :func:`write` left in ``folder``, to four digits; of the published values without their std.

    Tables from before the scores of single seeds were kept have none in ``by_seed``.

    Raises:
        UserError: where the file is missing or is no such table.
    """
    path = folder / f"table-{number}-{data_name(data)}.csv"
    found: dict[tuple[str, str], Row] = {}
    try:
        for line in pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records"):
            name, stage, metric = line["row"], line["stage"], line["metric"]
            row = found.setdefault((name, stage), Row(name, stage, {}, int(line["seeds"] or 0), {}, *trained(line)))
            if row.seeds:
                row.ours[metric] = (float(line["ours"]), float(line["ours std"]))
            if line.get("by seed"):
                pairs = (word.split(":") for word in line["by seed"].split())
                row.by_seed[metric] = {int(seed): float(value) for seed, value in pairs}
            for column, value in line.items():
                if column.startswith("published ") and value:
                    row.published.setdefault(column.removeprefix("published "), {})[metric] = (float(value), None)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; make it with python -m cdlearn.compare --table {number}") from None
    except pd.errors.EmptyDataError:
        raise UserError(f"{path} is empty; make it again") from None
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); make it again") from error
    if not found:
        raise UserError(f"{path} is empty; make it again")
    return list(found.values())
