"""Each checker of notebook 03: the right answer, the untouched stub, plausible wrong answers, an error."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from cdlearn import disentanglement, losses
from cdlearn.course.checks.heads import check_blocks, check_drawn_loss, check_effective_heads, check_feature_loss
from cdlearn.course.checks.heads_auc import check_held_out_auc, check_rank_auc


def stub(*arguments):
    return ...  # your code here


def broken(*arguments):
    raise IndexError("too many indices for tensor of dimension 1")


@pytest.mark.parametrize("check", [check_feature_loss, check_rank_auc, check_effective_heads, check_held_out_auc])
def test_stub_and_error(check):
    assert check(stub).solved is None
    verdict = check(broken)
    assert verdict.solved is False
    assert "IndexError: too many indices" in verdict.message


def of_columns(a, b, t):
    return losses.nt_xent(a.sigmoid().T, b.sigmoid().T, t)


def overwritten(a, b, t):
    """The loss as written out by someone who saves memory."""
    y1, y2 = a.sigmoid().T, b.sigmoid().T
    y1 /= y1.norm(dim=1, keepdim=True)
    return losses.nt_xent(y1, y2, t)


def centred(y):
    return y - y.mean(0)


def test_feature_loss_right():
    assert check_feature_loss(of_columns).solved is True
    assert check_feature_loss(lambda a, b, t: losses.feature_loss(a.sigmoid(), b.sigmoid(), t)).solved is True


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda a, b, t: losses.nt_xent(a.sigmoid(), b.sigmoid(), t), "These are rows: you contrast"),
        (lambda a, b, t: losses.nt_xent(a.T, b.T, t), "contrast the logits"),
        (lambda a, b, t: losses.nt_xent(a, b, t), "rows, and logits besides"),
        (lambda a, b, t: losses.nt_xent(a.softmax(1).T, b.softmax(1).T, t), "over the heads"),
        (lambda a, b, t: losses.nt_xent(a.softmax(0).T, b.softmax(0).T, t), "over the batch"),
        (lambda a, b, t: of_columns(a, a, t), "only the first view"),
        (lambda a, b, t: of_columns(b, b, t), "only the second view"),
        (lambda a, b, t: losses.nt_xent((a > 0).float().T, (b > 0).float().T, t), "rounded"),
        (lambda a, b, t: of_columns(a, b, 1.0), "temperature is missing"),
        (lambda a, b, t: of_columns(a, b, 1 / t), "temperature multiplies"),
        (lambda a, b, t: of_columns(a, b, t) * 2 * a.shape[1], "sum over the 2K rows"),
        (lambda a, b, t: of_columns(a, b, t).item(), "carries no gradient"),
        (lambda a, b, t: of_columns(a, b.detach(), t), "no gradient reaches"),
        (lambda a, b, t: losses.nt_xent(centred(a.sigmoid()).T, centred(b.sigmoid()).T, t), "a correlation"),
        (lambda a, b, t: of_columns(a[:, : len(a)], b[:, : len(a)], t), "you give"),  # right where K is at most N
        (lambda a, b, t: of_columns(a, b, t) + 0 * (a @ b).sum(), "which dimension is N"),  # needs N = K
        (lambda a, b, t: overwritten(a, b, t), "overwrite numbers"),
        (lambda a, b, t: torch.tensor(of_columns(a, b, t).item(), requires_grad=True), "detached or rebuilt"),
        (lambda a, b, t: of_columns(a, b, t) if len(a) != 6 else of_columns(a, a, t), "With N = 6 images"),
    ],
)  # fmt: skip
def test_feature_loss_wrong(wrong, says):
    verdict = check_feature_loss(wrong)
    assert verdict.solved is False
    assert says in verdict.message


def pairs(answers, has, ties=0.5):
    one, other = answers[has][:, None], answers[~has][None, :]
    return (one > other).float() + ties * (one == other).float()


def by_ranks(answers, has, ranks=rankdata, taken_off=1):
    p, n = int(has.sum()), int((~has).sum())
    return (ranks(answers.numpy())[has.numpy()].sum() - taken_off * p * (p + 1) / 2) / (p * n)


def test_rank_auc_right():
    assert check_rank_auc(lambda a, v: pairs(a, v).mean()).solved is True
    assert check_rank_auc(by_ranks).solved is True
    assert check_rank_auc(lambda a, v: disentanglement.rank_auc(a.numpy()[:, None], v.numpy())[0]).solved is True


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda a, v: pairs(a, v, ties=0).mean(), "Ties count as lost"),
        (lambda a, v: pairs(a, v, ties=1).mean(), "Ties count as won"),
        (lambda a, v: 1 - pairs(a, v).mean(), "sign is wrong"),
        (lambda a, v: max(pairs(a, v).mean(), 1 - pairs(a, v).mean()), "folded"),
        (lambda a, v: pairs(a, v).sum(), "do not divide by the number of pairs"),
        (lambda a, v: pairs(a, v).sum() / len(a) ** 2, "all N x N pairs"),
        (lambda a, v: ((a > 0.5) == v).float().mean(), "needs no threshold"),
        (lambda a, v: by_ranks(a, v, lambda x: np.argsort(np.argsort(x, kind="stable")) + 1), "mean rank"),
        (lambda a, v: pairs(a, v), "should be one number"),
        (lambda a, v: pairs(a.clamp(0, 1), v).mean() if len(a) < 5 else pairs(a, v).mean(), "With outputs [-2.0"),
    ],
)
def test_rank_auc_wrong(wrong, says):
    verdict = check_rank_auc(wrong)
    assert verdict.solved is False
    assert says in verdict.message


def effective(matrix, k):
    return k**2 / matrix.square().sum()


def standard(y, correction):
    return (y - y.mean(0)) / y.std(0, correction=correction)


def test_effective_heads_right():
    assert check_effective_heads(lambda y: effective(standard(y, 0).T @ standard(y, 0) / len(y), y.shape[1])).solved
    assert check_effective_heads(lambda y: effective(torch.corrcoef(y.T), y.shape[1])).solved is True

    def by_eigenvalues(y):
        values = torch.linalg.eigvalsh(torch.corrcoef(y.T))
        return values.sum() ** 2 / values.square().sum()

    assert check_effective_heads(by_eigenvalues).solved is True


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda y: torch.cov(y.T).trace() ** 2 / torch.cov(y.T).square().sum(), "covariances, so a head"),
        (lambda y: effective(torch.cov(y.T), y.shape[1]), "covariances in place"),
        (lambda y: effective((y / y.norm(dim=0)).T @ (y / y.norm(dim=0)), y.shape[1]), "not centred"),
        (lambda y: effective(torch.corrcoef(y), len(y)), "images with images"),
        (lambda y: effective(torch.corrcoef(y), y.shape[1]), "not the rows"),
        (lambda y: y.shape[1] ** 2 / torch.corrcoef(y.T).sum(), "not squared"),
        (lambda y: y.shape[1] ** 2 / torch.corrcoef(y.T).abs().sum(), "magnitudes"),
        (lambda y: y.shape[1] / torch.corrcoef(y.T).square().sum(), "not K squared"),
        (lambda y: torch.corrcoef(y.T).square().mean(), "upside down"),
        (lambda y: effective(standard(y, 1).T @ standard(y, 1) / len(y), y.shape[1]), "divides by N - 1"),
        (lambda y: effective(standard(y, 0).T @ standard(y, 0) / (len(y) - 1), y.shape[1]), "your product by N - 1"),
        (lambda y: 5.0, "you give 5.0000"),
    ],
)
def test_effective_heads_wrong(wrong, says):
    verdict = check_effective_heads(wrong)
    assert verdict.solved is False
    assert says in verdict.message


@pytest.mark.parametrize(
    ("guess", "says"),
    [
        (math.log(255), "identical heads"),
        (math.log(1 + 254 * math.exp(-1)), "orthogonal heads"),
        (math.log(1 + 127 * math.exp(0.852 - 1)), "K - 1 negatives"),
        (math.log(1 + 254 * math.exp(2 * (0.8525 - 1))), "temperature, 0.5"),
        (math.log(1 + 254 * math.exp(0.852)), "own logit is missing"),
        (0.852, "cosine of two heads"),
        (math.log(1 + 254 * math.exp(0.25 / 0.458 - 1)), "variance"),
        (1.0, "Too low"),
        (6.0, "Too high"),
    ],
)
def test_drawn_loss_wrong(guess, says):
    verdict = check_drawn_loss(guess, 5.394)
    assert verdict.solved is False and says in verdict.message


def test_drawn_loss_and_blocks_right():
    assert check_drawn_loss(math.log(1 + 254 * math.exp(0.25 / (0.25 + 0.208**2) - 1)), 5.394).solved is True
    assert check_blocks("b").solved is True
    assert all(check_blocks(letter).solved is False for letter in "acd")


def held_out(answers, value, choose=None, score=None, lean=True, turn=True):
    """The right answer to the exercise with the bug, with slips as switches."""
    half = len(answers) // 2
    halves = {"first": slice(half), "second": slice(half, None), "all": slice(None)}
    choose, score = halves[choose or "first"], halves[score or "second"]
    chosen, scored = (disentanglement.rank_auc(answers[part], value[part]) for part in (choose, score))
    best = np.abs(chosen - 0.5).argmax() if lean else chosen.argmax()
    return 1 - scored[best] if turn and chosen[best] < 0.5 else scored[best]


def folded(answers, value):
    auc = held_out(answers, value)
    return max(auc, 1 - auc)


def test_held_out_right_and_still_broken():
    assert check_held_out_auc(held_out).solved is True
    assert check_held_out_auc(lambda a, v: torch.tensor(held_out(a, v))).solved is True
    verdict = check_held_out_auc(folded)
    assert verdict.solved is None and "never below 0.5" in verdict.message and "Find the bug" in verdict.message


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda a, v: held_out(a, v, lean=False), "only for heads that are high"),
        (lambda a, v: held_out(a, v, turn=False), "sign on the first half"),
        (lambda a, v: held_out(a, v, score="first"), "the half that chose"),
        (lambda a, v: held_out(a, v, choose="second"), "the half that scores"),
        (lambda a, v: held_out(a, v, choose="all"), "took part in the choice"),
        (lambda a, v: held_out(a, v, score="all"), "score on all images"),
        (lambda a, v: held_out(a, v, "all", "all"), "nothing is held out"),
        (lambda a, v: held_out(a, v, "second", "first"), "swapped"),
        (lambda a, v: 0.5, "Choose head and sign"),
        (lambda a, v: None, "returns nothing"),
    ],
)
def test_held_out_wrong(wrong, says):
    verdict = check_held_out_auc(wrong)
    assert verdict.solved is False
    assert says in verdict.message
