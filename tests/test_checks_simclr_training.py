"""Notebook 02's other exercises: a meter with a bug, a loss to predict, a matrix to read."""

import math

import pytest
import torch.nn.functional as F

from cdlearn.course.checks.simclr_training import (
    METER_SLIPS,
    check_doubled_batch,
    check_hardest_rows,
    check_meter,
    reading,
)
from cdlearn.results import scoring


def test_the_meter_as_given_is_not_solved_and_the_right_one_is():
    broken = check_meter(lambda z: reading(z, "rows"))
    assert broken.solved is None and "never falls" in broken.message
    assert check_meter(reading).solved is True
    assert check_meter(scoring.spread).solved is True
    assert check_meter(lambda z: F.normalize(z, dim=1).var(0, correction=0).sqrt().mean() * z.shape[1] ** 0.5).solved
    assert check_meter(lambda z: ...).solved is None


@pytest.mark.parametrize("slip", METER_SLIPS)
def test_every_slip_of_the_meter_is_named(slip):
    verdict = check_meter(lambda z: reading(z, slip))
    assert verdict.solved is False and verdict.message.startswith(METER_SLIPS[slip])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda z: 1.0, "should read 0.000"),
        (lambda z: F.normalize(z, dim=1).std(0), "is a mean missing"),
        (lambda z: reading(z) / 2, "they should read"),
        (lambda z: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_other_wrong_meters(wrong, says):
    verdict = check_meter(wrong)
    assert verdict.solved is False and says in verdict.message


@pytest.mark.parametrize(
    ("guess", "says"),
    [(0.0, "511 columns"), (2.0, "takes its log"), (1.0, "base 2"), (-0.693, "sign"), (0.3, "competitors"), (4, "log")],
)
def test_wrong_predictions_of_a_doubled_batch(guess, says):
    verdict = check_doubled_batch(guess, 0.694)
    assert verdict.solved is False and says in verdict.message


def test_right_prediction_and_the_matrix():
    assert check_doubled_batch(math.log(2), 0.68).solved is True
    assert check_hardest_rows("b").solved is True
    for letter, says in (("a", "larger crowd"), ("c", "are separated"), ("d", "bright cells")):
        verdict = check_hardest_rows(letter)
        assert verdict.solved is False and says in verdict.message
