"""Notebook 01's other exercises: two numbers to predict, a figure to read, two views with a bug."""

import pytest
import torch

from cdlearn.course.checks.augmentation_views import (
    check_loss_and_bars,
    check_one_grey,
    check_pattern_known,
    check_two_views,
)


def views(images, generator, shared="", strength=0.4, flip=0.5, axis=3, count=-1):
    """Two views; ``shared`` names what both take from one draw."""

    def uniform():
        return torch.rand(len(images) if count < 0 else count, 1, 1, 1, generator=generator)

    once, coin, made = uniform(), uniform() < flip, []
    for _ in range(2):
        factor = 1 + strength * (2 * (once if "factor" in shared else uniform()) - 1)
        mirrored = coin if "coin" in shared else uniform() < flip
        made.append((factor * torch.where(mirrored, images.flip(axis), images)).clamp(0, 1))
    return made


def half_shared(images, generator):
    common = torch.rand(len(images), 1, 1, 1, generator=generator)
    made = []
    for _ in range(2):
        own = torch.rand(len(images), 1, 1, 1, generator=generator)
        mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
        made.append((0.6 + 0.4 * (common + own)) * torch.where(mirrored, images.flip(3), images))
    return made


def test_the_views_as_given_are_not_solved_and_the_right_ones_are():
    broken = check_two_views(lambda images, generator: views(images, generator, shared="factor"))
    assert broken.solved is None and "lightness alone finds the partner" in broken.message
    assert check_two_views(views).solved is True, check_two_views(views)
    assert check_two_views(lambda *given: tuple(views(*given))).solved is True
    assert check_two_views(lambda *given: ...).solved is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda x, g: views(x, g)[0], "Return two views"),
        (lambda x, g: views(x, None), "same generator"),
        (lambda x, g: views(x, g, count=1), "All images of a view"),
        (lambda x, g: views(x, g, shared="coin"), "share the coin"),
        (lambda x, g: views(x, g, axis=2), "neither their image"),
        (lambda x, g: views(x, g, strength=0.2), "should fill 0.6 to 1.4"),
        (lambda x, g: views(x, g, flip=0.0), "is mirrored"),
        (lambda x, g: [v + 0.1 * torch.rand(len(x), 3, 1, 1, generator=g) for v in views(x, g)], "neither their image"),
        (half_shared, "correlation is 0."),
        (lambda x, g: None, "returns nothing"),
    ],
)
def test_wrong_views(wrong, says):
    verdict = check_two_views(wrong)
    assert verdict.solved is False
    assert says in verdict.message


@pytest.mark.parametrize(
    ("check", "guess", "says"),
    [
        (check_pattern_known, 0.25, "blind guess"),
        (check_pattern_known, 0.93, "what is not needed"),
        (check_pattern_known, 1.0, "what is not needed"),
        (check_one_grey, 0.16, "view 1 is grey"),
        (check_one_grey, 0.2, "chance of a view"),
        (check_one_grey, 0.36, "as well"),
        (check_one_grey, 0.4, "twice"),
        (check_one_grey, 0.04, "both are grey"),
        (check_one_grey, 0.64, "neither"),
        (check_one_grey, 0.1, "both ways"),
        (check_one_grey, 0.5, "does not count"),
    ],
)
def test_wrong_predictions(check, guess, says):
    verdict = check(guess, check.typical)
    assert verdict.solved is False and says in verdict.message


def test_right_predictions_and_the_figure():
    assert check_pattern_known(0.7, 0.75).solved is True
    assert check_one_grey(2 * 0.2 * 0.8, 0.325).solved is True
    assert check_loss_and_bars("b").solved is True
    for letter, says in (("a", "lowest curve"), ("c", "need not reach 0"), ("d", "epochs")):
        verdict = check_loss_and_bars(letter)
        assert verdict.solved is False and says in verdict.message
