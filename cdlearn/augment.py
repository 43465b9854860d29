"""Two or more random views of a whole batch at once, of one or several sizes, on the batch's device.

All is drawn first, for each view of each image by itself, and then applied to the whole batch (image_ops.py).
"""

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from cdlearn import image_ops
from cdlearn.image_ops import adjust_hue, apply_rows_and_columns, blend, blur_matrix, luma, resize_matrix  # noqa: F401

CACHED = 2**20  # values in the part of a batch that a CPU works on at once


@dataclass(frozen=True)
class Draws:
    """The random draws for M views, every field (M,) or (M, 3). A class of its own lets tests set them."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    flip: Tensor
    factors: Tensor  # (M, 3): brightness, contrast, saturation; 1 leaves the image as it is
    order: Tensor  # (M, 3): the order in which these three are applied
    hue_after: Tensor  # how many of the three come before the hue
    hue: Tensor
    gray: Tensor
    sigma: Tensor

    def take(self, index: Tensor | slice) -> "Draws":
        """The draws of the views at ``index``."""
        return Draws(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


class TwoViews:
    """Random resized crop, flip, colour jitter, grayscale, blur: the augmentation of SimCLR and CC.

    ``TwoViews(...)(batch, generator)`` takes uint8 (N, 3, H, W) and returns two float32 (N, 3, size, size) in [0, 1],
    or ``count`` of them, and ``small`` views of another size and crop behind them (multi-crop; Caron et al., 2020).
    Each view of each image has its own random draws. The same generator state gives the same views.

    Args:
        size: side of a view in pixels.
        crop: smallest and largest fraction of the area that a crop keeps; its aspect ratio is 3:4 to 4:3.
        brightness, contrast, saturation: factors are drawn from [1 - x, 1 + x].
        hue: shifts are drawn from [-hue, hue] turns.
        jitter, gray, blur: probabilities of colour jitter, grayscale and Gaussian blur (sigma 0.1-2 at 224 px, and
            in proportion to the size).
        both: False only resizes the first view (the paper's Tables 7 and 10).
        count: large views; small, small_size, small_crop: number, side and crop of the small ones.
        grow: sizes of the large views early in a run, each with the fraction of the run until which it is used.
    """

    def __init__(
        self,
        size: int,
        crop: tuple[float, float] = (0.08, 1.0),
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
        jitter: float = 0.8,
        gray: float = 0.2,
        blur: float = 0.0,
        flip: float = 0.5,
        both: bool = True,
        count: int = 2,
        small: int = 0,
        small_size: int = 16,
        small_crop: tuple[float, float] = (0.08, 0.5),
        grow: tuple[tuple[int, float], ...] = (),
    ):
        if not 0 < crop[0] <= crop[1] <= 1:
            raise ValueError(f"crop is a range of area fractions with 0 < low <= high <= 1, got {crop}")
        if not 0 <= hue <= 0.5:
            raise ValueError(f"hue is at most 0.5, half a turn of the colour circle, got {hue}")
        self.size, self.crop, self.hue, self.both, self.count = size, crop, hue, both, count
        self.strengths = (brightness, contrast, saturation)
        self.jitter, self.gray, self.blur, self.flip = jitter, gray, blur, flip
        self.small, self.small_size, self.small_crop, self.grow = small, small_size, small_crop, grow

    @classmethod
    def of(cls, config, count: int = 2, small: int = 0) -> "TwoViews":
        """The views that a Config asks for; the small ones only where ``small`` says how many."""
        names = ["size", "crop", "brightness", "contrast", "saturation", "hue", "jitter", "gray", "blur"]
        names += ["small_size", "small_crop"]
        more = dict(both=config.both_views, count=count, small=small, grow=config.sizes())
        return cls(**{name: getattr(config, name) for name in names}, **more)

    def __call__(
        self, images: Tensor, generator: torch.Generator | None = None, rank: int = 0, ranks: int = 1, done: float = 1
    ) -> tuple[Tensor, ...]:
        """The views of ``images``, which are slice ``rank`` of ``ranks``: the same views as in the whole batch.

        done: the fraction of the run that is over, for views that grow.
        """
        size = next((size for size, until in self.grow if done < until), self.size)
        large = self.several(self.count - (not self.both), size, self.crop, images, generator, rank, ranks)
        small = self.several(self.small, self.small_size, self.small_crop, images, generator, rank, ranks)
        return (*large, *small) if self.both else (to_size(images, size), *large, *small)

    def several(self, count, size, crop, images, generator, rank, ranks) -> tuple[Tensor, ...]:
        """``count`` views of one size and crop."""
        if not count:
            return ()
        n, _, height, width = images.shape
        draws = self.draw(count * n * ranks, height, width, images.device, generator, size, crop)
        if ranks > 1:
            order = torch.arange(count * n * ranks, device=images.device).view(count, ranks, n)
            draws = draws.take(order[:, rank].flatten())
        return self.apply(images.repeat(count, 1, 1, 1), draws, size).chunk(count)

    def draw(self, m: int, height: int, width: int, device, generator=None, size=None, crop=None) -> Draws:
        """Draw everything for m views of images of height x width pixels; size and crop are the large views'."""
        size, crop = size or self.size, crop or self.crop

        def uniform(*shape, low=0.0, high=1.0):
            return torch.rand(*shape, device=device, generator=generator) * (high - low) + low

        top, left, h, w = image_ops.draw_crops(uniform, m, height, width, crop)
        jittered = uniform(m) < self.jitter
        factors = torch.stack([uniform(m, low=1 - strength, high=1 + strength) for strength in self.strengths], 1)
        blurred = uniform(m) < self.blur
        return Draws(
            top=top,
            left=left,
            height=h,
            width=w,
            flip=uniform(m) < self.flip,
            factors=torch.where(jittered.view(-1, 1), factors, 1),
            order=uniform(m, 3).argsort(1),
            hue_after=(uniform(m) * 4).long(),
            hue=torch.where(jittered, uniform(m, low=-self.hue, high=self.hue), 0),
            gray=uniform(m) < self.gray,
            sigma=torch.where(blurred, uniform(m, low=0.1, high=2.0) * (size / 224), 0),
        )

    def apply(self, images: Tensor, draws: Draws, size: int | None = None) -> Tensor:
        """uint8 (M, 3, H, W) and their draws -> float32 (M, 3, size, size) in [0, 1].

        A CPU works on parts that fit its cache, sorted by the place of the hue (see jitter). A GPU does not, because
        it would have to wait for the numbers that this takes. Sources of twice the side cost a quarter more: 80 instead
        of 64 microseconds per view of 32 px on one thread, where a step of the tiny network takes 680 per view.
        """
        size = size or self.size
        if images.device.type != "cpu":
            return self.apply_part(images, draws, size)
        sort = draws.hue_after.argsort()
        parts = sort.split(max(16, CACHED // (3 * max(size**2, images.shape[-2] * images.shape[-1]))))
        made = [self.apply_part(images.index_select(0, part), draws.take(part), size, in_order=True) for part in parts]
        return (torch.cat(made) if len(made) > 1 else made[0])[sort.argsort()]

    def apply_part(self, images: Tensor, draws: Draws, size: int, in_order: bool = False) -> Tensor:
        """The same for one part; ``in_order`` says that its images are sorted by ``hue_after``."""
        _, _, height, width = images.shape
        rows = resize_matrix(draws.top, draws.height, height, size)
        columns = resize_matrix(draws.left, draws.width, width, size, draws.flip)
        x = apply_rows_and_columns(images / 255, rows, columns).clamp_(0, 1)
        if self.jitter:
            x = image_ops.jitter(x, draws.factors, draws.order, draws.hue_after, draws.hue, in_order)
        if self.gray:
            x = blend(x, luma(x), 1 - draws.gray.float(), out=x)
        if self.blur:
            matrix = blur_matrix(draws.sigma, size, image_ops.blur_taps(size))
            x = apply_rows_and_columns(x, matrix, matrix)
        return x


def central_square(images: Tensor) -> Tensor:
    """(…, H, W) -> (…, S, S) with S the shorter side: what the network sees of an image that is not square.

    The one place that decides it. Files are cut in the same way when they are decoded (cdlearn.data.decoding).
    """
    side = min(images.shape[-2:])
    top, left = ((length - side) // 2 for length in images.shape[-2:])
    return images[..., top : top + side, left : left + side]


def to_size(images: Tensor, size: int) -> Tensor:
    """uint8 (N, 3, H, W) -> float32 (N, 3, size, size) in [0, 1]: what evaluation and plain views see.

    Of an image that is not square that is the :func:`central_square`.
    """
    images = central_square(images)
    if images.shape[-2:] == (size, size):
        return images.float() / 255
    parts = images.split(max(1, 2**24 // math.prod(images.shape[1:])))  # sources in float take four times the room

    def resized(part: Tensor) -> Tensor:
        return F.interpolate(part.float() / 255, (size, size), mode="bilinear", antialias=True, align_corners=False)

    return torch.cat([resized(part) for part in parts])
