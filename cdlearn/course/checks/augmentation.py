"""Checks of notebook 01: brightness and grayscale with one draw per image, and the box of a random crop."""

import math

import torch
from torch import Tensor

from cdlearn.augment import luma
from cdlearn.course.checks.grade import Wrong, call, checker, close, diagnose, tensor


def drawn_with(seed: int) -> torch.Generator:
    """A new generator with ``seed``."""
    return torch.Generator().manual_seed(seed)


def between(low: float, high: float, *shape: int, seed: int = 0) -> Tensor:
    """Random images with all pixels between low and high."""
    return low + (high - low) * torch.rand(*shape, generator=drawn_with(seed))


def check_repeats(given, images: Tensor, setting: float) -> Tensor:
    """The function's images; raises Wrong if they do not repeat or have another shape."""
    got, again = (tensor(call(given, images, setting, drawn_with(7)), images.shape) for _ in range(2))
    if not torch.equal(got, again):
        raise Wrong(
            "With the same generator in the same state, your function gives other images. Pass generator=generator to "
            "torch.rand: a run with the same seed must repeat exactly."
        )
    return got


def check_generator(given, images: Tensor, setting: float) -> None:
    """Raises Wrong if the draw does not depend on the generator."""
    first, other = (tensor(call(given, images, setting, drawn_with(seed)), images.shape) for seed in (7, 8))
    if torch.equal(first, other):
        raise Wrong(
            "Another generator gives the very same images, so your draw does not come from it. If you seed inside the "
            "function, every batch of the training gets the same draw."
        )


@checker
def check_jitter_brightness(given):
    """Checks ``given(images, strength, generator)``: one factor in 1 +- strength per image, clamped."""
    square = between(0.2, 0.6, 8, 3, 8, 8)  # as many images as columns, so that a wrong axis raises no error
    factors = check_repeats(given, square, 0.4) / square
    spread = {axis: float(factors.std(axis).max()) for axis in range(4)}
    if max(spread.values()) < 1e-4:
        same = "nothing changes" if close(factors, torch.ones_like(factors)) else "all images get the same factor"
        raise Wrong(f"In a batch of 8 {same}: draw one factor per image, torch.rand(len(images)), not one number.")
    if spread[3] > 1e-4 and spread[2] < 1e-4:
        raise Wrong(
            "Your factors run along the columns of the pixels, because a tensor (N,) is matched with the last axis. "
            "Give it the shape (N, 1, 1, 1) with view(-1, 1, 1, 1)."
        )
    if spread[2] > 1e-4 or spread[3] > 1e-4:
        shift = check_repeats(given, square, 0.4) - square
        if float(shift.std((1, 2, 3)).max()) < 1e-4:
            raise Wrong("You add a number to each image; brightness multiplies, so that black stays black.")
        raise Wrong("Pixels of one image get different factors: that is noise, not brightness. Draw N factors in all.")
    if spread[1] > 1e-4:
        raise Wrong(
            "The three channels of an image get different factors: that changes its colour. Use one factor per image, "
            "shape (N, 1, 1, 1)."
        )
    check_generator(given, square, 0.4)
    for strength in (0.4, 0.1):
        many = between(0.2, 0.6, 2000, 3, 2, 2)
        factor = (check_repeats(given, many, strength) / many).mean((1, 2, 3))
        low, high = float(factor.min()), float(factor.max())
        found = f"With strength {strength} your factors lie between {low:.2f} and {high:.2f}"
        wanted = f"; they should fill {1 - strength:.1f} to {1 + strength:.1f}."
        if high <= strength + 1e-3:
            raise Wrong(
                found
                + wanted
                + " You draw around 0 instead of 1, or you blend the wrong way round (1 - f in place of f). "
                "Factor 1 must give the image itself."
            )
        if low > 1 - 1e-3:
            raise Wrong(found + wanted + " Images only get brighter.")
        if abs(low - (1 - strength)) > 0.02 or abs(high - (1 + strength)) > 0.02:
            raise Wrong(found + wanted)
        middle = float(((factor - 1).abs() < strength / 2).float().mean())
        if not 0.44 < middle < 0.56:
            raise Wrong(
                f"Your factors are not uniform: {middle:.0%} of them lie in the middle half of the range; it should be "
                "50%. torch.rand is uniform, torch.randn is not."
            )
    bright = between(0.7, 1.0, 50, 3, 4, 4)
    got = check_repeats(given, bright, 0.8)
    if float(got.max()) > 1 + 1e-6:
        raise Wrong(
            f"A bright image comes out with a pixel of {float(got.max()):.2f}: whiter than white. Clamp to 0-1, as an "
            "image file would."
        )
    if not close(got, (2 * check_repeats(given, bright / 2, 0.8)).clamp(max=1), 1e-3):
        raise Wrong(
            "You rescale where a pixel exceeds 1 (do you divide by a maximum?). Then the other pixels get darker than "
            "their factor says. Cut only the pixels above 1: clamp(0, 1)."
        )
    return (
        "Every image has its own factor, in range and clamped. Clamping cannot be undone: the brightest details are "
        "gone for good."
    )


@checker
def check_random_gray(given):
    """Checks ``given(images, probability, generator)``: luma in three channels, one coin per image."""
    images = between(0.0, 1.0, 400, 3, 6, 6)
    grey = luma(images).expand_as(images)
    first = call(given, images, 0.5, drawn_with(0))
    if isinstance(first, Tensor) and first.shape == (400, 1, 6, 6):
        raise Wrong(
            "You give one channel; the network takes three. Repeat the grey channel: expand_as(images), or let "
            "torch.where broadcast it."
        )
    got = check_repeats(given, images, 0.5)
    kept = ((got - images).abs() < 1e-5).flatten(1)
    greyed = ((got - grey).abs() < 1e-3).flatten(1)
    if (
        close(got, images.mean(1, keepdim=True).expand_as(images))
        or (((got - images.mean(1, keepdim=True)).abs() < 1e-5).flatten(1).all(1) & ~greyed.all(1)).any()
    ):
        raise Wrong(
            "You take the mean of the channels. Luma weighs them as the eye does: 0.2989 R + 0.587 G + 0.114 B."
        )
    odd = ~(kept.all(1) | greyed.all(1))
    if odd.any():
        if (kept | greyed).all():
            raise Wrong(
                "Within one image some pixels are grey and some are not: that is a coin for each pixel. Flip N coins "
                "and give them the shape (N, 1, 1, 1)."
            )
        raise Wrong(
            "Some images are neither the original nor grey. Grey is 0.2989 R + 0.587 G + 0.114 B, the same in all "
            "three channels. Keep an image or replace it, but do not mix the two."
        )
    fraction = float(greyed.all(1).float().mean())
    if fraction in (0.0, 1.0):
        raise Wrong(
            f"With probability 0.5, {'all' if fraction else 'none'} of 400 images are grey: one coin for the whole "
            "batch. Each image needs its own: torch.rand(len(images))."
        )
    check_generator(given, images, 0.5)
    counts = set()
    for seed in range(6):
        made = tensor(call(given, images, 0.5, drawn_with(seed)), images.shape)
        counts.add(int((made - grey).abs().flatten(1).amax(1).lt(1e-3).sum()))
    if len(counts) == 1:
        raise Wrong(
            f"In each of six batches exactly {counts.pop()} of 400 images are grey, so you deal out a fixed number of "
            "them. With a coin for each image the number varies: torch.rand(len(images)) < p."
        )
    for probability in (0.2, 0.0, 1.0):
        got = check_repeats(given, images, probability)
        fraction = float((got - grey).abs().flatten(1).amax(1).lt(1e-3).float().mean())
        if abs(fraction - probability) > 0.08:
            if abs(fraction - (1 - probability)) < 0.08:
                raise Wrong(
                    f"With probability {probability} a fraction of {fraction:.2f} is grey: the wrong way round. "
                    "torch.rand(n) < p is true with probability p."
                )
            raise Wrong(f"With probability {probability} a fraction of {fraction:.2f} of the images is grey.")
    return (
        "Each image has its own coin, and grey is luma in all three channels. Count the grey images of a batch now and "
        "then: a coin for the whole batch would give none or all of them."
    )


def reference_box(u: Tensor, side: float, low: float, **slip) -> Tensor:
    """The right box of Exercise 7, or one with a usual slip."""
    area = (low + (1 - low) * u[:, 0]) * side**2
    if slip.get("side_even"):
        area = ((low + (1 - low) * u[:, 0]) * side) ** 2
    if slip.get("no_low"):
        area = u[:, 0] * side**2
    bounds = math.log(3 / 4), math.log(4 / 3)
    ratio = torch.exp(bounds[0] + (bounds[1] - bounds[0]) * u[:, 1])
    if slip.get("ratio_even"):
        ratio = 3 / 4 + (4 / 3 - 3 / 4) * u[:, 1]
    width, height = (area * ratio).sqrt(), (area / ratio).sqrt()
    if slip.get("no_root"):
        width, height = area.sqrt() * ratio, area.sqrt() / ratio
    if slip.get("swapped"):
        width, height = height, width
    if not slip.get("no_cut"):
        width, height = width.clamp(max=side), height.clamp(max=side)
    top, left = u[:, 2] * (side - height), u[:, 3] * (side - width)
    if slip.get("leaves"):
        top, left = u[:, 2] * side, u[:, 3] * side
    if slip.get("room"):
        top, left = u[:, 2] * (side - width), u[:, 3] * (side - height)
    if slip.get("place"):
        top, left = u[:, 3] * (side - height), u[:, 2] * (side - width)
    columns = [left, top, width, height] if slip.get("columns") else [top, left, height, width]
    return torch.stack(columns, 1)


BOX_SLIPS = {
    "ratio_even": "You draw the ratio itself uniformly, so wide boxes come more often than tall ones (57%). "
    "Draw its logarithm uniformly from ln(3/4) to ln(4/3), then take exp.",
    "swapped": "You swapped height and width: the ratio is width to height, so width = sqrt(area x ratio) and "
    "height = sqrt(area / ratio).",
    "no_root": "The ratio of your sides is the square of the drawn ratio, but width / height must be the ratio. Take "
    "the square root of area x ratio and of area / ratio.",
    "side_even": "You draw the side uniformly, not the area, so small boxes come far too often. The area is a "
    "fraction of side squared.",
    "no_low": "Your area starts from 0, not from low: map u to the range from low to 1, low + (1 - low) u.",
    "leaves": "Some boxes leave the image: you draw top from the whole side, but only side - height is free.",
    "room": "The room for top is side - height, and the room for left is side - width; you swapped them.",
    "no_cut": "A box with nearly the whole area and a ratio other than 1 is wider or taller than the image. Cut height "
    "and width to side before you draw the place: clamp(max=side).",
    "place": "Column 2 of u is for top, column 3 for left; you swapped them.",
    "columns": "Your columns are in the wrong order. It should be top, left, height, width (rows come before columns).",
}


@checker
def check_crop_box(given):
    """Checks ``given(u, side, low) -> (M, 4)``: top, left, height, width."""
    u = torch.rand(200, 4, generator=drawn_with(3))
    for side, low in ((32, 0.08), (224, 0.5), (10, 0.9)):
        got = tensor(call(given, u, side, low), (200, 4)).float()
        want = reference_box(u, side, low)
        if close(got, want.round()):
            raise Wrong("You round to whole pixels; leave the box as it is here.")
        if len(got.unique(dim=0)) == 1:
            raise Wrong("All boxes are the same: one draw for the whole batch. Use u[:, 0], one number per box.")
        slips = {words: reference_box(u, side, low, **{name: True}) for name, words in BOX_SLIPS.items()}
        worst = int((got - want).abs().amax(1).argmax())
        shown = ", ".join(f"{v:.2f}" for v in got[worst].tolist())
        meant = ", ".join(f"{v:.2f}" for v in want[worst].tolist())
        numbers = ", ".join(f"{v:.3f}" for v in u[worst].tolist())
        diagnose(
            got,
            want,
            slips,
            f"For side {side}, low {low} and u = ({numbers}) you give ({shown}); it should be ({meant}): top, left, "
            "height, width. Go step by step: area, ratio, width and height, cut, place.",
        )
    return (
        "Every box lies within the image. torchvision draws again where you cut, so fewer of its boxes reach from one "
        "side of the image to the other."
    )
