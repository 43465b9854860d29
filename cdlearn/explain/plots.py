"""Drawings of explanations: yellow boundaries (the paper's Figure 8), the rest masked out (Figure 9), the weights."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from cdlearn.augment import central_square
from cdlearn.explain import Explanation, positive_regions
from cdlearn.results.plots import COLOURS

YELLOW = COLOURS[3]


def edges(mask: np.ndarray) -> list:
    """The line pieces around the regions of a mask (H, W) bool, along the pixels' sides, in imshow's coordinates."""
    framed = np.pad(mask, 1)
    lines = []
    for row, column in np.argwhere(framed[1:, 1:] != framed[:-1, 1:]):  # above pixel (row, column)
        lines.append([(column - 0.5, row - 0.5), (column + 0.5, row - 0.5)])
    for row, column in np.argwhere(framed[1:, 1:] != framed[1:, :-1]):  # left of it
        lines.append([(column - 0.5, row - 0.5), (column - 0.5, row + 0.5)])
    return lines


def outline(axis: Axes, mask: np.ndarray, width: float = 1.8) -> None:
    """Draw the boundary of a mask in yellow on a black casing: seen on light, dark and grey alike."""
    for colour, thick in (("black", 2.2 * width), (YELLOW, width)):
        axis.add_collection(LineCollection(edges(mask), colors=colour, linewidths=thick, capstyle="projecting"))


def mask_out(axis: Axes, mask: np.ndarray) -> None:
    """Cover what is outside of a mask with grey stripes, which no image looks like (black would be ground)."""
    fine = np.kron(mask, np.ones((8, 8), dtype=bool))
    row, column = np.indices(fine.shape)
    cover = np.ones((*fine.shape, 4))
    cover[..., :3] = np.where((row + column) // 8 % 2 == 0, 0.94, 0.76)[..., None]
    cover[fine, 3] = 0
    height, width = mask.shape
    axis.imshow(cover, interpolation="nearest", extent=(-0.5, width - 0.5, height - 0.5, -0.5))


def attended(
    images: Tensor,
    explained: Sequence[Sequence[Explanation]],
    form: str = "boundaries",
    most: int = 5,
    rows: Sequence[str] = (),
    titles: Sequence[str] = (),
    side: float = 0.95,
) -> Figure:
    """Figure 8 or 9: a grid of images, in each the segments that raise the head's output most.

    Args:
        images: uint8 (R * C, 3, H, W), row by row.
        explained: R rows of C explanations; the rows are heads in the paper.
        form: "boundaries" frames the segments, "masked" covers the rest.
        most: at most so many segments an image.
        rows, titles: names of rows and columns; without rows each is named by its head.

    Raises:
        ValueError: for another form, or where images and explanations differ in number.
    """
    if form not in ("boundaries", "masked"):
        raise ValueError(f"unknown form {form!r}; there are boundaries and masked")
    columns = len(explained[0])
    if len(images) != sum(map(len, explained)):
        raise ValueError(f"{len(images)} images for {sum(map(len, explained))} explanations")
    made, axes = panels(len(explained), columns, rows or [f"head {row[0].head}" for row in explained], titles, side)
    pictures = central_square(images).permute(0, 2, 3, 1).numpy()
    for number, (axis, one) in enumerate(zip(axes.flat, (e for row in explained for e in row), strict=True)):
        axis.imshow(pictures[number], interpolation="nearest")
        mask = positive_regions(one, most)
        outline(axis, mask) if form == "boundaries" else mask_out(axis, mask)
        limit(axis, mask)
        note(axis, f"y = {one.output:.2f}")
    return made


def note(axis: Axes, text: str) -> None:
    """A line of small print below a panel: a point below it, however large it is."""
    axis.annotate(
        text, (0.5, 0), (0, -1), "axes fraction", textcoords="offset points", ha="center", va="top", fontsize=7.5
    )


def weight_maps(
    images: Tensor, explained: Sequence[Explanation], rows: Sequence[str] = (), titles: Sequence[str] = ()
) -> Figure:
    """Above each image, below the weight of every segment: orange raises the output, purple lowers it.

    images: uint8 (C, 3, H, W); explained: C of them. Colours are relative to each image's largest weight, which stands
    below it; up to 25 segments have their weight written in, in hundredths and with its sign, so that nothing hangs on
    the colours.
    """
    made, axes = panels(2, len(images), rows or ["image", "100 × weight"], titles, 1.25)
    for column, one in enumerate(explained):
        top, below = axes[:, column]
        top.imshow(central_square(images[column]).permute(1, 2, 0).numpy(), interpolation="nearest")
        limit(top, one.segments)
        most = np.abs(one.weights).max() or 1.0
        below.imshow(one.weights[one.segments], cmap="PuOr_r", vmin=-most, vmax=most, interpolation="nearest")
        below.add_collection(LineCollection(borders(one.segments), colors="0.3", linewidths=0.5))
        limit(below, one.segments)
        note(below, f"largest |weight|: {most:.3f}")
        digits = 0 if most >= 0.0995 else 1
        for number, weight in enumerate(one.weights) if len(one.weights) <= 25 else ():
            down, right = np.argwhere(one.segments == number).mean(0)
            colour = "white" if abs(weight) > 0.7 * most else "black"
            below.text(
                right,
                down,
                f"{round(100 * weight, digits) + 0.0:+.{digits}f}",
                ha="center",
                va="center",
                fontsize=7,
                color=colour,
            )
    return made


def borders(segments: np.ndarray) -> list:
    """The line pieces between neighbouring segments (H, W)."""
    across = [[(c + 0.5, r - 0.5), (c + 0.5, r + 0.5)] for r, c in np.argwhere(segments[:, 1:] != segments[:, :-1])]
    down = [[(c - 0.5, r + 0.5), (c + 0.5, r + 0.5)] for r, c in np.argwhere(segments[1:] != segments[:-1])]
    return across + down


def limit(axis: Axes, pixels: np.ndarray) -> None:
    """Show the whole image and a little room for the lines at its rim."""
    height, width = pixels.shape
    axis.set_xlim(-0.5 - 0.03 * width, width - 0.5 + 0.03 * width)
    axis.set_ylim(height - 0.5 + 0.03 * height, -0.5 - 0.03 * height)


def panels(rows: int, columns: int, names: Sequence[str], titles: Sequence[str], side: float):
    """A Figure with rows x columns axes without ticks, and names left of the rows and above the columns."""
    left = 0.1 + 0.085 * max((max(map(len, name.split("\n"))) for name in names), default=0)
    width, height = left + side * columns, (side + 0.14) * rows + (0.3 if any(titles) else 0.06)
    made = Figure(figsize=(width, height), dpi=100)
    grid = dict(left=left / width, right=0.995, bottom=0.14 / height, wspace=0.05, hspace=0.2)
    axes = made.subplots(
        rows, columns, squeeze=False, gridspec_kw=grid | dict(top=1 - (0.3 if any(titles) else 0.06) / height)
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, name in zip(axes[:, 0], names, strict=False):
        axis.text(-0.08, 0.5, name, transform=axis.transAxes, ha="right", va="center", fontsize=9)
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=9)
    return made, axes
