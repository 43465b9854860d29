"""Every checker of notebooks 04 and 04b accepts the right answer, and names what is wrong with plausible wrong ones."""

import math

import pytest
import torch
import torch.nn.functional as F

from cdlearn import losses
from cdlearn.course.checks import entropy, entropy_balance, entropy_lasting

LN2 = math.log(2)


def bits(p):
    return -(p * torch.log2(p) + (1 - p) * torch.log2(1 - p))


def two(
    low, high, share, heads, alpha,
    sign=-1, nats=False, negatives=None, cosine=None, weights=None, of_mean=False, minus=1, positive=1,
):  # fmt: skip
    """The right answer to exercise 3, with the slips as switches."""
    mean, square = share * high + (1 - share) * low, share * high**2 + (1 - share) * low**2
    h = [-(p * math.log2(p) + (1 - p) * math.log2(1 - p)) * (LN2 if nats else 1) for p in (low, high)]
    w = weights or (1 - share, share)
    total = w[0] * h[0] + w[1] * h[1]
    if of_mean:
        total = -(mean * math.log2(mean) + (1 - mean) * math.log2(1 - mean))
    c = mean**2 / square if cosine is None else cosine(mean, square)
    return math.log(positive + (negatives or (lambda k: 2 * k - 2))(heads) * math.exp(c - minus)) + sign * alpha * total


def mean_clamped(logits):
    return torch.sigmoid(logits).mean(0).clamp(1e-6, 1 - 1e-6)


def untouched(*arguments):
    return ...


def broken(*arguments):
    raise ValueError("no such thing")


CHECKERS = {
    "probabilities": (entropy.check_entropy, lambda y: bits(y).mean()),
    "logits": (entropy.check_entropy_from_logits, losses.normalized_entropy),
    "term": (entropy.check_entropy_term, losses.normalized_entropy),
    "two valued": (entropy_balance.check_two_valued, two),
    "batch mean": (entropy_lasting.check_batch_mean_entropy, lambda logits: bits(mean_clamped(logits)).mean()),
    "effects": (entropy_lasting.check_effects, lambda n, a, b, both: ((a - n + both - b) / 2, (b - n + both - a) / 2)),
}


@pytest.mark.parametrize("name", CHECKERS)
def test_right_untouched_and_broken(name):
    check, right = CHECKERS[name]
    assert check(right).solved is True
    assert check(untouched).solved is None
    verdict = check(broken)
    assert verdict.solved is False and "ValueError: no such thing" in verdict.message


def naive(logits, eps=1e-12):
    p = torch.sigmoid(logits)
    return -(p * torch.log(p + eps) + (1 - p) * torch.log(1 - p + eps)).mean() / LN2


def unsigned(logits):
    logits = logits.float()
    return (F.softplus(-logits) + logits * torch.sigmoid(-logits)).mean() / LN2


def stable(logits):
    size = logits.float().abs()
    return F.softplus(-size) + size * torch.sigmoid(-size)


def stable_in_half(logits):
    p = torch.sigmoid(logits)
    value = stable(logits).mean() / LN2
    return value if logits.dtype == torch.float32 else naive(p.logit())


def overwritten(logits):
    """Right in value, and backward cannot do it: sigmoid needs its result, which `*=` has overwritten."""
    size = logits.float().abs()
    sure = torch.sigmoid(-size)
    sure *= size
    return (F.softplus(-size) + sure).mean() / LN2


def clamped_in_place(logits):
    y = torch.sigmoid(logits)
    y.clamp_(1e-6, 1 - 1e-6)
    return y.mean(0)


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("probabilities", lambda y: bits(y).mean() * LN2, "factor of ln 2"),
        ("probabilities", lambda y: -bits(y).mean(), "needs a minus"),
        ("probabilities", lambda y: -bits(y).mean() * LN2, "log 2 is missing"),
        ("probabilities", lambda y: -(y * y.log2()).mean(), "other outcome counts too"),
        ("probabilities", lambda y: -(y * y.log()).mean(), "and log 2 is missing. The other"),
        ("probabilities", lambda y: bits(y).sum(), "summed over images and heads"),
        ("probabilities", lambda y: bits(y).sum(0).mean(), "1/N of Eq. 9"),
        ("probabilities", lambda y: bits(y).mean(0).sum(), "Eq. 10 is a mean"),
        ("probabilities", lambda y: bits(y).mean() / LN2, "ln 2 twice"),
        ("probabilities", lambda y: bits(y.mean(0)).mean(), "mean output"),
        ("probabilities", lambda y: bits(y).mean(0), "should be one number"),
        ("probabilities", lambda y: y.mean(), "Start with one output"),
        ("logits", lambda t: stable(t).mean(), "divide by ln 2"),
        ("logits", lambda t: -stable(t).mean() / LN2, "sign"),
        ("logits", lambda t: stable(t).sum() / LN2, "take the mean"),
        ("logits", lambda t: F.softplus(-t.abs()).mean() / LN2, "only one half"),
        ("logits", lambda t: naive(t, eps=0.0), "±60"),
        ("logits", naive, "p has been rounded"),
        ("logits", unsigned, "absolute value first"),
        ("logits", stable_in_half, "convert to float32"),
        ("logits", lambda t: (stable(t).mean() / LN2).item(), "carries no gradient"),
        ("logits", lambda t: bits(t).mean(), "is nan"),
        ("logits", lambda t: bits(torch.sigmoid(t).mean(0)).mean(), "each head's mean output"),
        ("logits", lambda t: overwritten(t), "overwrite numbers"),
        ("logits", lambda t: torch.tensor(stable(t).mean().item() / LN2, requires_grad=True), "detached or rebuilt"),
        ("term", lambda t: F.binary_cross_entropy_with_logits(t, torch.sigmoid(t)), "divide by ln 2"),
        ("term", lambda t: losses.normalized_entropy(t).detach(), "carries no gradient"),
        ("term", lambda t: 2 * losses.normalized_entropy(t) - losses.normalized_entropy(t).detach(), "the wrong one"),
        ("term", lambda t: t.sum(), "was right before"),
        ("two valued", lambda *a: two(*a, sign=1), "so subtract alpha"),
        ("two valued", lambda *a: two(*a, nats=True), "in nats"),
        ("two valued", lambda *a: two(*a, of_mean=True), "entropy of the mean output"),
        ("two valued", lambda *a: two(*a, weights=(0.5, 0.5)), "weight the two"),
        ("two valued", lambda *a: two(*a, negatives=lambda k: k - 1), "K - 1 negatives"),
        ("two valued", lambda *a: two(*a, negatives=lambda k: 2 * k - 1), "2K - 1 negatives"),
        ("two valued", lambda *a: two(*a, cosine=lambda mean, square: 0), "are orthogonal"),
        ("two valued", lambda *a: two(*a, cosine=lambda mean, square: mean**2), "not divided by the lengths"),
        ("two valued", lambda low, high, share, heads, alpha: losses.all_half_loss(heads, alpha), "do vary"),
        ("two valued", lambda *a: two(*a, minus=0), "A -1 is missing"),
        ("two valued", lambda *a: two(*a, minus=0, positive=math.e), "divide the sum of all exp"),
        ("two valued", lambda *a: two(*a, positive=0), "missing from the denominator"),
        ("two valued", lambda *a: 0.0, "Find the cosine"),
        ("batch mean", losses.normalized_entropy, "mean of the entropies"),
        ("batch mean", lambda t: bits(torch.sigmoid(t.mean(0))).mean(), "the sigmoid is not linear"),
        ("batch mean", lambda t: bits(torch.sigmoid(t).mean(1)).mean(), "dimension 0"),
        ("batch mean", lambda t: bits(torch.sigmoid(t).mean()), "hide behind"),
        ("batch mean", lambda t: bits(mean_clamped(t)).mean() * LN2, "nats"),
        ("batch mean", lambda t: -bits(mean_clamped(t)).mean(), "sign"),
        ("batch mean", lambda t: bits(mean_clamped(t)).sum(), "summed over the heads"),
        ("batch mean", lambda t: -(mean_clamped(t) * mean_clamped(t).log2()).mean(), "only p log p"),
        ("batch mean", lambda t: bits(torch.sigmoid(t).mean(0)).mean(), "mean output 1"),
        (
            "batch mean",
            lambda t: (torch.special.entr(p := torch.sigmoid(t).mean(0)) + torch.special.entr(1 - p)).mean() / LN2,
            "gradient is NaN",
        ),
        ("batch mean", lambda t: bits(mean_clamped(t.detach())).mean(), "carries no gradient"),
        ("batch mean", lambda t: bits(mean_clamped(t)).mean().item(), "carries no gradient"),
        ("batch mean", lambda t: bits(clamped_in_place(t)).mean(), "overwrite numbers"),
        ("batch mean", lambda t: bits((mean_clamped(t) + mean_clamped(t.detach())) / 2).mean(), "its gradient is not"),
        ("effects", lambda n, a, b, both: (a - n, b - n), "where it is off"),
        ("effects", lambda n, a, b, both: (both - b, both - a), "where it is on"),
        ("effects", lambda n, a, b, both: (a - n + both - b, b - n + both - a), "take their mean"),
        ("effects", lambda n, a, b, both: ((n - a + b - both) / 2, (n - b + a - both) / 2), "sign is wrong"),
        ("effects", lambda n, a, b, both: ((b - n + both - a) / 2, (a - n + both - b) / 2), "swapped"),
        ("effects", lambda n, a, b, both: (0.0, 1.0), "for the first switch, you give"),
        ("effects", lambda n, a, b, both: (a - n + both - b) / 2, "Return two numbers"),
    ],
)
def test_wrong_answers_are_told_why(name, wrong, says):
    verdict = CHECKERS[name][0](wrong)
    assert verdict.solved is False
    assert says in verdict.message


def without_gradient(logits):
    """The stub of the exercise with the bug: right in value."""
    with torch.no_grad():
        answers = torch.sigmoid(logits)
    return F.binary_cross_entropy_with_logits(logits, answers) / LN2


def test_the_term_with_the_bug_is_not_solved_and_without_it_is():
    verdict = entropy.check_entropy_term(without_gradient)
    assert verdict.solved is None and "leave every logit where it is" in verdict.message
    mended = entropy.check_entropy_term(
        lambda t: F.binary_cross_entropy_with_logits(t, torch.sigmoid(t)) / LN2  # the answers keep their gradient
    )
    assert mended.solved is True


@pytest.mark.parametrize(
    ("guess", "says"),
    [
        (2, "in nats"),
        (LN2, "factor of 2"),
        (0.72, "other way up"),
        (2 / LN2, "multiplying by ln 2"),
        (1.0, "the paper's"),
        (0.3, "Too low"),
        (5, "Too high"),
    ],
)
def test_tipping_point_wrong(guess, says):
    verdict = entropy_balance.check_tipping_point(guess, 1.39)
    assert verdict.solved is False and says in verdict.message


def test_tipping_point_and_figure_right():
    assert entropy_balance.check_tipping_point(2 * LN2, 1.39).solved is True
    assert entropy_balance.check_floor_figure("b").solved is True
    assert all(entropy_balance.check_floor_figure(letter).solved is False for letter in "acd")
