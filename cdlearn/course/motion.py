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

COLOURS = 96  # of a frame: marks and letters need few
SHOWN, HELD = 600, 3000  # milliseconds of a frame, and of the last one
STILLS = 4  # frames of the picture that stands for the animation on paper


def limits(frames: list[np.ndarray]) -> tuple[float, float]:
    """The same for both axes and every frame, so that nothing moves but the points."""
    low, high = min(points.min() for points in frames), max(points.max() for points in frames)
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def drawn(axis, points: np.ndarray, labels: np.ndarray, names, title: str, span: tuple[float, float], legend=False):
    plots.scatter(axis, points, labels, names, title, legend)
    axis.set(xlim=span, ylim=span, xlabel="first direction", ylabel="second direction", aspect="equal")


def animated(pictures: list[Figure]) -> bytes:
    """Figures of one size as an endless GIF that holds its last frame."""
    frames = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.savefig(buffer, format="png", dpi=100)
        frames.append(PIL.Image.open(buffer).convert("RGB"))
    palette = frames[-1].quantize(COLOURS)  # one for all, or marks would change their colour
    frames = [frame.quantize(palette=palette, dither=PIL.Image.Dither.NONE) for frame in frames]
    made, times = io.BytesIO(), [SHOWN] * (len(frames) - 1) + [HELD]
    frames[0].save(made, format="gif", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True)
    return made.getvalue()


def settle(frames: list[np.ndarray], labels: np.ndarray, names, titles: list[str], name: str, alt: str) -> None:
    """Show how points (N, 2) move from frame to frame, coloured by ``labels`` (N,): NAME.gif, and NAME.png, its still.

    frames: one array per moment, all in one projection; titles: one per frame.
    """
    span, pictures = limits(frames), []
    for points, title in zip(frames, titles, strict=True):
        made, axes = plots.figure(1, width=5.6, height=4.4)
        drawn(axes[0, 0], points, labels, names, title, span, legend=True)
        pictures.append(made)
    moving = animated(pictures)
    checkpoint.write(figures() / f"{name}.gif", lambda file: file.write(moving))
    display(Image(moving, format="gif", alt=alt))
    kept = sorted({round((len(frames) - 1) * share**2) for share in np.linspace(0, 1, STILLS)})  # most happens early
    made, axes = plots.figure(len(kept), width=2.9, height=3.0)
    for axis, number in zip(axes[0], kept, strict=True):
        drawn(axis, frames[number], labels, names, titles[number], span, legend=number == kept[-1])
    rows = {"label": [names[label] for label in labels]}
    for number in kept:
        rows |= {f"{axis}, {titles[number]}": frames[number][:, i] for i, axis in enumerate("xy")}
    show(made, name, pd.DataFrame(rows), f"{alt} (four moments of it)")
