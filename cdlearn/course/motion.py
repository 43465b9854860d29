"""A picture that moves without a kernel: an animated GIF, and a still of it for paper."""

import io

import numpy as np
import pandas as pd
import PIL.Image
from IPython.display import Image, display
from matplotlib.figure import Figure

from cdlearn import checkpoint
from cdlearn.course import figures, show
from cdlearn.results import plots

COLOURS = 128  # of the GIF
SHOWN, HELD = 600, 3000  # milliseconds of a frame, and of the last one
STILLS = 4  # frames of the picture that stands for the animation on paper


def limits(frames: list[np.ndarray]) -> tuple[float, float]:
    """The same for all axes and frames, so that nothing moves but the points."""
    low, high = min(points.min() for points in frames), max(points.max() for points in frames)
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def drawn(axis, points: np.ndarray, pair: int, labels: np.ndarray, names, title: str, span, legend=False) -> None:
    """Directions 2 pair and 2 pair + 1 of points (N, 2P), coloured by ``labels``."""
    plots.scatter(axis, points[:, 2 * pair : 2 * pair + 2], labels, names, title, legend)
    axis.set(xlim=span, ylim=span, xlabel=f"direction {2 * pair + 1}", ylabel=f"direction {2 * pair + 2}")
    axis.set_aspect("equal")


def animated(pictures: list[Figure]) -> bytes:
    """Figures of one size as an endless GIF that holds its last frame."""
    frames = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.savefig(buffer, format="png", dpi=100)
        frames.append(PIL.Image.open(buffer).convert("RGB"))
    palette = frames[-1].quantize(COLOURS, PIL.Image.Quantize.MAXCOVERAGE)  # one for all: no mark changes its colour
    frames = [frame.quantize(palette=palette, dither=PIL.Image.Dither.NONE) for frame in frames]
    made, times = io.BytesIO(), [SHOWN] * (len(frames) - 1) + [HELD]
    frames[0].save(made, format="gif", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True)
    return made.getvalue()


def settle(frames: list[np.ndarray], labels: np.ndarray, names, titles: list[str], name: str, alt: str) -> None:
    """Show how points (N, 2P) move from frame to frame, coloured by ``labels`` (N,): NAME.gif, and NAME.png, its still.

    frames: one array per moment, all in one projection, P pictures of two directions each; titles: one per frame.
    """
    span, pictures, pairs = limits(frames), [], frames[0].shape[1] // 2
    for points, title in zip(frames, titles, strict=True):
        made, axes = plots.figure(pairs, width=3.7, height=3.5)
        for pair, axis in enumerate(axes[0]):
            drawn(axis, points, pair, labels, names, title, span, legend=pair == pairs - 1)
        pictures.append(made)
    moving = animated(pictures)
    checkpoint.write(figures() / f"{name}.gif", lambda file: file.write(moving))
    display(Image(moving, format="gif", alt=alt))
    kept = sorted({round((len(frames) - 1) * share**2) for share in np.linspace(0, 1, STILLS)})  # most happens early
    made, axes = plots.figure(len(kept), pairs, width=2.6, height=2.6)
    for pair, row in enumerate(axes):
        for axis, number in zip(row, kept, strict=True):
            legend = pair == 0 and number == kept[-1]
            drawn(axis, frames[number], pair, labels, names, titles[number] if pair == 0 else "", span, legend)
    rows = {"label": [names[label] for label in labels]}
    for number in kept:
        rows |= {f"{titles[number]}, direction {i + 1}": column for i, column in enumerate(frames[number].T)}
    show(made, name, pd.DataFrame(rows), f"{alt} (four moments of it)")
