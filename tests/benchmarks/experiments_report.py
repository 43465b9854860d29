"""Tables and figures of experiments.py, from their records: figures/experiments.md and NAME.png."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from cdlearn.results import compare_seeds, plots
from cdlearn.results.compare_seeds import SCORES

KEYS = ["data", "arm", "seed", "epochs", "epoch", "stage"]


def write(home: Path, reports: dict[str, dict]) -> None:
    """A section and a figure for every experiment that has a record; those without are named once."""
    sections, missing = [], []
    for name, report in reports.items():
        path = home / "records" / f"{name}.csv"
        if not path.exists():
            missing.append(name)
            continue
        record = pd.read_csv(path)
        sections += section(name, record, report)
        figure(record, report).savefig(home / f"{name}.png")
    text = [
        "# Experiments",
        "",
        "Measured with `python tests/benchmarks/experiments.py NAME`; mean ± standard deviation",
    ]
    text += [
        "over training seeds. Arms are compared pair by pair over the seeds ([how](README.md#how-runs-are-compared)).",
        "",
    ]
    text += [*sections, *([f"Not yet measured: {', '.join(missing)}."] if missing else [])]
    (home / "experiments.md").write_text("\n".join(text).rstrip() + "\n")
    print("\n".join(text))


def section(name: str, record: pd.DataFrame, report: dict) -> list[str]:
    """The table of the ends of all runs, and below it every arm against the reference."""
    ends = record[record["epoch"] == record["epochs"]]
    columns = [
        c
        for c in (*SCORES, "spread", "entropy", "from one half", "saturated", "logit std", "excess kurtosis")
        if c in ends
    ]
    seeds = ", ".join(map(str, sorted(ends["seed"].unique())))
    made = [f"## {name}", "", f"Seeds {seeds}.", "", f"![{name}]({name}.png)", ""]
    made += [f"| images | epochs | arm | stage | seeds | {' | '.join(SCORES.get(c, c) for c in columns)} |"]
    made += ["|---" * (5 + len(columns)) + "|"]
    for keys, some in ends.groupby(["data", "epochs", "arm", "stage"], sort=False):
        by_seed = some.groupby("seed")[columns].mean()  # one row, or the many of a histogram
        cells = [shown(by_seed[column]) for column in columns]
        made.append(f"| {' | '.join(map(str, [*keys, len(by_seed), *cells]))} |")
    return [*made, "", *differences(name, ends, report.get("reference")), ""]


def shown(values: pd.Series) -> str:
    """Mean ± standard deviation, or the single value."""
    values = values.dropna()
    spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}" if len(values) else ""


def differences(name: str, ends: pd.DataFrame, reference: str | None) -> list[str]:
    """Every arm minus the reference, at each length and stage that both have; one family for each score."""
    if reference is None or reference not in set(ends["arm"]):
        return []
    found: dict[tuple, dict] = {}
    for score, title in SCORES.items():
        sides = {}
        for (data, epochs, stage), some in ends[ends["epochs"] > 0].groupby(["data", "epochs", "stage"], sort=False):
            by_arm = {arm: part.set_index("seed")[score] for arm, part in some.groupby("arm", sort=False)}
            untrained = ends[(ends["data"] == data) & (ends["epochs"] == 0) & (ends["stage"] == stage)]
            by_arm |= {arm: part.set_index("seed")[score] for arm, part in untrained.groupby("arm", sort=False)}
            for arm in by_arm if reference in by_arm else ():
                if arm != reference:
                    sides[data, epochs, stage, arm] = (by_arm[arm], by_arm[reference])
        for key, difference in compare_seeds.compare(f"{name}, {title}", sides).items():
            found.setdefault(key, {})[title] = difference
    lines = [
        f"| images | epochs | stage | minus {reference} | pairs | {' | '.join(SCORES.values())} | in words |",
        "|---" * (6 + len(SCORES)) + "|",
    ]
    for key, each in found.items():
        pairs = max(d.pairs for d in each.values())
        cells = [*key, pairs, *(each[title] for title in SCORES.values()), compare_seeds.in_words(each)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    tests = max((d.tests for each in found.values() for d in each.values()), default=0)
    covered = f"Holm's correction covers the {tests} tests of this table in one score."
    return [*lines, "", *[covered] * (tests > 0)] if found else []


def figure(record: pd.DataFrame, report: dict) -> Figure:
    """A panel per measure: a line per arm and stage, the mean over the seeds with their range.

    report: x, the column of the horizontal axis, "arm" for the number in its name; panels, the columns to draw; beside,
    a column to draw dashed next to them; log, for a logarithmic axis. What trains nothing is a horizontal line.
    """
    panels = [column for column in report["panels"] if column in record]
    made, (axes,) = plots.figure(len(panels), width=4.8, height=4.0)
    trained = record[record["epochs"] > 0]
    if report["x"] != "epoch":
        trained = trained[trained["epoch"] == trained["epochs"]]
    groups = {"epoch": ["arm", "stage"], "arm": ["stage"]}.get(report["x"], ["arm"])
    styles = list(dict.fromkeys(trained[groups].itertuples(index=False, name=None)))
    for axis, column in zip(axes, panels, strict=True):
        for names, some in trained.dropna(subset=column).groupby(groups, sort=False):
            number = styles.index(names)
            colour, label = plots.COLOURS[(0, 4, 2, 6, 7, 5, 1, 9)[number % 8]], ", ".join(names)
            x = some["arm"].str.removeprefix("alpha ").astype(float) if report["x"] == "arm" else some[report["x"]]
            by_x = some[column].groupby(x)
            style = dict(color=colour, marker=plots.MARKS[number % 10], markersize=4)
            axis.plot(by_x.mean(), label=label, markevery=max(1, len(by_x) // 10), **style)
            axis.fill_between(by_x.min().index, by_x.min(), by_x.max(), color=colour, alpha=0.15, linewidth=0)
            if report.get("beside"):
                expected = some[report["beside"]].groupby(x).mean()
                axis.plot(expected, color=colour, linestyle="--", label=f"{label}: {report['beside']}, equal spread")
        for number, (arm, some) in enumerate(record[record["epochs"] == 0].groupby("arm", sort=False)):
            if column in some and some[column].notna().any():
                line = ("--", "-.", ":", (0, (1, 3)))[number % 4]
                axis.axhline(some[column].mean(), color="0.4", linestyle=line, linewidth=1.2, label=arm)
        axis.set(xlabel={"arm": "alpha"}.get(report["x"], report["x"]), title=SCORES.get(column, column))
        if report.get("log"):
            axis.set(yscale="log", ylim=(1e-6, 1))
        plots.grid(axis)
    named = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    made.legend(named.values(), named, loc="outside lower center", ncols=min(3, len(panels)), fontsize=8, frameon=False)
    return made
