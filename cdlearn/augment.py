"""Two random views, or more, of every image of a batch, in one pass, on the batch's device.

Crop, flip, resize and blur are linear along each axis, so every image gets small matrices of its own, and one batched
matrix product applies them to all images. The colour operations let every image have its own order of them.
Every operation does what torchvision.transforms.v2.functional does for the same parameters (tests/test_augment.py).
"""

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

CACHED = 2**20  # values in the part of a batch that a CPU works on at once
GRAY = (0.2989, 0.587, 0.114)  # ITU-R 601 luma, with torchvision's digits


def resize_matrix(start: Tensor, length: Tensor, source: int, target: int, flip: Tensor | None = None) -> Tensor:
    """Matrices that crop ``length`` pixels from ``start`` and resize them to ``target``: bilinear, antialiased.

    start, length: (M,) in pixels; flip: (M,) bool, reverses the output. Returns (M, target, source) float32 whose
    rows sum to 1. The kernel is a triangle as wide as the larger of a source and a target pixel, cut off at the crop.
    """
    start, length = (v.float().view(-1, 1, 1) for v in (start, length))
    scale = length / target
    out = torch.arange(target, device=start.device).view(1, -1, 1).expand(len(start), -1, -1)
    if flip is not None:
        out = torch.where(flip.view(-1, 1, 1), target - 1 - out, out)
    pixel = torch.arange(source, device=start.device).view(1, 1, -1)
    centre = start + (out + 0.5) * scale
    weight = (pixel + 0.5 - centre).abs_().div_(-scale.clamp(min=1)).add_(1).clamp_(min=0)
    weight *= (pixel >= start) & (pixel < start + length)
    return weight.div_(weight.sum(2, keepdim=True))


def blur_matrix(sigma: Tensor, size: int, kernel: int) -> Tensor:
    """Matrices of a Gaussian blur along an axis of ``size`` pixels. Edges are reflected; sigma 0 gives the identity.

    sigma: (M,) in pixels; kernel: odd number of taps, at most 2 size - 1. Returns (M, size, size) float32.
    """
    reach = kernel // 2
    tap = torch.arange(-reach, reach + 1, device=sigma.device)
    weight = torch.exp(-0.5 * (tap / sigma.clamp(min=1e-6).view(-1, 1)) ** 2)
    weight = weight / weight.sum(1, keepdim=True)
    reached = (torch.arange(size, device=sigma.device).view(-1, 1) + tap).abs()
    reached = torch.where(reached >= size, 2 * size - 2 - reached, reached)  # 0 1 2 | 1 0: the edge is not repeated
    return torch.zeros(len(sigma), size, size, device=sigma.device).scatter_add_(
        2, reached.expand(len(sigma), -1, -1), weight.unsqueeze(1).expand(-1, size, -1)
    )


def apply_rows_and_columns(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(M, 3, H, W), (M, S, H), (M, T, W) -> (M, 3, S, T).

    One channel at a time, because a product with all three would copy each matrix three times.
    """
    return torch.stack([rows @ channel @ columns.mT for channel in images.unbind(1)], dim=1)


def luma(images: Tensor) -> Tensor:
    """(M, 3, S, S) -> (M, 1, S, S)."""
    red, green, blue = images.unbind(1)
    return (GRAY[0] * red + GRAY[1] * green + GRAY[2] * blue).unsqueeze(1)


def blend(images: Tensor, other: Tensor, factor: Tensor, out: Tensor | None = None) -> Tensor:
    """factor x images + (1 - factor) x other, kept within [0, 1]; factor is (M,). ``out`` may be ``images``."""
    return torch.lerp(other, images, factor.view(-1, 1, 1, 1), out=out).clamp_(0, 1)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of (M, 3, S, S) by ``shift`` (M,), in turns of the colour circle: -0.5 to 0.5.

    Turning keeps the largest and the smallest channel (value and chroma), so only the hue goes through HSV.
    """
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = value - low
    chroma.masked_fill_(chroma == 0, 1)
    is_red, is_green = value == red, value == green
    hue = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green)).div_(chroma)
    hue += torch.where(is_red, 0, torch.where(is_green, 2, 4)) + 6 * shift.view(-1, 1, 1)  # in sixths of a turn
    hue -= (hue / 6).floor_().mul_(6)  # torch.remainder gives the same but takes five times as long on a CPU
    # A channel whose own hue is c (red 0, green 2, blue 4) gets the share | |hue - c| - 3 | - 1, clamped to [0, 1].
    share = torch.stack([hue, hue - 2, hue - 4], dim=1)
    share = share.abs_().sub_(3).abs_().sub_(1).clamp_(0, 1)
    return torch.lerp(low.unsqueeze(1), value.unsqueeze(1), share)


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
    or ``count`` of them.
    Each view of each image has its own random draws. The same generator state gives the same views.

    Args:
        size: side of a view in pixels.
        crop: smallest and largest share of the area that a crop keeps; its aspect ratio is 3:4 to 4:3.
        brightness, contrast, saturation: factors are drawn from [1 - x, 1 + x].
        hue: shifts are drawn from [-hue, hue] turns.
        jitter, gray, blur: probabilities of colour jitter, grayscale and Gaussian blur (sigma 0.1-2 at 224 px, and
            in proportion to the size).
        both: False only resizes the first view (the paper's Tables 7 and 10).
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
    ):
        if not 0 < crop[0] <= crop[1] <= 1:
            raise ValueError(f"crop is a range of area shares with 0 < low <= high <= 1, got {crop}")
        if not 0 <= hue <= 0.5:
            raise ValueError(f"hue is at most 0.5, half a turn of the colour circle, got {hue}")
        self.size, self.crop, self.hue, self.both, self.count = size, crop, hue, both, count
        self.strengths = (brightness, contrast, saturation)
        self.jitter, self.gray, self.blur, self.flip = jitter, gray, blur, flip
        self.kernel = min(max(3, size // 10 | 1), 2 * size - 1)

    @classmethod
    def of(cls, config, count: int = 2) -> "TwoViews":
        """The views that a Config asks for."""
        names = ("size", "crop", "brightness", "contrast", "saturation", "hue", "jitter", "gray", "blur")
        return cls(**{name: getattr(config, name) for name in names}, both=config.both_views, count=count)

    def __call__(
        self, images: Tensor, generator: torch.Generator | None = None, rank: int = 0, ranks: int = 1
    ) -> tuple[Tensor, ...]:
        """The views of ``images``, which are slice ``rank`` of ``ranks``: the same views as in the whole batch."""
        n, _, height, width = images.shape
        sides = self.count if self.both else self.count - 1
        draws = self.draw(sides * n * ranks, height, width, images.device, generator)
        if ranks > 1:
            order = torch.arange(sides * n * ranks, device=images.device).view(sides, ranks, n)
            draws = draws.take(order[:, rank].flatten())
        made = self.apply(images.repeat(sides, 1, 1, 1), draws).chunk(sides)
        return made if self.both else (to_size(images, self.size), *made)

    def draw(self, m: int, height: int, width: int, device, generator=None) -> Draws:
        """Draw everything for m views of images of height x width pixels."""

        def uniform(*shape, low=0.0, high=1.0):
            return torch.rand(*shape, device=device, generator=generator) * (high - low) + low

        top, left, h, w = draw_crops(uniform, m, height, width, self.crop)
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
            sigma=torch.where(blurred, uniform(m, low=0.1, high=2.0) * (self.size / 224), 0),
        )

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """uint8 (M, 3, H, W) and their draws -> float32 (M, 3, size, size) in [0, 1].

        A CPU works on parts that fit its cache, sorted by the place of the hue (see jitter). A GPU does not, because
        it would have to wait for the numbers that this takes. Sources of twice the side cost a quarter more: 80 instead
        of 64 microseconds per view of 32 px on one thread, where a step of the tiny network takes 680 per view.
        """
        if images.device.type != "cpu":
            return self.apply_part(images, draws)
        sort = draws.hue_after.argsort()
        parts = sort.split(max(16, CACHED // (3 * max(self.size**2, images.shape[-2] * images.shape[-1]))))
        made = [self.apply_part(images.index_select(0, part), draws.take(part), in_order=True) for part in parts]
        return (torch.cat(made) if len(made) > 1 else made[0])[sort.argsort()]

    def apply_part(self, images: Tensor, draws: Draws, in_order: bool = False) -> Tensor:
        """The same for one part; ``in_order`` says that its images are sorted by ``hue_after``."""
        _, _, height, width = images.shape
        rows = resize_matrix(draws.top, draws.height, height, self.size)
        columns = resize_matrix(draws.left, draws.width, width, self.size, draws.flip)
        x = apply_rows_and_columns(images / 255, rows, columns).clamp_(0, 1)
        if self.jitter:
            x = jitter(x, draws, in_order)
        if self.gray:
            x = blend(x, luma(x), 1 - draws.gray.float(), out=x)
        if self.blur:
            matrix = blur_matrix(draws.sigma, self.size, self.kernel)
            x = apply_rows_and_columns(x, matrix, matrix)
        return x


def jitter(x: Tensor, draws: Draws, in_order: bool = False) -> Tensor:
    """Brightness, contrast, saturation and hue in each image's own order; writes into ``x``.

    The first three are blends: with black, with the mean grey, with the grey image. So one pass serves all images,
    whatever their order. The place of the hue differs too, so the hue falls between two rounds of such passes. A pass
    that an image takes in the other round has the factor 1. ``in_order`` says that images are sorted by ``hue_after``.
    Then each pass concerns one slice of them, which halves the work (all of TwoViews, 256 views on two cores: at 96 px
    87 to 73 ms, at 32 px 9.5 to 8.1).
    """
    factors = draws.factors.gather(1, draws.order)  # (M, 3), from here on in the order of application
    comes_first = torch.arange(3, device=x.device) < draws.hue_after.view(-1, 1)
    later = (~comes_first).sum(0).tolist() if in_order else [0] * 3  # the first image whose hue comes later
    is_dark, is_flat = draws.order == 0, draws.order < 2  # blends with black; blends with one tone
    for before_hue in (True, False):
        own = torch.where(comes_first == before_hue, factors, 1)
        for place in range(3):
            now = slice(later[place], None) if before_hue or not in_order else slice(later[place])
            part = x[now]
            grey = luma(part)
            flat = grey.mean((2, 3), keepdim=True).masked_fill_(is_dark[now, place].view(-1, 1, 1, 1), 0)
            other = torch.where(is_flat[now, place].view(-1, 1, 1, 1), flat, grey)
            blend(part, other, own[now, place], out=part)
        if before_hue:
            x = adjust_hue(x, draws.hue)
    return x


def draw_crops(uniform, m: int, height: int, width: int, crop: tuple[float, float]) -> tuple[Tensor, ...]:
    """torchvision's RandomResizedCrop: the first of ten draws that fits, else the largest centred crop.

    Returns top, left, height, width, each (m,) int64 in pixels.
    """
    tries = 10
    area = height * width * uniform(m, tries, low=crop[0], high=crop[1])
    ratio = torch.exp(uniform(m, tries, low=math.log(3 / 4), high=math.log(4 / 3)))
    w, h = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = fits.int().argmax(1, keepdim=True)  # the first try that fits
    w, h = w.gather(1, first).squeeze(1), h.gather(1, first).squeeze(1)
    found = fits.any(1)
    w = torch.where(found, w, min(width, round(height * 4 / 3))).long()
    h = torch.where(found, h, min(height, round(width * 4 / 3))).long()
    top = torch.where(found, (uniform(m) * (height - h + 1)).long(), (height - h) // 2)
    left = torch.where(found, (uniform(m) * (width - w + 1)).long(), (width - w) // 2)
    return top, left, h, w


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
