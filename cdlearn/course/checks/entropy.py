"""Checks of notebook 04: entropy from outputs, from logits, and a term with a bug that an optimiser cannot follow."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cdlearn.course.checks.grade import StillBroken, Wrong, call, checker, close, diagnose_all, gradients, number

LN2 = math.log(2)


def bits(p: Tensor) -> Tensor:
    """Binary entropy of probabilities in (0, 1), in bits, element by element."""
    return -(p * torch.log2(p) + (1 - p) * torch.log2(1 - p))


def exact_bits(logits: Tensor) -> Tensor:
    """The same from logits, exact in float64 however large they are."""
    size = logits.double().abs()
    return (F.softplus(-size) + size * torch.sigmoid(-size)) / LN2


def some_logits(images: int, heads: int, seed: int) -> Tensor:
    """Logits (images, heads) whose heads differ in how often they fire."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(images, heads, generator=generator) + torch.linspace(-2, 1, heads)


def compare(given, cases: dict[str, Tensor], right, slips, otherwise: str) -> None:
    """Call ``given`` on every case. ``right`` is what it should give, ``slips`` what may go wrong: words -> value."""
    got = {name: number(call(given, case), "The entropy") for name, case in cases.items()}
    named: dict[str, dict[str, float]] = {}
    for name, case in cases.items():
        for words, value in slips(case).items():
            named.setdefault(words, {})[name] = value
    diagnose_all(got, {name: right(case) for name, case in cases.items()}, named, otherwise)


def answer_slips(y: Tensor) -> dict[str, Tensor]:
    """What went wrong with the entropy of outputs (N, K), in words -> the value that it gives."""
    h, (images, heads) = bits(y), y.shape
    want, yes = h.mean(), -(y * torch.log2(y)).mean()
    return {
        "You are too low by a factor of ln 2 = 0.693, because you count in nats. Divide by ln 2, as Eq. 9 does, so "
        "that an output of 0.5 counts 1": want * LN2,
        "The sign is wrong. log y is negative, so the sum needs a minus in front to become an entropy between 0 and 1":
            -want,
        "The sign is wrong, and log 2 is missing": -want * LN2,
        "You have only y log y. The other outcome counts too: add the other half, (1 - y) log(1 - y)": yes,
        "You have only y log y, and log 2 is missing. The other outcome counts too, (1 - y) log(1 - y); divide by ln 2":
            yes * LN2,
        "You have summed over images and heads. Eq. 9 divides by N and Eq. 10 takes the mean over heads, so that the "
        "term does not grow with the batch": h.sum(),
        "You have summed over images and heads, and log 2 is missing": h.sum() * LN2,
        "You have summed over the images and averaged over the heads: the 1/N of Eq. 9 is missing": h.sum() / heads,
        "You have averaged over the images and summed over the heads: Eq. 10 is a mean over heads": h.sum() / images,
        "You divide by ln 2 twice: log2 already counts in bits": want / LN2,
        "This is the entropy of each head's mean output. Eq. 9 takes the entropy of every single output first, and "
        "then the mean": bits(y.mean(0)).mean(),
    }  # fmt: skip


@checker
def check_entropy(given):
    """Checks ``given(y) -> scalar`` for outputs y (N, K) against Eq. 9 and 10."""
    shapes = ((5, 3), (3, 7), (16, 2), (2, 1))
    cases = {f"{n} images and {k} heads": torch.sigmoid(some_logits(n, k, n)) for n, k in shapes}
    hint = "Start with one output: 0.5 must give 1, and 0.9 gives 0.469."
    compare(given, cases, lambda y: bits(y).mean(), answer_slips, hint)
    return "Outputs of 0.5 count 1 bit, whatever the batch and the number of heads; confident outputs count 0."


def logit_slips(logits: Tensor) -> dict[str, Tensor]:
    """What went wrong with the entropy from logits, in words -> the value that it gives."""
    want = exact_bits(logits).mean()
    return {
        "These are nats: divide by ln 2, as in Eq. 9": want * LN2,
        "The sign is wrong: entropy is never negative": -want,
        "You have summed: Eq. 9 and 10 take the mean over images and heads": want * logits.numel(),
        "softplus(-|l|) alone is only one half of the entropy. The other outcome counts too": F.softplus(
            -logits.abs()
        ).mean()
        / LN2,
        "This is the entropy of each head's mean output. Eq. 9 takes the entropy of every single output first": bits(
            logits.sigmoid().mean(0)
        ).mean(),
    }


def small_cases() -> dict[str, Tensor]:
    return {
        f"logits of shape {shape}": some_logits(*shape, seed) for seed, shape in enumerate(((4, 3), (2, 6), (9, 1)))
    }


@checker
def check_entropy_from_logits(given):
    """Checks ``given(logits) -> scalar``: values, extreme logits, slopes, bf16."""
    hint = "For small logits it should agree with p log p. Test it on one logit: 0 must give 1."
    compare(given, small_cases(), lambda logits: exact_bits(logits).mean(), logit_slips, hint)
    for size in (60.0, 1000.0):
        far = torch.tensor([[size, -size]])
        try:
            got = number(call(given, far))
        except Wrong as wrong:
            raise Wrong(f"For logits of ±{size:.0f}, where p is exactly 1 in float32 and 1 - p is 0: {wrong}") from None
        if not close(got, 0, 1e-6):
            raise Wrong(
                f"For logits of ±{size:.0f} the heads are confident and the entropy is 0; yours is {got:.4g}. A clamp "
                "or a small constant leaves such a rest, and takes the slope away: use the three facts instead"
            )
    for size in (3.0, 10.0, 20.0, 30.0):
        for value in (size, -size):
            check_slope(given, value)
    check_slope(given, 60.0, finite_only=True)
    half = torch.full((4, 4), 7.0, dtype=torch.bfloat16)
    got, want = number(call(given, half), "The entropy of bf16 logits"), float(exact_bits(half).mean())
    if abs(got - want) > 0.02 * want:
        raise Wrong(f"For bf16 logits that are all 7 it should be {want:.4f}, yours is {got:.4f}: bf16 has no number "
                    "between 0.996 and 1, so convert to float32 first")  # fmt: skip
    return "Value and slope are right from 0 to ±60, and bf16 logits do no harm: nothing here ever subtracts p from 1."


def check_slope(given, value: float, finite_only: bool = False) -> None:
    """Raises Wrong if the gradient with respect to a logit of ``value`` is lost."""
    logit = torch.full((1, 1), value, requires_grad=True)
    slope = float(gradients(call(given, logit), logit)[0])
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


@checker
def check_entropy_term(given):
    """Checks ``given(logits) -> scalar``: value and gradient of Eq. 10. The stub's gradient is 0."""
    compare(given, small_cases(), lambda logits: exact_bits(logits).mean(), logit_slips, "The value was right before.")
    logits = some_logits(4, 3, 5).requires_grad_()
    found = gradients(call(given, logits), logits)[0]
    wanted = torch.autograd.grad(exact_bits(logits).mean(), logits)[0]
    if close(found, torch.zeros_like(found), 1e-6):
        raise StillBroken(
            "The value is right for all logits that we tried. Yet 1,000 steps of an optimiser on it would leave every "
            "logit where it is."
        )
    if not close(found, wanted, 1e-3):
        raise Wrong(
            "The value is right, and it has a gradient, but the wrong one. At logit "
            f"{logits[0, 0]:.2f} it is {found[0, 0]:.4f}; it should be {wanted[0, 0]:.4f}"
        )
    return (
        "A loss is two things, a value and a gradient, and curves show only the value. Here the outputs are not a "
        "target that is given: they move with the logits, and all of the gradient comes through them."
    )
