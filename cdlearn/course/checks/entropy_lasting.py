"""Checks of the appendix 04b: the entropy of the batch mean, and the effect of each of two switches."""

import torch
from torch import Tensor

from cdlearn.course.checks.entropy import LN2, bits, compare, exact_bits, some_logits
from cdlearn.course.checks.grade import Wrong, call, checker, close, diagnose_all, gradients, number


def mean_entropy(logits: Tensor) -> Tensor:
    """Entropy in bits of each head's mean output over the batch, averaged over heads; (N, K) -> scalar."""
    p = torch.sigmoid(logits.double()).mean(0).clamp(1e-12, 1 - 1e-12)
    return bits(p).mean()


def mean_slips(logits: Tensor) -> dict[str, Tensor]:
    """What went wrong with the entropy of the batch mean, in words -> the value that it gives."""
    y, want = torch.sigmoid(logits), mean_entropy(logits)
    mean = y.mean(0)
    part = mean / mean.sum()
    return {
        "This is the mean of the entropies (Eq. 9). Average a head's outputs over the batch first, and take the "
        "entropy of that mean": exact_bits(logits).mean(),
        "You averaged the logits and then took the sigmoid. Average the outputs: the sigmoid is not linear, so the "
        "order matters": bits(torch.sigmoid(logits.mean(0))).mean(),
        "You averaged over the heads of each image. Average over the images for each head (dimension 0)":
            bits(y.mean(1)).mean(),
        "You averaged over images and heads at once, so heads that always say yes hide behind heads that always say "
        "no. Take one mean per head": bits(y.mean()),
        "These are nats: divide by ln 2": want * LN2,
        "The sign is wrong: entropy is never negative": -want,
        "You have summed over the heads: take the mean": want * logits.shape[1],
        "You have only p log p; add (1 - p) log(1 - p)": -(mean * mean.log2()).mean(),
        "You made one distribution over the heads, as CC does with its softmax columns. Our heads are separate "
        "yes-or-no questions, each with its own entropy": -(part * part.log2()).sum(),
    }  # fmt: skip


@checker
def check_batch_mean_entropy(given):
    """Checks ``given(logits) -> scalar``: the entropy of the mean, its gradient, a constant head."""
    shapes = ((6, 4), (3, 8), (12, 1))
    cases = {f"{n} images and {k} heads": some_logits(n, k, seed) for seed, (n, k) in enumerate(shapes)}
    hint = "A head that fires confidently for every second image must score 1."
    compare(given, cases, mean_entropy, mean_slips, hint)
    logits = some_logits(6, 4, 9).requires_grad_()
    found = gradients(call(given, logits), logits)[0]
    if not close(found, torch.autograd.grad(mean_entropy(logits), logits)[0], 1e-3):
        raise Wrong("The value is right, but its gradient is not. Is a part of it detached?")
    check_always_yes(given)
    return "Confident heads may now score 1, as long as they fire for half the batch: balance without uncertainty."


def check_always_yes(given) -> None:
    """Raises Wrong if a head that fires for all images (or for none) gives NaN."""
    logits = torch.tensor([[60.0, 60.0, -200.0], [60.0, -60.0, -200.0]], requires_grad=True)
    got = call(given, logits)
    value = number(got, "For a head that fires for every image (mean output 1), the entropy")
    if not close(value, 1 / 3, 1e-3):
        raise Wrong(f"Two heads are constant and one fires for half: the mean is 1/3, not {value:.4f}")
    if not gradients(got, logits)[0].isfinite().all():
        raise Wrong("The gradient is NaN when a head's mean output is 0 or 1: keep the mean a little away from both, "
                    "with .clamp(1e-6, 1 - 1e-6)")  # fmt: skip


@checker
def check_effects(given):
    """Checks ``given(neither, first, second, both) -> (effect of the first switch, of the second)``."""
    got, want, slips = {}, {}, {}
    for neither, first, second, both in ((1.0, 3.0, 2.0, 6.0), (0.5, 0.4, 0.9, 0.65), (2.0, 7.0, 3.0, 5.0)):
        pair = call(given, neither, first, second, both)
        if not isinstance(pair, (tuple, list, Tensor)) or len(pair) != 2:
            raise Wrong("Return two numbers: the effect of the first switch and that of the second")
        one, two = first - neither + both - second, second - neither + both - first
        for which, effect, off, on, place in (
            ("first", one / 2, first - neither, both - second, 0),
            ("second", two / 2, second - neither, both - first, 1),
        ):
            case = f"neither {neither}, first {first}, second {second}, both {both}, for the {which} switch,"
            got[case], want[case] = number(pair[place], f"The effect of the {which} switch"), effect
            side = "You look at one position of the other switch only, where it is {}. Average over both positions"
            for words, value in {
                side.format("off"): off,
                side.format("on"): on,
                "You have added the two changes: take their mean": 2 * effect,
                "The sign is wrong: the effect is the figure with the switch minus the figure without it": -effect,
                "The two effects are swapped: the first switch is on in `first` and in `both`": (one, two)[1 - place]
                / 2,
            }.items():
                slips.setdefault(words, {})[case] = value
    hint = "Turn each switch on twice, with the other off and with the other on. Take the mean of the two changes."
    diagnose_all(got, want, slips, hint)
    return "Each switch is judged in both positions of the other, so what they do together is shared between them."
