"""Exercises that are no functions: a number to predict, a figure to read."""

import math

import pytest
import torch

from cdlearn.course.checks.grade import StillBroken, Wrong, call, checker, gradients
from cdlearn.course.checks.kinds import Choice, Prediction

choice = Choice("b", "The floor is 3.57.", {"a": "A loss need not reach 0.", "c": "Look at the dotted line."})
start = Prediction(
    within=0.1,
    praise="All rows are alike.",
    low="Too few negatives?",
    high="Too many negatives?",
    typical=5.54,
    slips={"You counted the row itself.": math.log(256) + 0.5},
)


@pytest.mark.parametrize("given", ["b", " B ", "(b)", "b."])
def test_the_right_letter_is_right_however_it_is_written(given):
    verdict = choice(given)
    assert verdict.solved is True and verdict.message == "The floor is 3.57."


@pytest.mark.parametrize(
    ("given", "says"), [("a", "need not"), ("c", "dotted"), ("d", "none of the answers"), (2, "none")]
)
def test_each_wrong_choice_is_explained(given, says):
    verdict = choice(given)
    assert verdict.solved is False and says in verdict.message


@pytest.mark.parametrize("nothing", [..., None])
def test_nothing_chosen_and_nothing_predicted_is_not_solved(nothing):
    assert choice(nothing).solved is None
    assert start(nothing, 5.5).solved is None


@pytest.mark.parametrize("guess", [5.6, math.log(255), torch.tensor(5.5)])
def test_a_prediction_within_reach_is_right(guess):
    verdict = start(guess, torch.tensor(5.55))
    assert verdict.solved is True and "measured: 5.55" in verdict.message


@pytest.mark.parametrize(
    ("guess", "says"),
    [(4, "Too few"), (9.0, "Too many"), (6.05, "the row itself"), ("5.5 nats", "one number"), (math.nan, "nan")],
)
def test_a_prediction_out_of_reach_is_explained(guess, says):
    verdict = start(guess, 5.55)
    assert verdict.solved is False and says in verdict.message


@checker
def check_with_a_bug(given):
    """A function to mend; the one with the bug gives 2."""
    if call(given) == 2:
        raise StillBroken("It gives 2.")
    return "It gives 3."


def test_a_bug_that_is_still_there_is_not_solved_and_shows_its_symptom():
    verdict = check_with_a_bug(lambda: 2)
    assert verdict.solved is None and "It gives 2. Find the bug" in verdict.message
    assert check_with_a_bug(lambda: 3).solved is True


def overwritten(x):
    y = x.exp()
    y /= y.sum()
    return (y**2).sum()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (overwritten, "overwrite numbers"),
        (lambda x: x.sum().item(), "carries no gradient"),
        (lambda x: x.detach().sum(), "carries no gradient"),
        (lambda x: torch.tensor(x.sum().item(), requires_grad=True), "detached or rebuilt"),
        (lambda x: None, "returns nothing"),
    ],
)
def test_why_no_gradient_comes_back_is_said(given, says):
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(Wrong, match=says):
        gradients(call(given, x), x)


def test_gradients_are_those_of_autograd():
    x = torch.ones(3, requires_grad=True)
    assert torch.equal(gradients(call(lambda x: (x**2).sum(), x), x)[0], 2 * torch.ones(3))
