"""The paper's tables as commands: ``python -m cdlearn.compare --table N [--data D] [--preset P] [--seeds S …]``.

Runs what the table needs, takes up what an earlier call left, and writes figures/table-N-D.csv, .md and .png with the
published values beside ours. Tables 2 and 3 compare methods, 4 to 10 switch parts of CD off; 2 and 8 to 10 look at the
backbone, 3 and 5 to 7 at the output, 4 at both. A method that assigns clusters by itself is scored by them at the
output, all others by K-means. Rows that the paper does not have stand below its own: controls, and seed 003's method.
"""

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from cdlearn import checkpoint
from cdlearn.config import Config
from cdlearn.data import ImageSet, load
from cdlearn.errors import UserError
from cdlearn.evaluate import assignment_scores, cluster_scores, embed, raw_pixels
from cdlearn.methods import needs_clusters
from cdlearn.train import fit, fresh_model

METRICS = ("nmi", "ari", "acc")
STAGES = {2: ("backbone",), 3: ("output",), 4: ("backbone", "output")}
STAGES |= {5: ("output",), 6: ("output",), 7: ("output",), 8: ("backbone",), 9: ("backbone",), 10: ("backbone",)}
TITLES = {2: "K-means on the backbone", 3: "the final output", 4: "entropy and BatchNorm in the heads"}
TITLES |= {5: "schedule and clipping", 6: "the feature heads", 7: "augmenting one view or both"}
TITLES |= {8: "schedule and clipping", 9: "the feature heads", 10: "augmenting one view or both"}
NO_LABELS = "{} has no class sub-folders; a table compares with labels"
IMAGES_SEED = 42  # of which images are drawn, whatever the training's seed: rows differ in one thing only
PIXELS, RANDOM = {"pixels": True}, {"random": True}  # stand for K-means on raw pixels and on an untrained backbone
PLAIN = dict(cosine=False, clip=0.0)  # Table 4's last row is Table 5's first: it was run without schedule and clipping
SCHEDULE = {"schedule+clip=off": PLAIN, "schedule+clip=on": {}}
HEADS = {"feature head=off": dict(method="simclr"), "feature head=on": {}}
ONE_VIEW = {"single-view augmentation": dict(both_views=False), "dual-view augmentation": {}}
OURS: dict[int, dict[str, dict]] = {  # table -> the name of a row in published.csv -> what it changes in Config
    2: {
        "K-means": PIXELS,
        **{name: dict(method=name.lower()) for name in ("AE", "DAE", "VAE", "CC")},
        "CD-128": dict(batch_size=128, heads=128, dim=128),
        "CD-256": dict(batch_size=256, heads=256, dim=256),
        "SimCLR": dict(method="simclr"),
        "Cluster centres": dict(method="centres"),
        "Random network": RANDOM,
    },
    4: {
        "NE=off BN=off": dict(alpha=0.0, head_batch_norm=False, **PLAIN),
        "row 2 (NE=on BN=off)": dict(head_batch_norm=False, **PLAIN),
        "row 3 (NE=off BN=on)": dict(alpha=0.0, **PLAIN),
        "NE=on BN=on": PLAIN,
    },
    **{5: SCHEDULE, 8: SCHEDULE, 6: HEADS, 9: HEADS, 7: ONE_VIEW, 10: ONE_VIEW},
}  # fmt: skip
CODES = (
    "AE",
    "DAE",
    "VAE",
)  # K-means on the code (mu of the VAE), as is usual: their output, whatever the table's stage
OURS[3] = {name: OURS[2][name] for name in ("CC", "CD-128", "CD-256", "SimCLR", "Cluster centres")}


@dataclass(frozen=True)
class Row:
    """A row of a table at one stage: ``ours`` and ``published`` map a metric to (mean, std or None)."""

    name: str
    stage: str
    ours: dict[str, tuple[float, float]]
    seeds: int
    published: dict[str, dict[str, tuple[float, float | None]]]  # data set -> metric -> ...


def published(table: int) -> dict[tuple[str, str], dict]:
    """(row, stage) -> data set -> metric -> (value, std or None), in the paper's order.

    Raises:
        UserError: for a table the paper does not have.
    """
    if table not in STAGES:
        raise UserError(f"there is no table {table}; the paper's comparisons are tables 2 to 10")
    found: dict[tuple[str, str], dict] = {}
    with Path(__file__).with_name("published.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            if int(line["table"]) == table:
                stage = "output" if line["stage"] == "final output" else line["stage"]
                of_row = found.setdefault((line["method"], stage), {}).setdefault(line["dataset"], {})
                of_row[line["metric"].lower()] = (float(line["value"]), float(line["std"]) if line["std"] else None)
    return found


def measure(config: Config, images: ImageSet, home: Path) -> dict[str, dict[str, float]]:
    """Train ``config``, or take up or reuse an earlier run of it: stage -> scores against the labels.

    A stage is scored by K-means; the output of a method that is told the number of clusters by its own, the argmax.

    Raises:
        UserError: where there are no labels, or an earlier run is damaged; it is named and left as it is.
    """
    if images.labels is None:
        raise UserError(NO_LABELS.format(config.data))
    config = config.for_images(images)
    out = (
        home
        / f"{Path(config.data).name}-{config.method}-s{config.seed}-{len(images)}-{checkpoint.digest(config.as_dict())}"
    )
    scores = out / "table.json"
    if scores.exists():
        try:
            return json.loads(scores.read_text())
        except ValueError as error:
            raise UserError(f"{scores} is damaged ({error}); remove it to score the run again") from error
    out.mkdir(parents=True, exist_ok=True)
    model = fit(config, images, out, resume=(out / "checkpoint.pt").exists(), progress=sys.stderr.isatty())
    features = embed(model, images.images, config.size, amp=config.amp)
    found = {}
    for stage, values in features.items():
        assigned = stage == "output" and needs_clusters(config.method)
        found[stage] = (
            assignment_scores(values, images.labels)
            if assigned
            else cluster_scores(values, images.labels, seeds=config.kmeans_seeds)
        )
    checkpoint.write_text(scores, json.dumps(found, indent=1) + "\n")
    return found


def rows(
    table: int,
    preset: str = "laptop",
    seeds: tuple[int, ...] = (42, 43, 44),
    home: Path = Path("runs/compare"),
    **settings,
) -> list[Row]:
    """Every row of a table; ours is empty where one is not implemented. ``settings`` go to every run's Config.

    Finished runs in ``home`` are used again, others taken up where they stopped.
    """
    known = published(table)
    first = Config.preset(preset, **settings | {"seed": seeds[0]})
    images = load(first.data, first.size, first.limit, IMAGES_SEED)
    values: dict[str, list[dict]] = {}
    for name, changes in OURS[table].items():
        if changes is PIXELS:
            values[name] = [control(images, first, raw_pixels(images.images, first.size))]
            continue
        for seed in seeds:
            config = Config.preset(preset, **settings | ({} if changes is RANDOM else changes) | {"seed": seed})
            if changes is RANDOM:
                features = embed(fresh_model(config), images.images, config.size, amp=config.amp)["backbone"]
                found = control(images, config, features)
            else:
                found = measure(config, images, home)
            values.setdefault(name, []).append(found)
    made = []
    more = {(name, stage): {} for stage in STAGES[table] for name in OURS[table] if (name, stage) not in known}
    for (name, stage), by_data in {**known, **more}.items():
        at = "output" if name in CODES else stage
        runs = [run[at] for run in values.get(name, [])]
        ours = {m: (float(np.mean([r[m] for r in runs])), float(np.std([r[m] for r in runs]))) for m in METRICS if runs}
        made.append(Row(name, "code" if name in CODES else stage, ours, len(runs), by_data))
    return made


def control(images: ImageSet, config: Config, features: Tensor) -> dict[str, dict[str, float]]:
    """The scores of what trains nothing, (N, D), the same at both stages. Raises UserError without labels."""
    if images.labels is None:
        raise UserError(NO_LABELS.format(config.data))
    scores = cluster_scores(features, images.labels, seeds=config.kmeans_seeds)
    return {"backbone": scores, "output": scores}


def lines(table: list[Row]) -> list[dict]:
    """For the CSV: a line a row, stage and metric, ours beside each published data set."""
    found = []
    for row in table:
        for metric in METRICS:
            mean, std = row.ours.get(metric, ("not implemented yet", ""))
            line = {"row": row.name, "stage": row.stage, "metric": metric, "seeds": row.seeds or ""}
            line |= {"ours": mean if isinstance(mean, str) else f"{mean:.4f}"}
            line |= {"ours std": std if isinstance(std, str) else f"{std:.4f}"}
            line |= {f"published {data}": values.get(metric, ("",))[0] for data, values in row.published.items()}
            found.append(line)
    return found


def markdown(table: list[Row], number: int, note: str) -> str:
    """The table as Markdown, a metric a column for ours, NMI alone for the published ones."""
    data = list(table[0].published)
    head = [
        "row",
        "K-means on",
        *(f"{m.upper()}, ours" for m in METRICS),
        "seeds",
        *(f"NMI, {d} (paper)" for d in data),
    ]
    text = [f"# Table {number}: {TITLES[number]}", "", note, "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in table:
        ours = [f"{row.ours[m][0]:.3f} ± {row.ours[m][1]:.3f}" if row.ours else "not implemented yet" for m in METRICS]
        paper = [f"{row.published[d]['nmi'][0]:.3f}" if d in row.published else "" for d in data]
        text.append(f"| {' | '.join([row.name, row.stage, *ours, str(row.seeds or ''), *paper])} |")
    return "\n".join(text) + "\n"


def chart(table: list[Row], number: int, title: str) -> Figure:
    """NMI of every row, ours (bar, ± std over training seeds) and as published (marks)."""
    from cdlearn.plots import COLOURS, MARKS, figure

    made, axes = figure(1, width=7.2, height=1.3 + 0.42 * len(table))
    axis = axes[0, 0]
    names = [f"{row.name}, {row.stage}" if number == 4 else row.name for row in table]
    place = np.arange(len(table))[::-1]
    ours = [row.ours.get("nmi", (np.nan, 0.0)) for row in table]
    axis.barh(place, [v for v, _ in ours], 0.6, xerr=[s for _, s in ours], capsize=3, color=COLOURS[5], label="ours",
              edgecolor="0.2", linewidth=0.6)  # fmt: skip
    for count, data in enumerate(table[0].published):
        at = [row.published.get(data, {}).get("nmi", (np.nan,))[0] for row in table]
        axis.scatter(
            at, place, marker=MARKS[count], color=COLOURS[(4, 7, 2, 6)[count]], label=f"paper, {data}", zorder=3
        )
    for y, row in zip(place, table, strict=True):
        if not row.ours:
            axis.text(0.01, y, "not implemented yet", va="center", fontsize=8, color="0.35")
    axis.set_yticks(place, names, fontsize=9)
    axis.set(xlabel="NMI of K-means against the classes (0 to 1)", title=title, xlim=(0, 1.05))
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return made


def write(table: list[Row], number: int, data: str, note: str, folder: Path) -> list[Path]:
    """table-N-D.csv, .md and .png in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"table-{number}-{Path(data).name}"
    content = lines(table)
    names = list(dict.fromkeys(name for line in content for name in line))
    text = [",".join(names)] + [",".join(str(line.get(name, "")) for name in names) for line in content]
    checkpoint.write_text(stem.with_suffix(".csv"), "\n".join(text) + "\n")
    checkpoint.write_text(stem.with_suffix(".md"), markdown(table, number, note))
    made = chart(table, number, f"Table {number} on {Path(data).name}: {TITLES[number]}")
    checkpoint.write(stem.with_suffix(".png"), lambda file: made.savefig(file, format="png"))
    return [stem.with_suffix(ending) for ending in (".csv", ".md", ".png")]


if __name__ == "__main__":
    from cdlearn import cli

    raise SystemExit(cli.compare())
