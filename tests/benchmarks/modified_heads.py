"""Decorrelated heads, published heads, SimCLR and untrained heads: a row per run of records/modified-heads.csv.

    python tests/benchmarks/modified_heads.py --tiny10 path/to/tiny10
    python tests/benchmarks/modified_heads.py --table      # writes figures/modified-heads.md and .png

*Decorrelated* heads ("mended" in the record) are compared by correlation, at temperature 0.2 (``--heads-similarity
correlation --feature-temperature 0.2``). That was fixed before the seeds of this record were run. Runs of the record,
and of records/regimes.csv, are not repeated. Runs of one seed share first weights, order and views, so the comparisons
are paired (cdlearn/results/compare_seeds.py); a family is what was asked of one set of images, in one score.
The scores are those of regimes.py; tiny10 has 120,000 views. Motifs have independent attributes, so there are two
more scores of y: the AUC of an attribute's best head (a mean over the attributes), and DCI's disentanglement.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from budget import RECORDS, append, recorded
from matplotlib.figure import Figure
from paired_claims import EXPLAINED, comparisons, markdown
from regimes import REGIMES, measure

from cdlearn import disentanglement, mig_dci
from cdlearn.data import ImageSet
from cdlearn.results.plots import COLOURS, figure, interval_bars
from cdlearn.runtime.commandline import guarded
from cdlearn.runtime.errors import UserError

RECORD = RECORDS / "modified-heads.csv"
DECORRELATED = dict(heads_similarity="correlation", feature_temperature=0.2)
ARMS = {
    "CD": {},
    "SimCLR": dict(method="simclr"),
    "mended": DECORRELATED,
}
CLAIMS = (
    ("decorrelated heads over published ones", "mended", "CD"),
    ("decorrelated heads over SimCLR", "mended", "SimCLR"),
    ("decorrelated heads over untrained heads on the same z", "mended", "mended"),
)
LABELS = {"CD": "CD, published heads", "mended": "CD, decorrelated heads"}
COLUMNS = {
    "nmi h": "NMI of h",
    "nmi y": "NMI of the output",
    "nmi never trained": "NMI, untrained heads",
    "ari y": "ARI of the output",
    "acc y": "ACC of the output",
    "knn y": "kNN of the output",
    "correlation": "mean abs. correlation of two heads",
    "best": "AUC of the best head",
    "D forest": "DCI (forest)",
}


def single_heads(y: np.ndarray, images: ImageSet) -> dict[str, float]:
    """What single heads know of independent attributes: y (N, K) -> mean AUC of the best heads, and DCI."""
    found = disentanglement.attribute_scores(y, images.attributes, permutations=0)
    best = pd.DataFrame(found).groupby("attribute")["auc"].mean().mean()
    return {
        "best": round(best, 4),
        "D forest": round(mig_dci.dci(y, images.attributes, "forest")["disentanglement"], 4),
    }


def known() -> list[dict]:
    """Rows of this record, and those of records/regimes.csv that belong to it."""
    others = [r for r in recorded(RECORDS / "regimes.csv") if r["regime"] == "patches" and r["arm"] in ARMS]
    return others + recorded(RECORD)


def table(rows: list[dict]) -> str:
    """Mean ± standard deviation over the seeds for each regime and arm, as Markdown."""
    frame = pd.DataFrame(rows).replace("", np.nan)
    columns = {name: title for name, title in COLUMNS.items() if name in frame}
    lines = [f"| images | heads | seeds | {' | '.join(columns.values())} |", "|---" * (3 + len(columns)) + "|"]
    for (regime, arm), part in frame.groupby(["regime", "arm"], sort=False):
        cells = []
        for name in columns:
            values = part[name].astype(float).dropna()
            cells.append(f"{values.mean():.3f} ± {values.std():.3f}" if len(values) > 1 else "")
        lines.append(f"| {regime} | {LABELS.get(arm, arm)} | {len(part)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def chart(rows: list[dict]) -> Figure:
    """NMI of h, of the output and of untrained heads, a panel per set of images; intervals: ± one std."""
    frame = pd.DataFrame(rows).replace("", np.nan)
    names = {"nmi h": "h", "nmi y": "output (y; SimCLR: z)", "nmi never trained": "untrained heads"}
    regimes = list(dict.fromkeys(frame["regime"]))
    made, (axes,) = figure(len(regimes), width=4.2, height=3.6)
    for axis, regime in zip(axes, regimes, strict=True):
        part = frame[frame["regime"] == regime]
        by_arm = part.groupby("arm")[list(names)].agg(lambda v: v.astype(float).mean()).reindex(list(ARMS))
        spread = part.groupby("arm")[list(names)].agg(lambda v: v.astype(float).std()).reindex(list(ARMS))
        bars = interval_bars(axis, by_arm.to_numpy(), spread.fillna(0).to_numpy(), [COLOURS[i] for i in (0, 4, 2)])
        for container, hatch, label in zip(bars, ("", "//", ".."), names.values(), strict=False):
            container.set_label(label)
            for bar in container:
                bar.set_hatch(hatch)
        axis.set_xticks(range(len(ARMS)), [LABELS.get(arm, arm).replace(", ", ",\n") for arm in ARMS])
        axis.set(title=regime, xlabel="", ylabel="NMI of K-means (0 to 1)")
    handles, labels = axes[0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return made


def report() -> None:
    """Write modified-heads.md and modified-heads.png beside the record's folder."""
    rows, home = known(), RECORDS.parent
    compared = markdown(comparisons(rows, CLAIMS, "decorrelated heads"))
    text = (
        "# Decorrelated heads\n\nMeasured with `python tests/benchmarks/modified_heads.py`: mean ± standard deviation "
        f"over training seeds.\n\n{table(rows)}\n\n{EXPLAINED}\n\n{compared}\n"
    )
    (home / "modified-heads.md").write_text(text)
    chart(rows).savefig(home / "modified-heads.png")
    print(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny10", type=Path, help="folder of whole photographs; left out if not given")
    parser.add_argument("--regimes", nargs="+", choices=("motifs", "patches", "tiny10"), help="all if not given")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44, 45, 46])
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    regimes = {"motifs": dict(data="motifs"), "patches": REGIMES["patches"]}
    if asked.tiny10:
        regimes["tiny10"] = dict(data=str(asked.tiny10), views=120_000)
    elif "tiny10" in (asked.regimes or ()):
        raise UserError("tiny10 is a folder of yours; name it with --tiny10 FOLDER")
    for seed, regime, arm in product(asked.seeds, asked.regimes or regimes, [] if asked.table else asked.arms):
        if (regime, arm, str(seed)) not in {(row["regime"], row["arm"], row["seed"]) for row in known()}:
            about = {"regime": regime, "arm": arm, "seed": seed}
            row = measure(regimes[regime] | ARMS[arm], about, single_heads if regime == "motifs" else None)
            append(RECORD, row)
            print(row, flush=True)
    report()


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(guarded(main))
