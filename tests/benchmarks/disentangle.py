"""Does each head know one attribute? CD, SimCLR and their controls on motifs, whose attributes are independent.

    python tests/benchmarks/disentangle.py

It trains CD and SimCLR for each of ``--seeds``, measures every code, adds a row per code to
figures/records/disentangle.csv, and writes figures/disentangle.md and .png. A call that was cut goes on where it
stopped. ``--methods cd --seeds 42`` does a part.

Every code is measured three times: as it is; *turned*, that is rotated at random, which leaves the information and
removes the meaning from the axes; and with *shuffled* attributes, which leaves nothing to know. The comparisons and the
measures that are tested were fixed before the record's seeds were run; the images were designed on seeds 0 and 1.
"""

import argparse
import csv
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from cdlearn import disentanglement, mig_dci
from cdlearn.config import Config
from cdlearn.data import ImageSet, load
from cdlearn.data.motifs import VALUES
from cdlearn.evaluate import embed, raw_pixels
from cdlearn.methods.cd import feature_heads
from cdlearn.results import compare_seeds, plots
from cdlearn.results.compare_seeds import Difference
from cdlearn.runtime import rng
from cdlearn.runtime.devices import cpu_kind
from cdlearn.trainer import fit, fresh_model

FIGURES = Path(__file__).resolve().parents[2] / "figures"
RECORD = FIGURES / "records" / "disentangle.csv"
CLEAR = 0.7  # an AUC that is knowledge worth a name; the bar of chance is about 0.55
CODES = {  # code -> whose run it comes from
    "raw pixels": "simclr",
    "random network, h": "simclr",
    "SimCLR, h": "simclr",
    "SimCLR, z": "simclr",
    "untrained heads, on SimCLR's z": "simclr",
    "CD, h": "cd",
    "CD, z": "cd",
    "untrained heads, on CD's z": "cd",
    "CD, y": "cd",
}
MEASURES = {  # column of the record -> how it is called in the figure
    "best": "AUC of the best head",
    "one": "share of heads that know\nexactly one (above chance)",
    "one clear": f"share of heads that know\nexactly one (AUC > {CLEAR})",
    "MIG": "mutual information gap",
    "D lasso": "DCI, disentanglement (lasso)",
    "C lasso": "DCI, completeness (lasso)",
    "I lasso": "DCI, informativeness (lasso)",
    "D forest": "DCI, disentanglement (forest)",
    "C forest": "DCI, completeness (forest)",
    "known": "attributes per head (above chance)",
    "dimensions": "dimensions of the code",
}
KINDS = ("it is", "turned", "shuffled")
TESTED = ("best", "one", "one clear", "MIG", "D lasso", "D forest")
COMPARED = ("SimCLR, z", "untrained heads, on CD's z", "untrained heads, on SimCLR's z", "CD, y, turned")


def codes(method: str, config: Config, images: ImageSet) -> dict[str, Tensor]:
    """Train (or take up a finished run) and return its codes, each (N, D)."""
    out = Path("runs") / f"disentangle-{method}-s{config.seed}"
    out.mkdir(parents=True, exist_ok=True)
    model = fit(config, images, out, resume=(out / "checkpoint.pt").exists())
    features, device = embed(model, images.images, config.size, amp=config.amp), next(model.parameters()).device
    h = features["backbone"].to(device)
    with torch.no_grad():
        z = model.projector(h)
        fresh = untrained_heads(z, config)
    if method == "cd":
        return {"CD, h": h, "CD, z": z, "untrained heads, on CD's z": fresh, "CD, y": features["output"]}
    random = embed(fresh_model(config), images.images, config.size, amp=config.amp)["backbone"]
    pixels = raw_pixels(images.images, 8)  # 192 values: about as many as the others have
    controls = {"raw pixels": pixels, "random network, h": random}
    return controls | {"SimCLR, h": h, "SimCLR, z": z, "untrained heads, on SimCLR's z": fresh}


def untrained_heads(z: Tensor, config: Config) -> Tensor:
    """Outputs of fresh heads on z (N, dim): (N, heads). Their BatchNorm takes the moments of these N images."""
    with rng.drawing(z.device, config.seed, "weights", 1):
        heads: nn.Module = feature_heads(config.dim, config.hidden, config.heads).to(z.device)
    return torch.sigmoid(heads(z))


def measure(code: np.ndarray, attributes: dict[str, Tensor], seed: int) -> dict[str, float]:
    """Every measure of a code (N, D), and per attribute the held-out AUC of the best head, a mean over its values."""
    rows = disentanglement.attribute_scores(code, attributes, permutations=0, seed=seed)
    best = {name: np.mean([row["auc"] for row in rows if row["attribute"] == name]) for name in attributes}
    auc, bar = disentanglement.attribute_auc(code, attributes, seed=seed)
    found = {"best": np.mean(list(best.values())), "bar": bar}
    found |= {
        "one": disentanglement.fraction_encoding_one(auc, bar),
        "one clear": disentanglement.fraction_encoding_one(auc, CLEAR),
    }
    found |= {"known": (auc > bar).sum(1).mean(), "dimensions": dimensions(code)}
    found["MIG"] = mig_dci.mutual_information_gap(code, attributes)
    for reader in ("lasso", "forest"):
        scores = mig_dci.dci(code, attributes, reader, seed)
        found |= {f"{name[0].upper()} {reader}": value for name, value in scores.items()}
    return {name: round(float(value), 5) for name, value in (found | best).items()}


def dimensions(code: np.ndarray) -> float:
    """How many directions code (N, D) spreads over: the participation ratio of its correlation matrix, 1 to D."""
    code = code[:, code.std(0) > 0]
    return code.shape[1] ** 2 / np.square(np.corrcoef(code.T)).sum()


def record(methods: list[str], seeds: list[int]) -> None:
    """Measure what the record lacks."""
    for seed, method in product(seeds, methods):
        done = pd.read_csv(RECORD) if RECORD.exists() else pd.DataFrame(columns=["seed", "code", "as"])
        done = set(zip(done.seed, done.code, done["as"], strict=True))
        if {(seed, code, kind) for code in CODES if CODES[code] == method for kind in KINDS} <= done:
            continue
        config = Config.preset("laptop", data="motifs", method=method, seed=seed)
        images = load("motifs", config.size, seed=seed)
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(images)))
        shuffled = {name: values[order] for name, values in images.attributes.items()}
        for name, code in codes(method, config, images).items():
            code = code.cpu().numpy()
            cases = (code, images.attributes), (mig_dci.rotated(code, seed), images.attributes), (code, shuffled)
            for kind, case in zip(KINDS, cases, strict=True):
                if (seed, name, kind) not in done:
                    about = {"seed": seed, "code": name, "as": kind, "machine": cpu_kind()}
                    append(about | measure(*case, seed))
        print(f"{method}, seed {seed}: measured", flush=True)


def append(row: dict) -> None:
    """Add a row. Several processes may, because a row is written in one piece."""
    with RECORD.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def by_seed(table: pd.DataFrame, code: str, measure: str) -> pd.Series:
    """The values of a measure, one per seed; the code's name may end in ", turned"."""
    turned = code.endswith(", turned")
    rows = table[(table.code == code.removesuffix(", turned")) & (table["as"] == ("turned" if turned else "it is"))]
    return rows.set_index("seed")[measure].sort_index()


def differences(table: pd.DataFrame) -> dict[tuple[str, str], Difference]:
    """(other code, measure) -> CD's y against it, pair by pair over the seeds; one family."""
    sides = {
        (other, measure): (by_seed(table, "CD, y", measure), by_seed(table, other, measure))
        for other, measure in product(COMPARED, TESTED)
    }
    return compare_seeds.compare("CD's y against each code in each tested measure", sides)


def markdown(table: pd.DataFrame) -> str:
    """The tables: means and deviations, the best heads by attribute, the differences."""
    seeds = ", ".join(map(str, sorted(table.seed.unique())))
    attributes = list(VALUES)

    def line(cells) -> str:
        return "| " + " | ".join(cells) + " |"

    def block(title: str, columns: list[str], kind: str) -> list[str]:
        lines = ["", f"## {title}", "", line(["", *columns]), "|" + "---|" * (len(columns) + 1)]
        for code in CODES:
            rows = table[(table.code == code) & (table["as"] == kind)]
            lines.append(line([code, *(f"{rows[name].mean():.3f} ± {rows[name].std():.3f}" for name in columns)]))
        return lines

    made = ["# Does each head know one attribute?", ""]
    made.append(f"Measured with `python tests/benchmarks/disentangle.py`: seeds {seeds}, mean ± standard deviation.")
    made += block("As it is", list(MEASURES), "it is")
    made += block("The best head of each attribute: held-out AUC, a mean over its values", attributes, "it is")
    made += block("Turned by a random rotation", list(MEASURES), "turned")
    made += block("Shuffled attributes", list(MEASURES), "shuffled")
    made += ["", "## CD's heads y minus the others", ""]
    found = differences(table)
    tests = max(of.tests for of in found.values())
    made.append(
        "Seed by seed: mean difference [95% interval of this comparison alone], p of the t test for pairs after Holm's "
        f"correction for all {tests} tests of this table."
    )
    made += ["", line(["y minus", *TESTED]), "|" + "---|" * (len(TESTED) + 1)]
    made += [line([other, *(str(found[other, measure]) for measure in TESTED)]) for other in COMPARED]
    return "\n".join(made) + "\n"


def figure(table: pd.DataFrame):
    """A panel per tested measure: a dot per seed as it is, and below it the same code turned; chance as a line."""
    made, axes = plots.figure(3, 2, width=3.6, height=3.3)
    names = list(CODES)
    for place, (axis, measure) in enumerate(zip(axes.flat, TESTED, strict=True)):
        for row, code in enumerate(names):
            rows = table[table.code == code]
            own, turned, chance = (rows[rows["as"] == kind][measure] for kind in KINDS)
            label = dict.fromkeys(KINDS) if row else dict(zip(KINDS, ("as it is", "turned", "chance"), strict=True))
            height = [row - 0.4, row + 0.4]
            axis.plot([chance.mean()] * 2, height, color="0.65", linewidth=3, label=label["shuffled"])
            hollow = dict(markerfacecolor="white", markeredgecolor="0.35", markersize=4.5)
            axis.plot(turned, [row + 0.2] * len(turned), "o", label=label["turned"], **hollow)
            colour = plots.COLOURS[4] if code == "CD, y" else plots.COLOURS[0]
            axis.plot(own, [row - 0.15] * len(own), "D", color=colour, markersize=4.5, label=label["it is"])
        axis.set_yticks(range(len(names)), names if place % 3 == 0 else [""] * len(names))
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_title(MEASURES[measure], fontsize=10)
        plots.grid(axis, "x")
    made.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=3, frameon=False)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["cd", "simclr"], choices=["cd", "simclr"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44, 45, 46])
    asked = parser.parse_args()
    record(asked.methods, asked.seeds)
    table = pd.read_csv(RECORD)
    if len(table) == len(CODES) * len(KINDS) * table.seed.nunique() and table.seed.nunique() > 1:
        table = table.sort_values(["seed", "code", "as"], ignore_index=True)
        table.to_csv(RECORD, index=False, lineterminator="\n")
        (FIGURES / "disentangle.md").write_text(markdown(table))
        figure(table).savefig(FIGURES / "disentangle.png")


if __name__ == "__main__":
    main()
