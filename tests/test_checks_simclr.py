"""Each checker of notebook 02: the right answer, the untouched stub, plausible wrong answers, an error."""

import math

import pytest
import torch
import torch.nn.functional as F

from cdlearn.course.checks.simclr import check_loss_of_kinds, check_nt_xent, check_partner
from cdlearn.losses import nt_xent


def stub(*arguments):
    return ...  # your code here


def broken(*arguments):
    raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.mark.parametrize("check", [check_partner, check_nt_xent, check_loss_of_kinds])
def test_stub_and_error(check):
    assert check(stub).solved is None
    verdict = check(broken)
    assert verdict.solved is False
    assert "RuntimeError: mat1 and mat2" in verdict.message


@pytest.mark.parametrize(
    "right",
    [
        lambda n: torch.arange(2 * n).roll(n),
        lambda n: (torch.arange(2 * n) + n) % (2 * n),
        lambda n: torch.cat([torch.arange(n, 2 * n), torch.arange(n)]),
        lambda n: [*range(n, 2 * n), *range(n)],
    ],
)
def test_partner_right(right):
    assert check_partner(right).solved is True


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda n: torch.arange(2 * n), "points at itself"),
        (lambda n: torch.zeros(2 * n, dtype=torch.long), "All targets are 0"),
        (lambda n: torch.arange(n).repeat(2), "modulo N"),
        (lambda n: torch.arange(2 * n) ^ 1, "neighbours"),
        (lambda n: torch.arange(2 * n).flip(0), "backwards"),
        (lambda n: torch.arange(2 * n).roll(n) + 1, "counted from 1"),
        (lambda n: torch.arange(2 * n) + n, "columns end at 5"),
        (lambda n: torch.arange(2 * n) - n, "count from the end"),
        (lambda n: torch.arange(n, 2 * n).repeat(2), "point back"),
        (lambda n: torch.arange(n, 2 * n), "2N = 6 of them"),
        (lambda n: torch.arange(2.0 * n).roll(n), "whole numbers"),
        (lambda n: torch.tensor([3, 4, 5, 0, 1, 2]), "has the shape (6,)"),  # right for 3 images alone
        (lambda n: torch.arange(2 * n).roll(1), "each must name the other"),
    ],
)
def test_partner_wrong(wrong, says):
    verdict = check_partner(wrong)
    assert verdict.solved is False
    assert says in verdict.message


def rows_of(a, b):
    return F.normalize(torch.cat([a, b]), dim=1)


def partner(n):
    return torch.arange(2 * n).roll(n)


def masked(a, b, temperature, fill=-math.inf, reduction="mean", normalise=True, axis=1, targets=None):
    rows = F.normalize(torch.cat([a, b]), dim=axis) if normalise else torch.cat([a, b])
    logits = rows @ rows.T / temperature
    logits = logits.masked_fill(torch.eye(len(rows), dtype=torch.bool), fill)
    return F.cross_entropy(logits, partner(len(a)) if targets is None else targets, reduction=reduction)


def overwriting(a, b, temperature):
    rows = torch.cat([a, b])
    rows /= rows.norm(dim=1, keepdim=True)
    logits = rows @ rows.T
    logits /= temperature
    return F.cross_entropy(logits.fill_diagonal_(-math.inf), partner(len(a)))


def looped(a, b, temperature):
    """From torch.zeros(1): of the shape (1,)."""
    rows, total = rows_of(a, b), torch.zeros(1)
    for i, other in enumerate(partner(len(a))):
        logits = torch.stack([rows[i] @ row / temperature for k, row in enumerate(rows) if k != i])
        total = total + logits.logsumexp(0) - rows[i] @ rows[other] / temperature
    return total / len(rows)


def across(a, b, temperature):
    logits = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / temperature
    return F.cross_entropy(logits, torch.arange(len(a)))


def with_exp(a, b, temperature, no_positive=False):
    similar = (rows_of(a, b) @ rows_of(a, b).T / temperature).exp()
    similar = similar * (1 - torch.eye(len(similar)))
    positive = similar[torch.arange(len(similar)), partner(len(a))]
    return -(positive / (similar.sum(1) - positive * no_positive)).log().mean()


def test_nt_xent_right():
    assert check_nt_xent(nt_xent).solved is True
    assert check_nt_xent(masked).solved is True
    assert check_nt_xent(looped).solved is True, check_nt_xent(looped)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda a, b, t: F.cross_entropy(rows_of(a, b) @ rows_of(a, b).T / t, partner(len(a))), "includes k = i"),
        (lambda a, b, t: masked(a, b, t, fill=0.0), "exp(0) = 1"),
        (lambda a, b, t: masked(a, b, t, reduction="none")[: len(a)].mean(), "first view's N rows"),
        (across, "other view only"),
        (lambda a, b, t: across(a, b, t) / 2 + across(b, a, t) / 2, "other view only"),
        (lambda a, b, t: masked(a, b, t, reduction="sum"), "sum over the 2N rows"),
        (lambda a, b, t: masked(a, b, t, reduction="none"), "is a mean missing"),
        (lambda a, b, t: masked(a, b, t, normalise=False), "plain dot products"),
        (lambda a, b, t: masked(a, b, 1 / t), "multiplied by the temperature"),
        (lambda a, b, t: with_exp(a, b, t, no_positive=True), "positive is missing"),
        (lambda a, b, t: -masked(a, b, t), "sign is wrong"),
        (with_exp, "too large for a float32"),
        (lambda a, b, t: masked(a, b, t).item(), "no gradient"),
        (lambda a, b, t: masked(a, b.detach(), t), "no gradient reaches"),
        (lambda a, b, t: masked(a, b, t) + b.detach().sum() * 0 + (a - a.detach()).sum(), "its gradient is not"),
        (lambda a, b, t: masked(a, b, 1.0), "temperature is missing"),
        (lambda a, b, t: masked(a, b, t, axis=0), "dim=0"),
        (lambda a, b, t: masked(a, b, t, targets=torch.arange(2 * len(a))), "The loss is infinite"),
        (lambda a, b, t: masked(a, b, t, fill=1 / t, targets=torch.arange(2 * len(a))), "target is the row itself"),
        (lambda a, b, t: masked(a, b, t, targets=torch.arange(2 * len(a)) ^ 1), "pairs are neighbours"),
        (overwriting, "overwrite numbers"),
        (lambda a, b, t: masked(a, b, 0.5), "it should be"),  # right for one temperature alone
    ],
)  # fmt: skip
def test_nt_xent_wrong(wrong, says):
    verdict = check_nt_xent(wrong)
    assert verdict.solved is False
    assert says in verdict.message


def test_nt_xent_says_by_how_much():
    """With k = i in the denominator the loss is too high, and the message says by how much."""
    verdict = check_nt_xent(lambda a, b, t: F.cross_entropy(rows_of(a, b) @ rows_of(a, b).T / t, partner(len(a))))
    assert "too high" in verdict.message


def kinds(n, kinds, cosine, temperature, alike=-1, rows=2, top=1.0):
    same = rows * n / kinds + alike
    other = rows * n - rows * n / kinds
    return math.log(same * math.exp(1 / temperature) + other * math.exp(cosine / temperature)) - top / temperature


def test_loss_of_kinds_right():
    assert check_loss_of_kinds(kinds).solved is True
    assert kinds(128, 1, 1.0, 0.5) == pytest.approx(math.log(255))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda n, k, c, t: kinds(n, k, c, t, alike=0), "You count row i itself"),
        (lambda n, k, c, t: kinds(n, k, c, t, alike=-2), "partner is missing"),
        (lambda n, k, c, t: kinds(n, k, c, t, rows=1), "holds both views"),
        (lambda n, k, c, t: kinds(n, k, c, 1.0), "temperature is missing"),
        (lambda n, k, c, t: kinds(n, k, c, 1 / t), "temperature multiplies"),
        (lambda n, k, c, t: kinds(n, k, c, t, top=0.0), "numerator is missing"),
        (lambda n, k, c, t: math.log(math.exp(1 / t) + (2 * n - 2) * math.exp(c / t)) - 1 / t, "only the partner"),
        (lambda n, k, c, t: kinds(n, k, 0.0, t), "how many have the given one"),  # right for orthogonal kinds alone
    ],
)
def test_loss_of_kinds_wrong(wrong, says):
    verdict = check_loss_of_kinds(wrong)
    assert verdict.solved is False
    assert says in verdict.message
