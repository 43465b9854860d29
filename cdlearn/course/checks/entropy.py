"""Checks of notebooks 04 (entropy from probabilities, from logits, two-valued heads) and 04b (batch mean, effects)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cdlearn.course.checks.grade import Wrong, call, checker, close, diagnose, number
from cdlearn.losses import nt_xent_start

LN2 = math.log(2)


def bits(p: Tensor) -> Tensor:
    """Binary entropy of probabilities in (0, 1), in bits, element by element."""
    return -(p * torch.log2(p) + (1 - p) * torch.log2(1 - p))


def exact_bits(logits: Tensor) -> Tensor:
    """The same from logits, exact in float64 however large they are."""
    size = logits.double().abs()
    return (F.softplus(-size) + size * torch.sigmoid(-size)) / LN2


def some_logits(images: int, heads: int, seed: int) -> Tensor:
    """Logits (images, heads) whose heads differ in how often they say yes."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(images, heads, generator=generator) + torch.linspace(-2, 1, heads)


@checker
def check_entropy(given):
    """Checks ``given(y) -> scalar`` for probabilities y (N, K) against Eq. 9 and 10."""
    for images, heads in ((5, 3), (3, 7), (16, 2), (2, 1)):
        y = torch.sigmoid(some_logits(images, heads, images))
        h = bits(y)
        want = h.mean()
        got = number(call(given, y), "the entropy")
        yes = -(y * torch.log2(y)).mean()
        diagnose(
            got,
            want,
            {
                "You are too low by a factor of ln 2 = 0.693: these are nats. Divide by ln 2 (the log 2 in Eq. 9), so "
                "that an answer of 0.5 counts 1": want * LN2,
                "The sign is wrong. log y is negative, so the sum needs a minus in front to become an entropy between "
                "0 and 1": -want,
                "The sign is wrong, and log 2 is missing": -want * LN2,
                "You have only y log y. A head also says no: add the other half, (1 - y) log(1 - y)": yes,
                "You have only y log y, and log 2 is missing. A head also says no: add (1 - y) log(1 - y), and divide "
                "by ln 2": yes * LN2,
                "You have summed over images and heads. Eq. 9 divides by N and Eq. 10 takes the mean over heads, so "
                "that the term does not grow with the batch": h.sum(),
                "You have summed over images and heads, and log 2 is missing": h.sum() * LN2,
                "You have summed over the images and averaged over the heads only: the 1/N of Eq. 9 is missing": h.sum()
                / heads,
                "You have averaged over the images and summed over the heads: Eq. 10 is a mean over heads": h.sum()
                / images,
                "You divide by ln 2 twice: log2 already counts in bits": want / LN2,
                "This is the entropy of each head's mean answer. Eq. 9 takes the entropy of every single answer "
                "first, and then the mean": bits(y.mean(0)).mean(),
            },
            f"For y of shape {tuple(y.shape)} the entropy is {want:.4f}, yours is {got:.4f}. Start with one answer: "
            "0.5 must give 1, and 0.9 gives 0.469",
        )
    return "Answers of 0.5 count 1 bit, whatever the batch and the number of heads; sure answers count 0."


@checker
def check_entropy_from_logits(given):
    """Checks ``given(logits) -> scalar``: values, extreme logits, slopes, bf16."""
    for seed, shape in enumerate(((4, 3), (2, 6), (9, 1))):
        logits = some_logits(*shape, seed)
        want = exact_bits(logits).mean()
        diagnose(
            number(call(given, logits), "the entropy"),
            want,
            {
                "These are nats: divide by ln 2, as in Eq. 9": want * LN2,
                "The sign is wrong: entropy is never negative": -want,
                "You have summed: Eq. 9 and 10 take the mean over images and heads": want * logits.numel(),
                "softplus(-|l|) alone is not the entropy: add |l| sigmoid(-|l|)": F.softplus(-logits.abs()).mean()
                / LN2,
            },
            f"For small logits it should agree with p log p (here {want:.4f}); test it on one logit: 0 must give 1",
        )
    for size in (60.0, 1000.0):
        far = torch.tensor([[size, -size]])
        try:
            got = number(call(given, far))
        except Wrong as wrong:
            raise Wrong(
                f"For logits of ±{size:.0f}: {wrong}. There p is exactly 1 in float32, and 1 - p is 0"
            ) from None
        if not close(got, 0, 1e-6):
            raise Wrong(f"For logits of ±{size:.0f} the heads are sure and the entropy is 0; yours is {got:.4g}")
    for size in (3.0, 10.0, 20.0, 30.0):
        for value in (size, -size):
            check_slope(given, value)
    check_slope(given, 60.0, finite_only=True)
    half = torch.full((4, 4), 7.0, dtype=torch.bfloat16)
    got, want = number(call(given, half), "the entropy of bf16 logits"), float(exact_bits(half).mean())
    if abs(got - want) > 0.02 * want:
        raise Wrong(f"For bf16 logits that are all 7 it should be {want:.4f}, yours is {got:.4f}: bf16 has no number "
                    "between 0.996 and 1, so convert to float32 first")  # fmt: skip
    return "Value and slope are right from 0 to ±60, and bf16 logits do no harm: nothing here ever subtracts p from 1."


def check_slope(given, value: float, finite_only: bool = False) -> None:
    """Raises Wrong if the gradient with respect to a logit of ``value`` is lost."""
    logit = torch.full((1, 1), value, requires_grad=True)
    got = call(given, logit)
    if not isinstance(got, Tensor) or not got.requires_grad:
        raise Wrong("No gradient flows through your result: use torch operations on the logits only, without .item()")
    slope = torch.autograd.grad(got, logit, allow_unused=True)[0]
    slope = float(slope) if slope is not None else 0.0
    if not math.isfinite(slope):
        raise Wrong(f"The gradient at logit {value:.0f} is {slope}: one such number makes every weight NaN")
    size = abs(value)
    want = -value * math.exp(-size) / (1 + math.exp(-size)) ** 2 / LN2
    if finite_only or abs(slope - want) <= 1e-3 * abs(want):
        return
    if value < 0:
        raise Wrong(
            f"The slope at logit {value:.0f} should be {want:.2e}, yours is {slope:.2e}, while it is right on the "
            "positive side: two large numbers cancel. Entropy is symmetric: take the absolute value first"
        )
    raise Wrong(
        f"The slope at logit {value:.0f} should be {want:.2e}, yours is {slope:.2e}: p has been rounded before "
        "1 - p. Write 1 - p as sigmoid(-l), and -log p as softplus(-l), with l = |logit|"
    )


def two_valued(low: float, high: float, share: float, heads: int, alpha: float) -> float:
    """L_feat - alpha L_entropy of independent heads: ``high`` for a share of the images, ``low`` for the rest."""
    mean, square = (share * high**e + (1 - share) * low**e for e in (1, 2))
    feature = math.log(1 + (2 * heads - 2) * math.exp(mean**2 / square - 1))
    h = [-(p * math.log2(p) + (1 - p) * math.log2(1 - p)) for p in (low, high)]
    return feature - alpha * (share * h[1] + (1 - share) * h[0])


@checker
def check_two_valued(given):
    """Checks ``given(low, high, share, heads, alpha) -> scalar``, temperature 1, both views alike."""
    cases = ((0.2, 0.7, 0.3, 128, 1.0), (0.01, 0.9, 0.1, 16, 0.5), (0.4, 0.6, 0.5, 64, 2.0), (0.3, 0.8, 0.6, 3, 0.0))
    for low, high, share, heads, alpha in cases:
        mean, square = (share * high**e + (1 - share) * low**e for e in (1, 2))
        cosine, start = mean**2 / square, nt_xent_start(heads)
        h = bits(torch.tensor([low, high], dtype=torch.float64))
        entropy = float(share * h[1] + (1 - share) * h[0])
        of_mean = float(bits(torch.tensor(mean, dtype=torch.float64)))

        def feature(c, negatives=2 * heads - 2):
            return math.log(1 + negatives * math.exp(c - 1))

        want = feature(cosine) - alpha * entropy
        case = f"low {low}, high {high}, share {share}, heads {heads}, alpha {alpha}"
        diagnose(
            number(call(given, low, high, share, heads, alpha), "the objective"),
            want,
            {
                "You add the entropy. It is maximised, so subtract alpha times the entropy": want + 2 * alpha * entropy,
                "Your entropy is in nats. Eq. 9 measures it in bits, so divide by ln 2": want
                + alpha * entropy * (1 - LN2),
                "You took the entropy of the mean answer; Eq. 9 is the mean of the two answers' entropies, weighted "
                "with share and 1 - share": feature(cosine) - alpha * of_mean,
                "You weight the two answers' entropies alike, but only `share` of the images get high": feature(cosine)
                - alpha * float(h.mean()),
                "You count K - 1 negatives. Both views of each other head are negatives: 2K - 2": feature(
                    cosine, heads - 1
                )
                - alpha * entropy,
                "You count 2K - 1 negatives. The positive is not one of them: it is the 1 in 1 + (2K-2) …": feature(
                    cosine, 2 * heads - 1
                )
                - alpha * entropy,
                "You assume that other heads are at right angles (cosine 0). Answers are never negative, so two "
                "independent heads still share their mean: the cosine is mean² / mean of squares": feature(0)
                - alpha * entropy,
                "The cosine is not divided by the lengths: mean(y y') = mean² is the dot product; divide by the mean "
                "of squares": feature(mean**2) - alpha * entropy,
                "That is the floor for answers of 0.5 only, ln(2K-1) - alpha; these heads do vary": start - alpha,
                "The positive is missing from the denominator, which is 1 + (2K-2) exp(cosine - 1)": feature(cosine)
                + math.log(1 - math.exp(-feature(cosine)))
                - alpha * entropy,
            },
            f"For {case} the objective is {want:.4f}. Find the cosine of two independent heads first: {cosine:.4f}",
        )
    return "Any two-valued head can now be scored without a network; low = high = 0.5 gives the floor ln(2K-1) - alpha."


def mean_entropy(logits: Tensor) -> Tensor:
    """Entropy in bits of each head's mean answer over the batch, averaged over heads; (N, K) -> scalar."""
    p = torch.sigmoid(logits.double()).mean(0).clamp(1e-12, 1 - 1e-12)
    return bits(p).mean()


@checker
def check_batch_mean_entropy(given):
    """Checks ``given(logits) -> scalar``: the entropy of the mean, and a head that always says the same."""
    for seed, (images, heads) in enumerate(((6, 4), (3, 8), (12, 1))):
        logits = some_logits(images, heads, seed)
        y = torch.sigmoid(logits)
        want, mean = mean_entropy(logits), y.mean(0)
        part = mean / mean.sum()
        diagnose(
            number(call(given, logits), "the entropy"),
            want,
            {
                "This is the mean of the entropies (Eq. 9). Average a head's answers over the batch first, and take "
                "the entropy of that mean": exact_bits(logits).mean(),
                "You averaged the logits and then took the sigmoid. Average the answers: the sigmoid is not linear, so "
                "the order matters": bits(torch.sigmoid(logits.mean(0))).mean(),
                "You averaged over the heads of each image; average over the images for each head (dimension 0)": bits(
                    y.mean(1)
                ).mean(),
                "You averaged over images and heads at once, so heads that always say yes hide behind heads that "
                "always say no. Take one mean per head": bits(y.mean()),
                "These are nats: divide by ln 2": want * LN2,
                "The sign is wrong: entropy is never negative": -want,
                "You have summed over the heads: take the mean": want * heads,
                "You have only p log p; add (1 - p) log(1 - p)": -(mean * mean.log2()).mean(),
                "You made one distribution over the heads, as CC does with its softmax columns. Our heads are "
                "separate yes/no questions, each with its own entropy": -(part * part.log2()).sum(),
            },
            f"For {images} images and {heads} heads it should be {want:.4f}. A head that says yes to every second "
            "image, and is sure of it, must score 1",
        )
    check_always_yes(given)
    return "Sure answers may now score 1, as long as a head says yes to half the batch: balance without indecision."


def check_always_yes(given) -> None:
    """Raises Wrong if a head that says yes (or no) to all images gives NaN."""
    logits = torch.tensor([[60.0, 60.0, -200.0], [60.0, -60.0, -200.0]], requires_grad=True)
    got = call(given, logits)
    value = got.detach() if isinstance(got, Tensor) else got
    value = number(value, "for a head that is sure to say yes to every image (mean answer 1), the entropy")
    if not close(value, 1 / 3, 1e-3):
        raise Wrong(f"Two heads always say the same and one says yes to half: the mean is 1/3, not {value:.4f}")
    if isinstance(got, Tensor) and got.requires_grad and not torch.autograd.grad(got, logits)[0].isfinite().all():
        raise Wrong("The gradient is NaN when a head's mean answer is 0 or 1: keep the mean a little away from both, "
                    "with .clamp(1e-6, 1 - 1e-6)")  # fmt: skip


@checker
def check_effects(given):
    """Checks ``given(neither, first, second, both) -> (effect of the first switch, of the second)``."""
    for neither, first, second, both in ((1.0, 3.0, 2.0, 6.0), (0.5, 0.4, 0.9, 0.65), (2.0, 7.0, 3.0, 5.0)):
        want = torch.tensor([first - neither + both - second, second - neither + both - first]) / 2
        got = call(given, neither, first, second, both)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise Wrong("Return two numbers: the effect of the first switch and that of the second")
        values = torch.tensor([number(one, "an effect") for one in got])
        diagnose(
            values,
            want,
            {
                "You look at one position of the other switch only, where it is off. Average over both positions": [
                    first - neither,
                    second - neither,
                ],
                "You look at one position of the other switch only, where it is on. Average over both positions": [
                    both - second,
                    both - first,
                ],
                "You have added the two changes: take their mean": 2 * want,
                "The sign is wrong: the effect is the figure with the switch minus the figure without it": -want,
                "The two effects are swapped: the first switch is on in `first` and in `both`": want.flip(0),
            },
            f"For neither {neither}, first {first}, second {second}, both {both} the effects are {want[0]:.3f} and "
            f"{want[1]:.3f}, yours are {values[0]:.3f} and {values[1]:.3f}",
        )
    return "Each switch is judged in both positions of the other, so what they do together is shared between them."
