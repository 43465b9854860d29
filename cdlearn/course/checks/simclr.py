"""Checks of notebook 02: the right column of each row, the loss over all rows, and the value to expect."""

import math

import torch
from torch import Tensor

from cdlearn.course.checks.grade import Wrong, call, checker, close, diagnose, gradients, number, tensor
from cdlearn.losses import nt_xent


@checker
def check_partner(given):
    """Checks ``given(n) -> int64 (2n,)``: for each of the 2n stacked rows, the number of its other view's row."""
    for n in (3, 2, 5):
        rows = torch.arange(2 * n)
        got = call(given, n)
        if isinstance(got, Tensor) and got.shape == (n,):
            raise Wrong(f"For {n} images you give {n} targets. Both views are rows, so there are 2N = {2 * n} of them.")
        got = tensor(got, (2 * n,), "The list of targets")
        if got.dtype != torch.int64:
            raise Wrong(f"Targets are column numbers: whole numbers of type int64 (torch.long), not {got.dtype}.")
        if got.min() < 0:
            raise Wrong(
                f"There is a target {int(got.min())}. cross_entropy does not count from the end; use modulo 2N."
            )
        if close(got, rows.roll(n) + 1):
            raise Wrong("These are the right partners counted from 1. Columns are counted from 0.")
        if got.max() >= 2 * n:
            raise Wrong(
                f"For {n} images there is a target {int(got.max())}, but columns end at {2 * n - 1}. "
                "i + N is right for the first view only; the rows of the second view go back by N."
            )
        diagnose(
            got,
            rows.roll(n),
            {
                "Every row points at itself, but its own column is masked.": rows,
                "All targets are 0. That is right only if the positives were moved into column 0 first. "
                "Here the columns stay where they are.": torch.zeros(2 * n, dtype=torch.long),
                "Rows of the first view point at themselves: i modulo N names the image, not its other view.":
                    rows % n,
                "This pairs row 0 with row 1, and 2 with 3. It would be right if the two views of an image were "
                "neighbours, but here all first views come before all second views.": rows ^ 1,
                "This counts backwards: row 0 belongs to the last row. But the second view keeps the images' order.":
                    rows.flip(0),
                "All rows point into the second view. The rows of the second view must point back into the first.":
                    n + rows % n,
            },
            otherwise=f"For {n} images you give {got.tolist()}. Row 0 is image 0's first view and row {n} its second: "
            "each must name the other.",
        )  # fmt: skip
    return "The partner's partner is the row itself: going on by N twice leads once around the circle of 2N rows."


def slow_nt_xent(a: Tensor, b: Tensor, temperature: float, slip: str = "") -> float:
    """Eq. 1-4 in loops: the reference, or the wrong value that the mistake ``slip`` gives."""
    rows = torch.cat([a, b]).double()
    if slip != "raw":
        rows = rows / rows.norm(dim=0 if slip == "columns" else 1, keepdim=True)
    n, terms = len(a), []
    for i in range(2 * n):
        logits = [float(rows[i] @ rows[k]) / temperature for k in range(2 * n)]
        if slip in ("multiplied", "no temperature"):
            logits = [s * temperature ** (2 if slip == "multiplied" else 1) for s in logits]
        partner = {"itself": i, "neighbour": i ^ 1}.get(slip, (i + n) % (2 * n))
        left_out = {
            "self": set(),
            "itself": set(),
            "no positive": {i, partner},
            "across": set(range(n) if i < n else range(n, 2 * n)),
        }
        left_out["across, once"] = left_out["across"]
        kept = [k for k in range(2 * n) if k not in left_out.get(slip, {i})]
        below = sum(math.exp(logits[k]) for k in kept) + (1.0 if slip == "zero" else 0.0)
        terms.append(math.log(below) - logits[partner])
    if slip in ("one view", "across, once"):
        terms = terms[:n]
    if slip == "sum":
        return sum(terms)
    return (-1 if slip == "sign" else 1) * sum(terms) / len(terms)


SLIPS = {
    "self": "Your denominator includes k = i: each row's similarity with itself, which is 1 and the largest of all. "
    "So the loss is {more:.3f} too high. Mask the diagonal with -inf before the softmax",
    "zero": "Your diagonal counts as exp(0) = 1, so the loss is {more:.3f} too high. A masked logit must be -inf, "
    "whose exp is 0; setting it to 0, or multiplying by 0 before exp, does not remove it",
    "one view": "This is the mean over the first view's N rows. Eq. 4 takes both views, 2N rows. Stack them, or add "
    "the other direction and halve",
    "across": "Each row is compared with the other view only. Eq. 3's sum runs over all k other than i, so the N-1 "
    "other images of the same view are negatives as well",
    "sum": "This is the sum over the 2N rows. Eq. 4 is their mean",
    "across, once": "You use only the rows of the first view, and compare them with the other view only. Eq. 4 has 2N "
    "rows, and Eq. 3's sum runs over all k other than i, in both views",
    "raw": "These are plain dot products. Eq. 2 is the cosine, so divide each row by its length first (F.normalize). "
    "Otherwise long vectors count more",
    "multiplied": "The cosine is multiplied by the temperature. Eq. 3 divides, so that a small temperature sharpens",
    "no temperature": "The temperature is missing. Eq. 3 divides each cosine by it before exp",
    "columns": "You divide each column by its length (dim=0); a cosine needs rows of length 1: F.normalize(…, dim=1)",
    "itself": "Your target is the row itself, arange(2N), so the loss rewards a row for being itself. The target is "
    "the partner's column, and the diagonal is masked with -inf",
    "neighbour": "Your pairs are neighbours: 0 with 1, 2 with 3. Here all first views come before all second views, "
    "so row i belongs to row i + N",
    "no positive": "The positive is missing from your denominator. Eq. 3 leaves out k = i only, so that the loss is "
    "minus the log of a probability, and never below 0",
    "sign": "The sign is wrong. The loss is minus the log of the positive's probability, so it is positive",
}


@checker
def check_nt_xent(given):
    """Checks ``given(a, b, temperature) -> scalar`` against Eq. 1-4; a, b: (N, d)."""
    draws = torch.Generator().manual_seed(2)
    for n, d, temperature in ((3, 2, 0.5), (4, 6, 0.2), (7, 3, 1.5)):
        a = torch.randn(n, d, generator=draws) * torch.rand(n, 1, generator=draws).add(0.5)
        b = a + 0.5 * torch.randn(n, d, generator=draws)
        where = f" (tried with N = {n}, d = {d}, temperature {temperature})"
        got, want = call(given, a, b, temperature), slow_nt_xent(a, b, temperature)
        if isinstance(got, Tensor) and got.numel() == 1 and got.isinf():
            raise Wrong(
                "The loss is infinite: the target of some row is a column with a logit of -inf. Does your target name "
                "the row itself, arange(2N), whose column is masked? It must name the partner's column."
            )
        got = number(got, "The loss" + where)
        diagnose(
            got,
            want,
            {
                words.format(more=got - want) + where + ".": slow_nt_xent(a, b, temperature, slip)
                for slip, words in SLIPS.items()
            },
            otherwise=f"You give {got:.4f}; it should be {want:.4f}{where}. Look at one row: which columns enter the "
            "sum, and which one is the positive?",
        )
    check_small_temperature(given)
    check_gradient(given)
    return (
        "You use the rows of both views, rows are unit vectors, and only k = i is left out. Cross entropy with the "
        "partner as target is exactly Eq. 3, and it works at temperatures at which exp alone overflows."
    )


def check_small_temperature(given) -> None:
    """exp(1/0.01) does not fit a float32; cross_entropy and logsumexp subtract the largest logit first."""
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    got = float(torch.as_tensor(call(given, a, a.flip(1), 0.01)).detach().sum())  # a number, even of shape (1,)
    if not math.isfinite(got) or not close(got, nt_xent(a, a.flip(1), 0.01), 1e-3):
        raise Wrong(
            f"Right at ordinary temperatures, but {got:.3g} at 0.01, where exp(1/0.01) is too large for a float32. Let "
            "F.cross_entropy (or logsumexp) take the exponentials."
        )


def check_gradient(given) -> None:
    """A loss must carry its gradient, through both views."""
    draws = torch.Generator().manual_seed(3)
    a, b = (torch.randn(4, 3, generator=draws, requires_grad=True) for _ in range(2))
    found = gradients(call(given, a, b, 0.5), a, b)
    wanted = torch.autograd.grad(nt_xent(a, b, 0.5), (a, b))
    if any(not close(f, w) for f, w in zip(found, wanted, strict=True)):
        raise Wrong("The value is right, but its gradient is not. Is part of it detached, or taken as a constant?")


@checker
def check_loss_of_kinds(given):
    """Checks ``given(n, kinds, cosine, temperature) -> float``: NT-Xent when only the image's kind is known.

    n images, n/kinds of each kind; rows of one kind are equal (cosine 1), rows of two kinds have the given cosine.
    """
    for n, kinds, cosine, temperature in (
        (128, 4, 0.0, 0.5),
        (12, 3, -0.5, 0.2),
        (6, 2, 0.3, 1.0),
        (128, 1, 1.0, 0.5),
        (5, 5, 0.0, 0.5),
    ):
        alike, others = 2 * n // kinds - 1, 2 * n - 2 * n // kinds
        got = number(call(given, n, kinds, cosine, temperature))
        where = f" (tried with {n} images of {kinds} kinds, cosine {cosine}, temperature {temperature})"

        def loss(same, different, top=1.0, cosine=cosine, temperature=temperature):
            return (
                math.log(same * math.exp(1 / temperature) + different * math.exp(cosine / temperature))
                - top / temperature
            )

        slips = {
            "You count only the partner as equal. Of the 2n/kinds rows of a kind, 2n/kinds - 1 equal row i":
                loss(1, 2 * n - 2),
            "You count row i itself. 2n/kinds rows are of its kind, but one of them is i, which Eq. 3 leaves out":
                loss(alike + 1, others),
            "The partner is missing from the denominator. It is one of the rows equal to row i": loss(alike - 1, others)
                if alike > 1 else math.nan,
            "You count n rows. The matrix holds both views, so there are 2n": loss(n // kinds - 1, n - n // kinds)
                if n > kinds else math.nan,
            "The temperature is missing. Cosines are divided by it before exp":
                loss(alike, others, temperature=1.0),
            "The temperature multiplies the cosines. It must divide them":
                loss(alike, others, temperature=1 / temperature),
            "The numerator is missing. Subtract the positive's logit, 1/temperature, from the log of the sum":
                loss(alike, others, top=0.0),
        }  # fmt: skip
        right = loss(alike, others)
        diagnose(
            got,
            right,
            {words + where + ".": value for words, value in slips.items() if math.isfinite(value)},
            otherwise=f"You give {got:.4f}; it should be {right:.4f}{where}. Of the 2n - 1 other rows, how many have "
            "cosine 1, and how many have the given one?",
        )
    return (
        "One formula covers both ends: 1 kind gives ln(2n-1), n orthogonal kinds give the lower end. Each "
        "value in between belongs to a network that separates so many kinds, and nothing else."
    )
