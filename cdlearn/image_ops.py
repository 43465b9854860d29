"""The image operations behind the views: crop, resize, flip, blur, colours; each image with parameters of its own.

Crop, flip, resize and blur are linear along each axis, so every image gets small matrices of its own, and one batched
matrix product applies them to all images. Every operation does what torchvision.transforms.v2.functional does for the
same parameters (tests/test_augment.py).
"""

import math

import torch
from torch import Tensor

GRAY = (0.2989, 0.587, 0.114)  # ITU-R 601 luma, with torchvision's digits


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


def blur_taps(size: int) -> int:
    """The taps of the blur at this size: a tenth of it, an odd number."""
    return min(max(3, size // 10 | 1), 2 * size - 1)


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


def jitter(x: Tensor, factors: Tensor, order: Tensor, hue_after: Tensor, hue: Tensor, in_order: bool = False) -> Tensor:
    """Brightness, contrast, saturation and hue of (M, 3, S, S) in each image's own order; writes into ``x``.

    factors, order: (M, 3), of the first three, and the order in which they are applied; hue: (M,), the shift, which
    comes after ``hue_after`` of them.

    The first three are blends: with black, with the mean grey, with the grey image. So one pass serves all images,
    whatever their order. The place of the hue differs too, so the hue falls between two rounds of such passes. A pass
    that an image takes in the other round has the factor 1. ``in_order`` says that images are sorted by ``hue_after``.
    Then each pass concerns one slice of them, which halves the work (all of TwoViews, 256 views on two cores: at 96 px
    87 to 73 ms, at 32 px 9.5 to 8.1).
    """
    factors = factors.gather(1, order)  # (M, 3), from here on in the order of application
    comes_first = torch.arange(3, device=x.device) < hue_after.view(-1, 1)
    later = (~comes_first).sum(0).tolist() if in_order else [0] * 3  # the first image whose hue comes later
    is_dark, is_flat = order == 0, order < 2  # blends with black; blends with one tone
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
            x = adjust_hue(x, hue)
    return x
