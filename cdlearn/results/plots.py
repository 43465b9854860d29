"""Every figure. Each function returns a matplotlib Figure; colours and marks stay apart in grey print as well."""

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from cdlearn.augment import central_square, to_size
from cdlearn.losses import all_half_loss, nt_xent_orthogonal, nt_xent_start

# Okabe and Ito's colours, which the colour-blind can distinguish, dark and light in turn for grey print
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#F0E442", "#D55E00", "#56B4E9", "#CC79A7", "#000000", "#999999", "#661100")
MARKS = "osD^vP*X<>"
# The look of every figure: seaborn's light frame, no line on top and at the right
LOOK = sns.axes_style("ticks", {"axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "0.3"})
LOOK |= {"xtick.labelsize": 9, "ytick.labelsize": 9}
# Loss terms that need no more than a curve: title, unit, and what 0 would mean
PLAIN = {
    "imbalance": ("imbalance of the clusters", "log K - H(P) (nats)", "all clusters used equally"),
    "clustering": ("clustering: q towards the sharper p", "divergence (nats)", "q uniform, or one-hot"),
    "anchor": ("anchor: both views towards their image", "divergence (nats)", "views are assigned as their image"),
    "prediction": ("prediction of the target", "squared distance, both views (0 to 8)", "predicted exactly"),
    "negative cosine": ("prediction of the other views", "negative cosine (-1 to 1)", "as similar as by chance"),
    "invariance": ("invariance: the views of an image", "mean squared difference", "views identical"),
    "variance": ("variance: columns with too little", "standard deviation short of 1", "all columns spread out"),
    "covariance": ("covariance of the columns", "squares, both views, per column", "columns uncorrelated"),
    "reconstruction": ("reconstruction", "mean squared error of values in 0-1", ""),
    "divergence": ("divergence of the code from noise", "nats an image", "the code carries no information"),
    "penalty": ("L1 penalty on the maps", "weight x |maps| per value", "no map is used"),
    "discriminator": ("discriminator: real or generated?", "two cross entropies (nats)", "it is never wrong"),
    "generator": ("generator: taken for real?", "cross entropy (nats)", "every generated image deceives"),
    "triplets": ("triplets: own cluster nearer than others", "squared distance", "nearer by the margin everywhere"),
    "pairs": ("pairs: of one cluster or of two?", "cross entropy of a pair (nats)", "as for the plain images"),
    "used": ("pairs that the thresholds let count", "fraction of all pairs", "none"),
    "graph": ("graph of the most confident pairs", "cross entropy of a pair (nats)", "as for the plain images"),
    "labels": ("labels of the most confident images", "cross entropy (nats)", "as for the plain images"),
    "local": ("outputs and early maps", "minus a bound, in nats", "the discriminator is never wrong"),
    "confidence": ("cross entropy of the columns' cosines", "nats", ""),
    "more": ("the second head: both of its terms", "nats", ""),
}


def figure(columns: int, rows: int = 1, width: float = 4.4, height: float = 3.4) -> tuple[Figure, np.ndarray]:
    """A grid of axes, (rows, columns), without pyplot's global list of figures."""
    made = Figure(figsize=(width * columns, height * rows), layout="constrained", dpi=110)
    with matplotlib.rc_context(LOOK):
        return made, made.subplots(rows, columns, squeeze=False)


def grid(axis: Axes, along: str = "y") -> None:
    """Light lines behind what is drawn, from which values are read."""
    axis.grid(axis=along, color="0.9", linewidth=0.8)
    axis.set_axisbelow(True)


def interval_bars(axis: Axes, means: np.ndarray, errors: np.ndarray, colours, orient: str = "v") -> list[BarContainer]:
    """Bars around the places 0 .. G-1, each with its interval mean ± error; a container for each series.

    means, errors: (G, S), G groups of S series side by side, NaN where there is no bar, error 0 for no interval;
    orient: "v" or "h".
    """
    table = pd.DataFrame(
        [
            {"place": place, "series": series, "value": end}
            for (place, series), mean in np.ndenumerate(means)
            for end in {mean - errors[place, series], mean + errors[place, series]}  # seaborn draws mean and range
        ]
    )
    x, y = ("place", "value") if orient == "v" else ("value", "place")
    sns.barplot(
        table, x=x, y=y, hue="series", orient=orient, native_scale=True, errorbar=("pi", 100), capsize=0.12, width=0.8,
        palette=list(colours)[: means.shape[1]], saturation=1, edgecolor="0.2", linewidth=0.6, gap=0.08, legend=False,
        err_kws={"color": "0.15", "linewidth": 1.2}, ax=axis,
    )  # fmt: skip
    grid(axis, "y" if orient == "v" else "x")
    return axis.containers


def reference(axis, y: float, text: str, below: bool = False) -> None:
    """A dotted horizontal line with its name on it."""
    axis.axhline(y, color="0.35", linestyle=":", linewidth=1.2)
    axis.annotate(
        text, (1, y), (-3, -2 if below else 2), xycoords=("axes fraction", "data"), textcoords="offset points",
        ha="right", va="top" if below else "bottom", fontsize=8, color="0.25",
    )  # fmt: skip


def curve(axis, epochs, values, label: str, number: int) -> None:
    """A line with a few marks, to distinguish it in grey print."""
    axis.plot(
        epochs, values, label=label, color=COLOURS[(0, 4, 2)[number]], marker=MARKS[number],
        markevery=max(1, len(epochs) // 8), markersize=5, linewidth=1.8,
    )  # fmt: skip


def losses(history: list[dict[str, float]], config) -> Figure:
    """The loss terms over the epochs, with the values they can be expected to have (rows of metrics.csv)."""
    epochs, column = [row["epoch"] for row in history], terms_of(history)
    names = ["instance", "feature", "entropy"] if "feature" in column else [name for name in column if name != "loss"]
    names = (names or ["loss"]) + ["knn"] * any("knn output" in row for row in history)
    made, axes = figure(2, len(names) // 2) if len(names) in (2, 4) else figure(len(names))
    for axis, name in zip(axes.flat, names, strict=True):
        if name == "knn":
            monitor(axis, history)
            continue
        if name != "feature":
            curve(axis, epochs, column[name], name, 0)
        axis.set(xlabel="epoch", ylabel="loss (nats)", title=name)
        if name in EXPECTED:
            EXPECTED[name](axis, config, epochs, column)
        elif name in PLAIN:
            title, unit, zero = PLAIN[name]
            axis.set(title=title, ylabel=unit)
            if zero:
                reference(axis, 0.0, zero)
        grid(axis)
        axis.margins(y=0.12)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return made


def terms_of(history: list[dict[str, float]]) -> dict[str, np.ndarray]:
    """Loss term -> its values over the epochs, NaN in a phase of the method that does not have it."""
    known = dict.fromkeys(name for row in history for name in row)  # each phase of a method has its own terms
    terms = [name for name in known if name not in ("epoch", "lr", "seconds", "views/s") and name[:3] != "knn"]
    return {name: np.array([row.get(name, np.nan) for row in history]) for name in terms}


def instance_lines(axis, config, epochs, column) -> None:
    """What the instance loss starts at, and what orthogonal negatives would leave."""
    n = config.batch_size
    axis.set_title(f"instance level, N = {n} images")
    reference(axis, nt_xent_start(n), f"all images identical: ln(2N-1) = {nt_xent_start(n):.2f}")
    orthogonal = nt_xent_orthogonal(n, config.instance_temperature)
    reference(axis, orthogonal, f"orthogonal negatives: {orthogonal:.2f}")


def feature_lines(axis, config, epochs, column) -> None:
    """The feature loss with and without the entropy, its start, and the all-0.5 baseline."""
    k = config.heads
    axis.set_title(f"feature level, K = {k} heads")
    curve(axis, epochs, column["feature"], "feature loss", 0)
    curve(axis, epochs, column["feature"] - config.alpha * column["entropy"], "feature - α entropy", 1)
    start, baseline = nt_xent_start(k), all_half_loss(k, config.alpha)
    reference(axis, start, f"all heads identical: ln(2K-1) = {start:.2f}")
    reference(axis, baseline, f"all-0.5 baseline: {baseline:.2f}")
    if config.heads_similarity == "correlation":
        apart = nt_xent_orthogonal(k, config.feature_temperature)
        reference(axis, apart, f"heads uncorrelated, views identical: {apart:.2f}")
    axis.legend(fontsize=8, loc="center right")


def entropy_lines(axis, config, epochs, column) -> None:
    """The entropy as a fraction of one bit."""
    single = config.entropy_of == "outputs"
    title = "entropy of the outputs" if single else "entropy of each head's mean output"
    axis.set(title=title, ylabel="fraction of one bit", ylim=(0, 1.05))
    reference(axis, 1.0, "all outputs 0.5" if single else "every head fires for half", below=True)


def cluster_lines(axis, config, epochs, column) -> None:
    """What the cluster loss starts at, and what disjoint clusters would leave."""
    axis.set_title(f"cluster level, K = {config.clusters} clusters")
    start = nt_xent_start(config.clusters)
    disjoint = nt_xent_orthogonal(config.clusters, config.feature_temperature)
    reference(axis, start, f"all clusters identical: ln(2K-1) = {start:.2f}")
    reference(axis, disjoint, f"no image in two of them: {disjoint:.2f}", below=True)


EXPECTED = {  # loss term -> what draws the values to expect of it
    "instance": instance_lines,
    "feature": feature_lines,
    "entropy": entropy_lines,
    "cluster": cluster_lines,
}


def monitor(axis, history: list[dict[str, float]]) -> None:
    """The kNN accuracy of both stages at the epochs at which it was measured."""
    measured = [row for row in history if np.isfinite(row.get("knn output", np.nan))]
    for number, stage in enumerate(("backbone", "output")):
        found = np.array([row[f"knn {stage}"] for row in measured])
        curve(axis, [row["epoch"] for row in measured], found, stage, number)
    axis.set(xlabel="epoch", ylabel="fraction of images (0 to 1)", title="kNN accuracy (monitor only)", ylim=(0, 1.05))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid(axis)
    axis.legend(fontsize=8, loc="lower right")


def heads(
    images: Tensor, gallery: dict[int, tuple[Tensor, Tensor]], notes: dict[int, str] | None = None, size: int = 0
) -> Figure:
    """For each head, the images with its largest (left) and smallest outputs (right).

    images: uint8 (N, 3, H, W); gallery: head -> (numbers of most, numbers of least); notes: a few words a head; size:
    the side in pixels that the network sees, to which larger images are shrunk; 0 leaves them.
    """
    count = len(next(iter(gallery.values()))[0])
    height = 0.62 * len(gallery) + 0.55
    made = Figure(figsize=(0.62 * 2 * count + 2.0, height), dpi=100)
    margins = dict(wspace=0.06, hspace=0.08, left=0.19, right=0.99, top=1 - 0.5 / height, bottom=0.02)
    axes = made.subplots(
        len(gallery), 2 * count + 1, squeeze=False, width_ratios=[1] * count + [0.4] + [1] * count, gridspec_kw=margins
    )
    for row, (head, (most, least)) in zip(axes, gallery.items(), strict=True):
        for axis in row:
            axis.axis("off")
        for axis, number in zip([*row[:count], *row[count + 1 :]], [*most.tolist(), *least.tolist()], strict=True):
            picture = central_square(images[number])  # as the network sees it
            if 0 < size < picture.shape[-1]:
                picture = to_size(picture[None], size)[0]
            axis.imshow(picture.permute(1, 2, 0).numpy(), interpolation="nearest")
        note = f"\n{notes[head]}" if notes and head in notes else ""
        row[0].text(-0.15, 0.5, f"head {head}{note}", transform=row[0].transAxes, ha="right", va="center", fontsize=8)
    axes[0, 0].set_title("largest outputs", loc="left", fontsize=10)
    axes[0, count + 1].set_title("smallest outputs", loc="left", fontsize=10)
    return made


def scatter(axis, points: np.ndarray, labels: np.ndarray, names, title: str, legend: bool = False) -> None:
    """Points (N, 2), a colour and a mark a label; labels None draws them all the same."""
    if labels is None:
        axis.scatter(*points.T, s=6, color="0.3", linewidths=0)
    else:
        for number, value in enumerate(np.unique(labels)):
            of = labels == value
            style = dict(color=COLOURS[number % 10], marker=MARKS[(number + number // 10) % 10])
            label = str(names[value]) if len(names) else str(value)
            axis.scatter(*points[of].T, s=12, label=label, edgecolors="0.25", linewidths=0.2, **style)
    if legend and labels is not None:
        axis.legend(fontsize=8, markerscale=1.6, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axis.set(title=title, xlabel="t-SNE 1 (no unit)", ylabel="t-SNE 2 (no unit)", xticks=[], yticks=[])


def embedding(points: dict[str, np.ndarray], colourings: dict[str, tuple]) -> Figure:
    """A map of each stage (columns), coloured by each of ``colourings`` (rows).

    points: stage -> (N, 2); colourings: what -> (labels (N,) or None, the values' names).
    """
    made, axes = figure(len(points), len(colourings), 4.2, 3.7)
    for row, (what, (labels, names)) in zip(axes, colourings.items(), strict=True):
        for axis, (stage, where) in zip(row, points.items(), strict=True):
            title = f"{stage}, coloured by {what}" if labels is not None else stage
            scatter(axis, where, labels, names, title, legend=axis is row[-1])
    return made
