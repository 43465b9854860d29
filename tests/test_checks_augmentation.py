"""Every checker of notebook 01 on the right answer, on the stub, and on plausible wrong answers."""

import pytest
import torch

from cdlearn.augment import luma
from cdlearn.course.checks.augmentation import (
    BOX_SLIPS,
    check_crop_box,
    check_jitter_brightness,
    check_random_gray,
    reference_box,
)


def brightness(images, strength, generator, shape=(-1, 1, 1, 1), low=None, high=None, clamp=True):
    low, high = 1 - strength if low is None else low, 1 + strength if high is None else high
    count = {(-1, 1, 1, 1): len(images), (-1,): len(images), (-1, 3, 1, 1): 3 * len(images), (1,): 1}[shape]
    factor = low + (high - low) * torch.rand(count, generator=generator)
    made = factor.view(shape) * images
    return made.clamp(0, 1) if clamp else made


def noise(images, strength, generator):
    return (images * (1 - strength + 2 * strength * torch.rand(images.shape, generator=generator))).clamp(0, 1)


def added(images, strength, generator):
    return (images + 0.1 * torch.rand(len(images), 1, 1, 1, generator=generator)).clamp(0, 1)


def seeded(images, strength, generator):
    return brightness(images, strength, torch.Generator().manual_seed(0))


def global_state(images, strength, generator):
    return brightness(images, strength, None)


def bell(images, strength, generator):
    factor = 1 + (strength / 2 * torch.randn(len(images), 1, 1, 1, generator=generator)).clamp(-strength, strength)
    return (factor * images).clamp(0, 1)


def gray(images, probability, generator, coins=None, grey=luma, above=False):
    shape = (len(images), 1, 1, 1) if coins is None else coins(images)
    u = torch.rand(shape, generator=generator)
    return torch.where(u > probability if above else u < probability, grey(images), images)


def one_channel(images, probability, generator):
    return luma(images)


def mixed(images, probability, generator):
    return probability * luma(images) + (1 - probability) * images


def quarter(images, probability, generator):
    return gray(images, probability**2, generator)


def in_numpy(function):
    return lambda images, setting, generator: function(images, setting, generator).numpy()


def rescaled(images, strength, generator, axes=(0, 1, 2, 3)):
    made = brightness(images, strength, generator, clamp=False)
    return made / made.amax(axes, keepdim=True).clamp(min=1)


def dealt(images, probability, generator):
    made = images.clone()
    chosen = torch.randperm(len(images), generator=generator)[: round(probability * len(images))]
    made[chosen] = luma(images[chosen]).expand(-1, 3, -1, -1)
    return made


@pytest.mark.parametrize(("check", "right"), [(check_jitter_brightness, brightness), (check_random_gray, gray)])
def test_right_answers_in_numpy(check, right):
    assert check(in_numpy(right)).solved is True, check(in_numpy(right))


@pytest.mark.parametrize(
    ("check", "right"),
    [(check_jitter_brightness, brightness), (check_random_gray, gray), (check_crop_box, reference_box)],
)
def test_right_answers_and_stubs(check, right):
    assert check(right).solved is True, check(right).message
    assert check(lambda *given: ...).solved is None
    assert check(lambda *given: 1 / 0).solved is False
    assert "ZeroDivisionError" in check(lambda *given: 1 / 0).message


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, s, g: brightness(x, s, g, shape=(1,)), "all images get the same factor"),
        (lambda x, s, g: x, "nothing changes"),
        (lambda x, s, g: brightness(x, s, g, shape=(-1,)), "last axis"),
        (lambda x, s, g: brightness(x, s, g, shape=(-1, 3, 1, 1)), "changes its colour"),
        (noise, "noise"),
        (added, "black stays black"),
        (lambda x, s, g: brightness(x, s, g, low=-s, high=s), "wrong way round"),
        (lambda x, s, g: brightness(x, s, g, low=1), "only get brighter"),
        (lambda x, s, g: brightness(x, s, g, low=0, high=2), "they should fill"),
        (lambda x, s, g: brightness(x, 0.4, g), "With strength 0.1"),
        (bell, "not uniform"),
        (lambda x, s, g: brightness(x, s, g, clamp=False), "whiter than white"),
        (rescaled, "Cut only the pixels above 1"),
        (lambda x, s, g: rescaled(x, s, g, (1, 2, 3)), "Cut only the pixels above 1"),
        (lambda x, s, g: None, "returns nothing"),
        (global_state, "must repeat exactly"),
        (seeded, "does not come from it"),
        (lambda x, s, g: brightness(x, s, g)[:, :1], "shape"),
    ],
)
def test_wrong_brightness(wrong, words):
    verdict = check_jitter_brightness(wrong)
    assert verdict.solved is False
    assert words in verdict.message


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, p, g: gray(x, p, g, coins=lambda x: (1,)), "one coin for the whole batch"),
        (lambda x, p, g: gray(x, p, g, coins=lambda x: (len(x), 1, *x.shape[2:])), "coin for each pixel"),
        (lambda x, p, g: gray(x, p, g, grey=lambda x: x.mean(1, keepdim=True)), "mean of the channels"),
        (lambda x, p, g: gray(x, p, g, above=True), "wrong way round"),
        (one_channel, "network takes three"),
        (mixed, "neither the original nor grey"),
        (quarter, "a fraction of"),
        (dealt, "a fixed number"),
        (lambda x, p, g: gray(x, p, None), "must repeat exactly"),
    ],
)
def test_wrong_grays(wrong, words):
    verdict = check_random_gray(wrong)
    assert verdict.solved is False
    assert words in verdict.message


@pytest.mark.parametrize("slip", BOX_SLIPS)
def test_every_slip_of_a_box_is_named(slip):
    verdict = check_crop_box(lambda u, side, low: reference_box(u, side, low, **{slip: True}))
    assert verdict.solved is False
    assert verdict.message == BOX_SLIPS[slip]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda u, side, low: reference_box(u, side, low).round(), "leave the box as it is"),
        (lambda u, side, low: reference_box(u[:1].expand(len(u), -1), side, low), "one draw for the whole batch"),
        (lambda u, side, low: reference_box(u, 32, 0.08), "step by step"),
        (lambda u, side, low: reference_box(u, side, low)[:, :3], "shape"),
    ],
)
def test_other_wrong_boxes(wrong, words):
    verdict = check_crop_box(wrong)
    assert verdict.solved is False
    assert words in verdict.message
