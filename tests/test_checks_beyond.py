"""The checkers of notebook 10, fed right answers, stubs and plausible wrong ones."""

import pytest
import torch
import torch.nn.functional as F

from cdlearn.course.checks.beyond import (
    check_budget,
    check_correlated,
    check_decided,
    check_follow,
    check_variance,
)
from cdlearn.losses import nt_xent


def correlated(y1, y2, temperature):
    return nt_xent((y1 - y1.mean(0)).T, (y2 - y2.mean(0)).T, temperature)


def standardised(y1, y2, temperature):
    """A second right way: the division by the standard deviation is what the cosine does anyway."""
    y1, y2 = ((y - y.mean(0)) / y.std(0) for y in (y1, y2))
    return nt_xent(y1.T, y2.T, temperature)


@torch.no_grad()
def follow(target, online, keep):
    for mine, theirs in zip(target.parameters(), online.parameters(), strict=True):
        mine.mul_(keep).add_((1 - keep) * theirs)


@torch.no_grad()
def lerped(target, online, keep):
    for mine, theirs in zip(target.parameters(), online.parameters(), strict=True):
        mine.lerp_(theirs, 1 - keep)


@torch.no_grad()
def swapped(target, online, keep):
    for mine, theirs in zip(target.parameters(), online.parameters(), strict=True):
        mine.copy_(keep * theirs + (1 - keep) * mine)


@torch.no_grad()
def wrong_way(target, online, keep):
    for mine, theirs in zip(target.parameters(), online.parameters(), strict=True):
        theirs.copy_(keep * theirs + (1 - keep) * mine)


@torch.no_grad()
def copied(target, online, keep):
    target.load_state_dict(online.state_dict())


def returned(target, online, keep):
    return [keep * a + (1 - keep) * b for a, b in zip(target.parameters(), online.parameters(), strict=True)]


def short(z):
    return F.relu(1 - torch.sqrt(z.var(0) + 1e-4)).mean()


RIGHT = (
    (check_correlated, correlated),
    (check_correlated, standardised),
    (check_follow, follow),
    (check_follow, lerped),
    (check_variance, short),
    (check_variance, lambda z: F.relu(1 - z.std(0)).mean()),
    (check_budget, "c"),
    (check_budget, " C) "),
)
WRONG = (
    (check_correlated, lambda y1, y2, t: nt_xent(y1.T, y2.T, t), "the published loss"),
    (check_correlated, lambda y1, y2, t: nt_xent(y1 - y1.mean(0), y2 - y2.mean(0), t), "You contrast images. Heads"),
    (
        check_correlated,
        lambda y1, y2, t: nt_xent((y1 - y1.mean(1, keepdim=True)).T, (y2 - y2.mean(1, keepdim=True)).T, t),
        "the mean of each image",
    ),
    (
        check_correlated,
        lambda y1, y2, t: nt_xent((y1 - y1.mean()).T, (y2 - y2.mean()).T, t),
        "one mean over all heads",
    ),
    (check_correlated, lambda y1, y2, t: correlated(y1, y2, 1.0), "temperature has no effect"),
    (check_correlated, lambda y1, y2, t: correlated(y1, y2, t).item(), "carries no gradient"),
    (check_correlated, lambda y1, y2, t: correlated(y1.detach(), y2, t), "no gradient reaches"),
    (check_correlated, lambda y1, y2, t: y1 - y2, "should be one number"),
    (check_follow, wrong_way, "The online network changed"),
    (check_follow, copied, "a copy of the online network"),
    (check_follow, returned, "a new value was returned"),
    (check_follow, lambda target, online, keep: None, "did not move"),
    (check_follow, lambda target, online, keep: target.nothing(), "stopped with"),
    (check_follow, lambda target, online, keep: follow(target, online, keep**2), "should go to"),
    (check_variance, lambda z: F.relu(1 - z.var(0)).mean(), "gradient vanishes"),
    (check_variance, lambda z: (1 - torch.sqrt(z.var(0) + 1e-4)).mean(), "earn nothing"),
    (check_variance, lambda z: F.relu(1 - torch.sqrt(z.var(1) + 1e-4)).mean(), "over the images: dim=0"),
    (check_variance, lambda z: F.relu(1 - torch.sqrt(z.var(0) + 1e-4)).sum(), "take their mean"),
    (check_variance, lambda z: F.relu(1 - torch.sqrt(z.var(0, correction=0) + 1e-4)).mean(), "instead of N - 1"),
    (check_variance, lambda z: F.relu(torch.sqrt(z.var(0) + 1e-4) - 1).mean(), "The sign is wrong"),
    (check_variance, lambda z: F.relu(1 - z.var(0).sqrt()).mean(), "the root of 0"),
    (check_variance, lambda z: z.mean(), "it should be"),
    (check_budget, "a", "how long each was allowed"),
    (check_budget, "b", "One seed"),
    (check_budget, "d", "its own formula"),
    (check_budget, "e", "none of the answers"),
)


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_pass(check, answer):
    assert check(answer).solved is True


@pytest.mark.parametrize(("check", "answer", "says"), WRONG)
def test_a_wrong_answer_is_told_why(check, answer, says):
    verdict = check(answer)
    assert verdict.solved is False and says in verdict.message


@pytest.mark.parametrize("check", (check_correlated, check_variance, check_budget))
def test_a_stub_is_not_solved(check):
    assert check(... if check is check_budget else lambda *given: ...).solved is None


def test_the_target_that_copies_is_a_bug_to_find():
    verdict = check_follow(swapped)
    assert verdict.solved is None and "99% of the way" in verdict.message


@pytest.mark.parametrize(
    ("guess", "says"), ((0.0, "Orthogonal heads"), (0.25, "divides it"), (0.85, "0 or 1"), (0.7, "Half"))
)
def test_predictions_that_are_off_are_told_why(guess, says):
    verdict = check_decided(guess, 0.5)
    assert verdict.solved is False and says in verdict.message


def test_two_coins_have_a_cosine_of_one_half():
    y = (torch.rand(100_000, 2, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    cosine = F.cosine_similarity(y[:, 0], y[:, 1], dim=0).item()
    assert cosine == pytest.approx(check_decided.typical, abs=0.01)
    assert check_decided(0.5, cosine).solved is True
    assert check_decided(..., cosine).solved is None
