"""The checkers of notebook 09, fed right answers, stubs and plausible wrong ones."""

import math

import pytest
import torch
import torch.nn.functional as F

from cdlearn.course.checks.clusters import (
    check_assignment,
    check_cluster_loss,
    check_half,
    check_imbalance,
    check_rising,
    check_target,
    check_tree,
)


def squared(h, m):
    return (h.unsqueeze(1) - m).square().sum(2)


def assignment(h, m):
    weight = 1 / (1 + squared(h, m))
    return weight / weight.sum(1, keepdim=True)


def target(q):
    q = q.detach()
    weight = q**2 / q.sum(0)
    return weight / weight.sum(1, keepdim=True)


def imbalance(log_p):
    log_mean = torch.logsumexp(log_p, 0) - math.log(len(log_p))
    return math.log(log_p.shape[1]) + (log_mean.exp() * log_mean).sum()


def naive_imbalance(log_p):
    mean = log_p.exp().mean(0)
    return math.log(log_p.shape[1]) + (mean * mean.log()).sum()


def padded_imbalance(log_p):
    """With an empty cluster its value is right but its gradient is not."""
    mean = log_p.exp().mean(0)
    return math.log(log_p.shape[1]) + torch.where(mean > 0, mean * mean.log(), 0).sum()


RIGHT = ((check_assignment, assignment), (check_target, target), (check_imbalance, imbalance))
WRONG = [
    (check_assignment, lambda h, m: 1 / (1 + squared(h, m)), "divide each row by its sum"),
    (check_assignment, lambda h, m: torch.softmax(-squared(h, m), 1), "a Gaussian"),
    (check_assignment, lambda h, m: (w := 1 / (1 + squared(h, m))) / w.sum(0), "sum of each column"),
    (check_assignment, lambda h, m: (w := 1 / (1 + squared(h, m).sqrt())) / w.sum(1, keepdim=True), "its square"),
    (check_assignment, lambda h, m: (w := 1 + squared(h, m)) / w.sum(1, keepdim=True), "grows with the distance"),
    (check_assignment, lambda h, m: assignment(h, m).T, "has the shape"),
    (check_assignment, lambda h, m: h - m[:, :1, :1], "stopped with"),
    (check_target, lambda q: q**2 / (q**2).sum(1, keepdim=True), "swallow the small ones"),
    (check_target, lambda q: q**2 / q.sum(0), "add up to 1 again"),
    (check_target, lambda q: (w := q / q.sum(0)) / w.sum(1, keepdim=True), "do not square"),
    (check_target, lambda q: (w := q**2 / (q**2).sum(0)) / w.sum(1, keepdim=True), "sum of squares"),
    (check_target, lambda q: q, "nothing became surer"),
    (check_target, lambda q: (w := q**2 / q.sum(0)) / w.sum(1, keepdim=True), "stand still"),
    (check_imbalance, lambda log_p: math.log(log_p.shape[1]) + (log_p.exp() * log_p).sum(1).mean(), "single images"),
    (check_imbalance, lambda log_p: math.log(log_p.shape[1]) - imbalance(log_p), "That is H(P)"),
    (check_imbalance, lambda log_p: imbalance(log_p) - math.log(log_p.shape[1]), "Add log K"),
    (check_imbalance, lambda log_p: imbalance(log_p) / math.log(2), "bits"),
    (check_imbalance, naive_imbalance, "0 log 0"),
    (check_imbalance, padded_imbalance, "its gradient is NaN"),
    (check_imbalance, lambda log_p: imbalance(log_p).item(), "No gradient"),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_pass(check, answer):
    assert check(answer).solved is True


@pytest.mark.parametrize("check", [check for check, _ in RIGHT])
def test_stubs_are_not_solved_yet(check):
    assert check(lambda *arguments: ...).solved is None


@pytest.mark.parametrize(("check", "answer", "words"), WRONG)
def test_wrong_answers_are_told_why(check, answer, words):
    verdict = check(answer)
    assert verdict.solved is False and words in verdict.message, verdict


def columns(p1, p2, turn=None, own=False, unit=True, rows=False):
    y = torch.cat([p1, p2] if rows else [p1.T, p2.T])
    y = F.normalize(y, dim=1) if unit else y
    table = y @ y.T if own else (y @ y.T).fill_diagonal_(-math.inf)
    return F.cross_entropy(table, torch.arange(len(y)).roll(turn or len(y) // 2))


def stacked_then_turned(p1, p2):
    y = F.normalize(torch.cat([p1, p2]), dim=1).T
    similarity = (y @ y.T).fill_diagonal_(-math.inf)
    return F.cross_entropy(similarity, torch.arange(len(y)).roll(len(y) // 2))


def test_the_bug_of_the_cluster_loss_is_found_and_other_slips_are_named():
    assert check_cluster_loss(columns).solved is True
    broken = check_cluster_loss(lambda a, b: columns(a, b, rows=True))
    assert broken.solved is None and "12 x 12 cosines instead of 6 x 6" in broken.message
    for slip, says in ((dict(turn=1), "partner"), (dict(own=True), "diagonal"), (dict(unit=False), "length 1")):
        verdict = check_cluster_loss(lambda a, b, slip=slip: columns(a, b, **slip))
        assert verdict.solved is False and says in verdict.message
    normalised = check_cluster_loss(lambda a, b: columns(F.normalize(a, dim=1), F.normalize(b, dim=1), unit=False))
    assert normalised.solved is False and "normalise what you compare" in normalised.message
    assert check_cluster_loss(lambda a, b: columns(a, b) + 1).solved is False
    through = check_cluster_loss(stacked_then_turned)
    assert through.solved is False and "Transpose each view" in through.message


@pytest.mark.parametrize(
    ("guess", "says"), [(0.5, "1 bit of 2"), (1.0, "accuracy"), (0.1, "How many"), (0.8, "How many")]
)
def test_half_a_truth_is_explained(guess, says):
    assert check_half(2 / 3, 0.667).solved is True
    verdict = check_half(guess, 0.667)
    assert verdict.solved is False and says in verdict.message


@pytest.mark.parametrize("choice", [check_rising, check_tree])
def test_every_answer_to_a_figure_is_explained(choice):
    assert choice(choice.right).solved is True
    assert {*choice.wrong, choice.right} == set("abcd")
    assert all(choice(letter).solved is False and choice(letter).message for letter in choice.wrong)
