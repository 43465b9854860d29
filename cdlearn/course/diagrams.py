"""The notebooks' drawings: image grids, matrices of pairs, bars and lines. Each returns a matplotlib Figure."""

import textwrap
from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from cdlearn.results.plots import COLOURS, MARKS, figure, grid, interval_bars

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))


def image_grid(images: Tensor, columns: int, rows: Sequence[str] = (), titles: Sequence[str] = (), side: float = 0.8):
    """Images (N, 3, H, W), uint8 or float in [0, 1], row by row; ``rows`` and ``titles`` name rows and columns."""
    count = -(-len(images) // columns)
    left = 0.1 + 0.085 * max(map(len, rows), default=0)
    made = Figure(figsize=(left + side * columns, side * count + (0.3 if titles else 0.1)), dpi=100)
    height = made.get_figheight()
    margins = dict(left=left / made.get_figwidth(), right=0.995, bottom=0.02, wspace=0.06, hspace=0.06)
    axes = made.subplots(
        count, columns, squeeze=False, gridspec_kw=margins | dict(top=1 - (0.26 if titles else 0.03) / height)
    )
    for number, axis in enumerate(axes.flat):
        axis.axis("off")
        if number < len(images):
            axis.imshow(images[number].permute(1, 2, 0).numpy(), interpolation="nearest")
    for axis, text in zip(axes[:, 0], rows, strict=False):
        axis.text(-0.12, 0.5, text, transform=axis.transAxes, ha="right", va="center", fontsize=9)
    for axis, text in zip(axes[0], titles, strict=False):
        axis.set_title(text, fontsize=9)
    return made


def pair_matrix(
    values: Tensor | np.ndarray, title: str, names: Sequence[str] = (), digits: int = 2, what: str = "row"
) -> Figure:
    """A 2M x 2M matrix of similarities of M pairs, stacked view upon view: positives framed, the diagonal hatched.

    values: (2M, 2M); names: of the 2M rows, such as ("a1", "b1", "a2", "b2"). Up to M = 4, the numbers are written in.
    what: the name of what is compared, for the axes.
    """
    values = np.asarray(values, dtype=float)
    size = len(values)
    made, axes = figure(1, width=min(6.2, 3.0 + 0.35 * size), height=min(5.6, 2.6 + 0.35 * size))
    axis, small, partner = axes[0, 0], size <= 8, (np.arange(size) + size // 2) % size
    low = 0.0 if np.nanmin(values) > -0.05 else -1.0  # cosines; a scale that fits the values would exaggerate
    sns.heatmap(
        values, vmin=low, vmax=max(1.0, np.nanmax(values)), mask=np.eye(size, dtype=bool), cmap="cividis", square=True,
        annot=small, fmt=f".{digits}f", annot_kws={"fontsize": 9}, linewidths=0.5 * small, linecolor="white", ax=axis,
        xticklabels=list(names) or -(-size // 8), yticklabels=list(names) or -(-size // 8),
        cbar_kws={"shrink": 0.8, "label": "similarity (no unit)"},
    )  # fmt: skip
    for row in range(size):
        axis.add_patch(Rectangle((row, row), 1, 1, facecolor="0.9", edgecolor="0.4", hatch="////" * small, linewidth=0))
        frame = dict(fill=False, edgecolor=COLOURS[4], linewidth=2.5 if small else 0.8)
        frame |= dict(path_effects=[withStroke(linewidth=5, foreground="white")]) if small else {}  # seen in grey print
        axis.add_patch(Rectangle((partner[row], row), 1, 1, **frame))
    axis.tick_params(length=0, rotation=0)
    axis.set(title=title, xlabel=f"{what} k", ylabel=f"{what} i")
    return made


def bars(
    values: dict[str, dict[str, float]], ylabel: str, title: str, errors: dict[str, dict[str, float]] | None = None
):
    """Grouped bars: group -> series -> value; ``errors`` of the same form draws whiskers. Values are written above."""
    series = list(dict.fromkeys(name for group in values.values() for name in group))
    made, axes = figure(1, width=max(4.8, 1.5 + 0.52 * len(values) * len(series) ** 0.8), height=3.5)
    axis = axes[0, 0]
    means = np.array([[group.get(name, np.nan) for name in series] for group in values.values()])
    spread = [[(errors or {}).get(group, {}).get(name, 0.0) for name in series] for group in values]
    drawn = interval_bars(axis, means, np.array(spread), [COLOURS[(0, 1, 5, 4, 6)[n % 5]] for n in range(len(series))])
    for number, (name, container) in enumerate(zip(series, drawn, strict=False)):
        container.set_label(name)
        for bar in container:
            bar.set_hatch(("", "//", "..", "xx", "\\\\")[number % 5])
            middle = bar.get_x() + bar.get_width() / 2
            mean, error = means[round(middle), number], spread[round(middle)][number]
            end, up = (mean + error, 2) if mean >= 0 else (mean - error, -2)
            note = dict(xytext=(0, up), textcoords="offset points", ha="center", va="bottom" if up > 0 else "top")
            axis.annotate(f"{mean:.2f}", (middle, end), fontsize=8, **note)
    room = max(8, int(12 * made.get_figwidth() / len(values)))  # letters that fit below a group
    names = ["\n".join(textwrap.fill(part, room) for part in name.split("\n")) for name in values]
    axis.set_xticks(range(len(values)), names, fontsize=9)
    axis.set(xlabel="", ylabel=ylabel, title=title)
    axis.margins(y=0.15)
    if len(series) > 1:
        depth = 0.05 + 0.07 * max(name.count("\n") + 1 for name in names)  # below the bars' names: never on a bar
        fit = max(1, int(13 * made.get_figwidth() / (6 + max(map(len, series)))))  # names that stand side by side
        axis.legend(
            loc="upper center", bbox_to_anchor=(0.5, -depth), ncols=min(fit, len(series)), fontsize=8, frameon=False
        )
    return made


def lines(
    curves: dict[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str, title: str,
    references: dict[str, float] | None = None, axis: Axes | None = None,
):  # fmt: skip
    """Curves name -> (x, y), each with its own colour, dash and mark; ``references`` are dotted lines name -> y.

    With ``axis`` it draws there and returns that axis's Figure.
    """
    if axis is None:
        made, axes = figure(1, width=5.6, height=3.6)
        axis = axes[0, 0]
    else:
        made = axis.figure
    for number, (name, (x, y)) in enumerate(curves.items()):
        axis.plot(
            x, y, label=name, color=COLOURS[(0, 4, 2, 1, 6, 7)[number % 6]], linestyle=DASHES[number % 6],
            marker=MARKS[number % len(MARKS)], markevery=max(1, len(x) // 8), markersize=5, linewidth=1.7,
        )  # fmt: skip
    for name, y in (references or {}).items():
        axis.axhline(y, color="0.35", linestyle=":", linewidth=1.2)
        axis.annotate(
            f"{name}: {y:.2f}", (1, y), (-3, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", va="bottom", fontsize=8, color="0.25",
        )  # fmt: skip
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    grid(axis)
    axis.margins(y=0.12)
    if len(curves) > 1:  # below: never on a curve
        axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    return made


def heat(values: Tensor | np.ndarray, title: str, xlabel: str, ylabel: str, unit: str, limits=(0.0, 1.0)) -> Figure:
    """A matrix as an image with a colour bar, such as heads x batch (the paper's Figure 3)."""
    made, axes = figure(1, width=5.6, height=3.8)
    shown = axes[0, 0].imshow(
        np.asarray(values, dtype=float), cmap="cividis", aspect="auto", interpolation="nearest",
        vmin=limits[0], vmax=limits[1],
    )  # fmt: skip
    made.colorbar(shown, ax=axes[0, 0], label=unit)
    axes[0, 0].set(title=title, xlabel=xlabel, ylabel=ylabel)
    return made


def neighbours(queries: Tensor, found: dict[str, tuple[Tensor, Tensor]], title: str, side: float = 0.8) -> Figure:
    """Each query beside the images nearest to it, a row for each way to measure. Those that belong to it are framed.

    queries: (Q, 3, H, W); found: way -> images (Q, M, 3, H, W) and which of them belong to the query, bool (Q, M).
    How many do is written at the end of the row.
    """
    count, ways = next(iter(found.values()))[1].shape[1], len(found)
    pitch, block = side + 0.06, ways * (side + 0.06) + 0.16
    name = 0.2 + 0.075 * max(map(len, found))
    left = ways * side + name
    wide, high = left + count * pitch + 0.6, len(queries) * block + 0.45
    made = Figure(figsize=(wide, high), dpi=100)

    def tile(image, x, y, edge, frame=False):
        axis = made.add_axes((x / wide, 1 - (y + edge) / high, edge / wide, edge / high))
        axis.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(visible=frame, linewidth=2.8, edgecolor=COLOURS[4])

    for q, query in enumerate(queries):
        top = 0.45 + q * block
        tile(query, 0.05, top + 0.03 * (ways - 1), ways * side)
        for row, (way, (nearest, belongs)) in enumerate(found.items()):
            y = top + row * pitch
            made.text((left - 0.06) / wide, 1 - (y + side / 2) / high, way, ha="right", va="center", fontsize=10)
            for place, image in enumerate(nearest[q]):
                tile(image, left + place * pitch, y, side, bool(belongs[q, place]))
            text = f"{int(belongs[q].sum())} of {count}"
            made.text((left + count * pitch + 0.04) / wide, 1 - (y + side / 2) / high, text, va="center", fontsize=10)
    made.text(0.05 / wide, 1 - 0.12 / high, title, va="top", fontsize=11)
    return made
