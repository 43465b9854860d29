"""The family tree of deep clustering: what each method of Tables 2 and 3 added, and what it reaches here."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from cdlearn.course import HOME
from cdlearn.methods import METHODS, needs_clusters
from cdlearn.results import tables
from cdlearn.results.plots import COLOURS, figure, interval_bars

DATA = {"shapes": "swatches", "patches": "patches of photographs", "tiny10": "tiny10, whole photographs"}
# row of a table -> year of its publication; controls have none
YEARS = {"K-means": 0, "Random network": 0, "AE": 2006, "DAE": 2008, "DeCNN": 2010}
YEARS |= {
    "DeCNN: never trained": 0,
    "VAE": 2013,
    "DCGAN": 2015,
    "DEC": 2016,
    "JULE": 2016,
    "DAC": 2017,
    "DCCM": 2019,
    "PICA": 2020,
    "SimCLR": 2020,
    "CC": 2021,
}
YEARS |= {"Cluster centres": 2021, "CD-128": 2024, "CD-128: untrained heads": 0}
NAMES = {"K-means": "raw pixels", "Random network": "random network", "CD-128": "CD"}
NAMES |= {"Cluster centres": "cluster centres", "DeCNN: never trained": "DeCNN, never trained"}
NAMES |= {"CD-128: untrained heads": "CD, untrained heads"}


def records() -> pd.DataFrame:
    """What ``compare --table 2`` and ``3`` left in figures/, of each method's own result, one row per data set.

    A method's own result is its clusters if it was given K, else K-means on its code, its output, or the pixels.
    Columns: data, method, year, given (whether it was given K), nmi, std (over training seeds), epochs, seconds.
    """
    found = []
    for data in DATA:
        rows = {}
        for number in (2, 3):  # the output's table last: where both have a row, the output counts
            rows |= {row.name: row for row in tables.read(number, data, HOME / "figures")}
        for name, year in YEARS.items():
            row = rows[name]
            nmi, std = row.ours["nmi"]
            key = name.lower().replace("cluster ", "")
            given = key in METHODS and needs_clusters(key)
            more = {"nmi": nmi, "std": std, "epochs": row.epochs, "seconds": row.seconds}
            found.append({"data": data, "method": NAMES.get(name, name), "year": year, "given": given} | more)
    return pd.DataFrame(found)


def chart(found: pd.DataFrame) -> Figure:
    """NMI of every method, in the order of their years, a panel per data set; hatched: given the number of clusters."""
    made, axes = figure(len(DATA), width=3.5, height=5.2)
    for axis, (data, title) in zip(axes[0], DATA.items(), strict=True):
        rows = found[found["data"] == data].reset_index(drop=True)
        (bars,) = interval_bars(axis, rows[["nmi"]].to_numpy(), rows[["std"]].to_numpy(), [COLOURS[5]], "h")
        for bar, row in zip(bars, rows.itertuples(), strict=True):
            bar.set_facecolor("0.75" if not row.year else COLOURS[1] if row.given else COLOURS[5])
            bar.set_hatch("//" if row.given else "")
            axis.text(row.nmi + row.std + 0.02, row.Index, f"{row.nmi:.2f}", va="center", fontsize=8)
        names = [f"{row.method} ({row.year})" if row.year else row.method for row in rows.itertuples()]
        axis.set_yticks(range(len(rows)), names if data == next(iter(DATA)) else [""] * len(rows), fontsize=9)
        axis.set(title=title, xlabel="NMI with the classes (0 to 1)", ylabel="", xlim=(0, 1.15))
        axis.set_xticks(np.arange(0, 1.01, 0.25))
        axis.set_ylim(len(rows) - 0.5, -0.5)  # the first row on top
    kinds = {"without K": dict(facecolor=COLOURS[5]), "given K": dict(facecolor=COLOURS[1], hatch="//")}
    kinds["control"] = dict(facecolor="0.75")
    handles = [Patch(label=name, edgecolor="0.2", linewidth=0.6, **look) for name, look in kinds.items()]
    made.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return made


def hue_quarters(images: Tensor) -> np.ndarray:
    """uint8 images (N, 3, H, W) -> the quarter, 0 to 3, that the hue of each one's mean colour falls into.

    The quarters hold equally many images. Hue is the angle of the mean colour around the grey axis.
    """
    red, green, blue = images.float().mean((2, 3)).numpy().T
    hue = np.arctan2(3**0.5 * (green - blue), 2 * red - green - blue)
    return np.digitize(hue, np.quantile(hue, (0.25, 0.5, 0.75)))
