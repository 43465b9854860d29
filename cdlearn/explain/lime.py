"""LIME on feature heads (Ribeiro et al., 2016): hiding parts of an image shows which ones a head's output needs.

The image is cut into segments, and the model sees copies of it with random segments hidden. A linear model of "segment
shown or not" is fitted to each head's outputs; copies near the image count more. Its weights are the explanation.
The package lime does the fitting. This module cuts, runs the model, and keeps what lime forgets when it explains many
heads at once: how well each fit fits. cdlearn.explain.plots draws explanations, cdlearn.explain.controls tests them.
"""

import contextlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cdlearn.augment import central_square
from cdlearn.evaluate import embed

Segmentation = str | Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why one head's output for one image is what it is.

    head: its number. segments: (H, W), the segment of every pixel, 0 .. S-1; of the central square only, where the
    image is not square. weights: (S,), what showing a segment
    instead of hiding it adds to the output. intercept: the linear model's output with everything hidden. fidelity:
    weighted R^2 of the linear model on the copies; 1 when it explains the head fully. output: the head's output for
    the whole image. predicted: the linear model's output for it. hidden: the head's output with everything hidden; if
    it is near ``output``, hiding took nothing away.
    """

    head: int
    segments: np.ndarray
    weights: np.ndarray
    intercept: float
    fidelity: float
    output: float
    predicted: float
    hidden: float


def explain_heads(
    model: nn.Module, images: Tensor, heads: Sequence[int], size: int, samples: int = 1000,
    segments: Segmentation = "grid", count: int = 16, hide: str | int | tuple[int, int, int] = "mean",
    seed: int = 0, batch_size: int = 256, kernel_width: float = 0.25,
) -> list[dict[int, Explanation]]:  # fmt: skip
    """Explain heads' outputs for images. All heads share one set of copies, so many heads cost little more than one.

    The model computes in float32, because hiding a segment may move an output by less than bf16 can show. The same
    arguments give the same explanations. Images with equally many segments are hidden in the same patterns.

    Args:
        model: ``represent(x)["output"]`` gives the heads' outputs (N, K).
        images: uint8 (N, 3, H, W). Of those that are not square the network sees the central square, and that is
            explained.
        heads: numbers in 0 .. K-1.
        size: side in pixels of what the network sees.
        samples: copies per image, the whole image included; the paper takes 5,000.
        segments: "grid" (equal cells), "slic" (regions of similar colour), or a function of one image (H, W, 3) that
            returns the segment of every pixel. (lime's own choice, quickshift, finds 1 or 2 segments at 32 px.)
        count: about how many segments.
        hide: what a hidden segment shows: "mean", its own mean colour, or one colour 0-255 for all. Hiding should take
            away what the head reads and add nothing that it reads. A constant adds edges wherever the image has another
            colour. The mean takes nothing away if segments are smaller than what they should hide.
        seed: of the random copies.
        batch_size: copies that the model sees at once.
        kernel_width: of the kernel that weights the copies; if it is small, only copies that hide little count.

    Returns:
        For each image, head -> :class:`Explanation`.

    Raises:
        ValueError: for images of another kind, a head that does not exist, an unknown segmentation, a wrong colour to
            hide with, or too few samples.
    """
    check(images, samples, hide)
    images = central_square(images)
    whole = embed(model, images, size, batch_size, amp=False)["output"]
    for head in heads:
        if not 0 <= head < whole.shape[1]:
            raise ValueError(f"there is no head {head}; the model has heads 0 to {whole.shape[1] - 1}")

    def outputs(batch: np.ndarray) -> np.ndarray:
        return ask(model, batch, size, batch_size)

    explained = []
    for picture, output in zip(images.cpu().permute(0, 2, 3, 1).numpy(), whole, strict=True):
        fits: dict[int, tuple] = {}
        with lime_in_silence() as lime_image:
            # a fresh one per image, because a used one goes on in its random numbers
            explainer = lime_image.LimeImageExplainer(kernel_width, feature_selection="none", random_state=seed)
            keep_fits(explainer.base, fits)
            found = explainer.explain_instance(
                picture,
                outputs,
                labels=tuple(heads),
                top_labels=None,
                hide_color=None if isinstance(hide, str) else hide,
                num_samples=samples,
                batch_size=batch_size,
                segmentation_fn=lambda image: segment(image, segments, count),
            )
        shown = np.zeros((1, found.segments.max() + 1))
        hidden = outputs(copies(picture, found.segments, shown, hide))[0]
        one = {}
        for head, (intercept, pairs, fidelity, predicted) in fits.items():
            weights = np.array([weight for _, weight in sorted(pairs)])  # lime sorts them by size
            numbers = (intercept, fidelity, output[head], predicted[0], hidden[head])
            one[head] = Explanation(head, found.segments, weights, *map(float, numbers))
        explained.append(one)
    return explained


def ask(model: nn.Module, batch: np.ndarray, size: int, batch_size: int = 256) -> np.ndarray:
    """The heads' outputs in float32: uint8 (M, H, W, 3) -> (M, K). What lime calls a classifier."""
    images = torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
    return embed(model, images, size, batch_size, amp=False)["output"].numpy()


def check(images: Tensor, samples: int, hide: str | int | tuple[int, int, int]) -> None:
    """Raises ValueError in one line for images that are not uint8 (N, 3, H, W), too few samples, or a wrong colour."""
    kind = (images.dtype, images.ndim, images.shape[1:2]) if isinstance(images, Tensor) else ()
    if kind != (torch.uint8, 4, (3,)):
        got = f"{images.dtype} {tuple(images.shape)}" if hasattr(images, "dtype") else type(images).__name__
        raise ValueError(f"images to explain are uint8 N x 3 x H x W, as in ImageSet.images; got {got}")
    if samples < 2:
        raise ValueError(f"samples {samples}: a line needs at least 2 points, and a steady one hundreds")
    colour = np.asarray(0 if isinstance(hide, str) and hide == "mean" else hide)
    if colour.dtype.kind not in "iu" or colour.shape not in ((), (3,)) or colour.min() < 0 or colour.max() > 255:
        raise ValueError(f"hide {hide!r}: 'mean', or a colour as one or three whole numbers from 0 to 255")


def keep_fits(base, fits: dict[int, tuple]) -> None:
    """Let ``base`` note each head's (intercept, [(segment, weight)], R^2, prediction); lime keeps only the last R^2."""
    fit = base.explain_instance_with_data

    def noted(data, outputs, distances, head, *rest, **named):
        fits[head] = fit(data, outputs, distances, head, *rest, **named)
        return fits[head]

    base.explain_instance_with_data = noted


@contextlib.contextmanager
def lime_in_silence():
    """The module lime.lime_image without its progress bar, which has no switch; lime may be imported already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm, on import in a notebook, asks for ipywidgets
        from lime import lime_image
    bar = lime_image.tqdm
    lime_image.tqdm = lambda rows: rows
    try:
        yield lime_image
    finally:
        lime_image.tqdm = bar


def segment(image: np.ndarray, segments: Segmentation = "grid", count: int = 16) -> np.ndarray:
    """Cut an image (H, W, 3) into about ``count`` segments: (H, W) int, numbered 0 .. S-1 without a gap.

    lime has one column per segment, so a segment numbered S or more would never be hidden.

    Raises:
        ValueError: for an unknown name, a count below 1, or a function that does not return (H, W).
    """
    height, width = image.shape[:2]
    if count < 1:
        raise ValueError(f"count {count}: at least 1 segment")
    if callable(segments):
        found = np.asarray(segments(image))
    elif segments == "grid":
        found = grid(height, width, count)
    elif segments == "slic":
        from skimage.segmentation import slic

        found = slic(image, n_segments=count, start_label=0, channel_axis=-1)
    else:
        raise ValueError(f"unknown segmentation {segments!r}; there are grid, slic, or a function of an image")
    if found.shape != (height, width):
        raise ValueError(f"a segmentation gives every pixel's segment, {height} x {width}; got the shape {found.shape}")
    return np.unique(found, return_inverse=True)[1].reshape(height, width)


def copies(image: np.ndarray, segments: np.ndarray, shown: np.ndarray, hide="mean") -> np.ndarray:
    """The copies of an image that LIME shows to the model: uint8 (H, W, 3) -> uint8 (M, H, W, 3).

    segments: (H, W), as from :func:`segment`; shown: (M, S), 1 where copy m shows segment s, 0 where it hides it.
    """
    ground = image.copy()
    for number in range(segments.max() + 1):
        of = segments == number
        ground[of] = image[of].mean(0) if isinstance(hide, str) else hide
    return np.where(np.asarray(shown)[:, segments, None] == 1, image, ground)


def grid(height: int, width: int, count: int) -> np.ndarray:
    """Equal cells, as many rows as columns, about ``count`` in all, row by row: (H, W)."""
    side = max(1, round(count**0.5))
    rows, columns = (np.arange(length) * side // length for length in (height, width))
    return rows[:, None] * side + columns[None, :]


def positive_regions(explained: Explanation, most: int = 5) -> np.ndarray:
    """Where the ``most`` segments lie that raise the output most, or fewer if fewer raise it: (H, W) bool."""
    ranked = np.argsort(-explained.weights, kind="stable")[:most]
    return np.isin(explained.segments, ranked[explained.weights[ranked] > 0])
