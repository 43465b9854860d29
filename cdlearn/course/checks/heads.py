"""Checks of notebook 03: the loss across columns, the rank AUC of a head, and how many heads there really are."""

import torch
from torch import Tensor

from cdlearn.course.checks.grade import Wrong, call, checker, close, diagnose, number
from cdlearn.losses import nt_xent


@checker
def check_feature_loss(given):
    """Checks ``given(logits1, logits2, temperature) -> scalar`` against Eq. 5-8; logits: (N, K), before the sigmoid."""
    draws = torch.Generator().manual_seed(4)
    for n, k, temperature in ((6, 6, 1.0), (5, 3, 1.0), (4, 7, 0.5)):  # N = K first: its shape does not reveal rows
        logits1 = 2 * torch.randn(n, k, generator=draws)
        logits2 = logits1 + 0.7 * torch.randn(n, k, generator=draws)
        y1, y2 = logits1.sigmoid(), logits2.sigmoid()
        where = f" (tried with N = {n} images, K = {k} heads, temperature {temperature})"
        try:
            got = number(call(given, logits1, logits2, temperature), "the loss" + where)
        except Wrong as wrong:
            if n != k:
                raise Wrong(
                    f"{wrong}{where}. It works with as many images as heads: which dimension is N, which is K?"
                ) from None
            raise
        want = nt_xent(y1.T, y2.T, temperature)
        diagnose(
            got,
            want,
            {words + where: value for words, value in feature_slips(logits1, logits2, temperature).items()},
            otherwise=f"got {got:.4f}, should be {float(want):.4f}{where}. It is NT-Xent of two K x N matrices: each "
            "row holds the N answers of a head",
        )
    check_learns(given)
    return (
        "One transposition turns 'which image is this?' into 'which head is this?'. The matrix is 2K x 2K now, however "
        "large the batch is."
    )


def feature_slips(logits1: Tensor, logits2: Tensor, temperature: float) -> dict[str, Tensor]:
    """What went wrong with the feature loss, in words -> the value that it gives."""
    y1, y2 = logits1.sigmoid(), logits2.sigmoid()
    hard = [(y > 0.5).float() for y in (y1, y2)]
    return {
        "these are rows: images are contrasted with images again. Eq. 5 transposes first, so that row i holds head i's "
        "answers over the batch": nt_xent(y1, y2, temperature),
        "you contrast the logits; Eq. 5 takes the answers y = sigmoid(logits), which lie in (0, 1)":
            nt_xent(logits1.T, logits2.T, temperature),
        "these are rows, and logits besides: take the sigmoid, then transpose":
            nt_xent(logits1, logits2, temperature),
        "a softmax over the heads makes them share one answer (as CC's clusters do); CD's heads are independent: "
        "use a sigmoid": nt_xent(logits1.softmax(1).T, logits2.softmax(1).T, temperature),
        "a softmax over the batch makes the images share an answer; a sigmoid takes each answer by itself":
            nt_xent(logits1.softmax(0).T, logits2.softmax(0).T, temperature),
        "only the first view is used: a head's positive is its answers to the *other* view":
            nt_xent(y1.T, y1.T, temperature),
        "only the second view is used: a head's positive is its answers to the *other* view":
            nt_xent(y2.T, y2.T, temperature),
        "you rounded the answers to 0 and 1, which has no gradient; use them as they are":
            nt_xent(hard[0].T, hard[1].T, temperature),
        "you centred the columns, so this is a correlation; Eq. 6 is the cosine of the answers as they are":
            nt_xent((y1 - y1.mean(0)).T, (y2 - y2.mean(0)).T, temperature),
        "the temperature is missing (1 is only its default)": nt_xent(y1.T, y2.T, 1.0),
        "the temperature multiplies; it must divide": nt_xent(y1.T, y2.T, 1 / temperature),
        "this is the sum over the 2K rows; Eq. 8 is their mean": 2 * y1.shape[1] * nt_xent(y1.T, y2.T, temperature),
    }  # fmt: skip


def check_learns(given) -> None:
    """The gradient must reach both views."""
    draws = torch.Generator().manual_seed(5)
    a, b = (torch.randn(5, 3, generator=draws, requires_grad=True) for _ in range(2))
    got = call(given, a, b, 1.0)
    if not (isinstance(got, Tensor) and got.requires_grad):
        raise Wrong("the value is right, but it carries no gradient (.item() or .detach()?): no head could learn")
    found = torch.autograd.grad(got, (a, b), allow_unused=True)
    wanted = torch.autograd.grad(nt_xent(a.sigmoid().T, b.sigmoid().T, 1.0), (a, b))
    if any(f is None or not close(f, w, 1e-3) for f, w in zip(found, wanted, strict=True)):
        raise Wrong("the value is right, but its gradient is not: is one of the views detached?")


@checker
def check_rank_auc(given):
    """Checks ``given(answers, has_value) -> float``; answers: (N,), has_value: bool (N,)."""
    cases = (
        ([0.5, 0.5, 0.5, 0.5, 0.9, 0.1, 0.2], [0, 1, 0, 0, 1, 0, 0]),  # above 0.5, so only a turned sign gives 0.15
        ([0.9, 0.6, 0.6, 0.3, 0.1], [1, 1, 0, 0, 0]),  # the notebook's example: 5.5 of 6
        ([0.2, 0.7, 0.4, 0.55, 0.8, 0.1], [1, 0, 1, 0, 1, 0]),
        ([0.5, 0.5, 0.5, 0.1, 0.9, 0.5, 0.2], [1, 0, 0, 1, 0, 1, 1]),
        ([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0]),  # a head that says no to the value: 0, and not 1
        ([-2.0, 3.0, 1.0, -2.0], [0, 1, 0, 1]),  # logits are ranked as well as answers
    )
    for numbers, truth in cases:
        answers, has = torch.tensor(numbers), torch.tensor(truth, dtype=torch.bool)
        where = f" (tried with answers {numbers}, value {truth})"
        got = number(call(given, answers, has), "the AUC" + where)
        with_value, without = answers[has][:, None], answers[~has][None, :]
        higher, tied = (with_value > without).float(), (with_value == without).float()
        right = (higher + tied / 2).mean()
        order = torch.argsort(torch.argsort(answers, stable=True)).float() + 1  # ties broken by place
        p, n = int(has.sum()), int((~has).sum())
        slips = {
            "ties count as lost. A tie is half a win, or a head that answers 0.5 to everything would score 0 "
            "instead of 0.5": higher.mean(),
            "ties count as won. A tie is half a win, or a head that answers 0.5 to everything would score 1 "
            "instead of 0.5": (higher + tied).mean(),
            "this is folded to 0.5-1. Folding comes later, on other images than the scored ones; the AUC itself shows "
            "which way the head points": max(right, 1 - right),
            "you count wins but do not divide by the number of pairs, with x without": (higher + tied / 2).sum(),
            "you divide by all N x N pairs; only pairs of one image with the value and one without count":
                (higher + tied / 2).sum() / len(answers) ** 2,
            "this is the accuracy of 'answer > 0.5'. An AUC needs no threshold: it compares pairs":
                ((answers > 0.5) == has).float().mean(),
            "equal answers get different ranks, by their place in the list: give them their mean rank "
            "(scipy.stats.rankdata), or compare pairs": (order[has].sum() - p * (p + 1) / 2) / (p * n),
            "subtract the smallest possible sum of ranks, P(P+1)/2": order[has].sum() / (p * n),
        }  # fmt: skip
        if numbers is cases[0][0]:
            slips["the sign is wrong: the image *with* the value should get the higher answer"] = 1 - right
        diagnose(
            got,
            right,
            {words + where: value for words, value in slips.items()},
            otherwise=f"got {got:.4f}, should be {float(right):.4f}{where}. Compare each image that has the value with "
            "each that lacks it",
        )
    return "Threshold and scale do not matter: logits, answers and squared answers all have the same rank AUC."


@checker
def check_effective_heads(given):
    """Checks ``given(y) -> float``: K^2 over the sum of squared correlations between heads; y: (N, K)."""
    draws = torch.Generator().manual_seed(6)
    base = torch.rand(40, 5, generator=draws)
    scales = torch.tensor([1.0, 0.1, 0.4, 0.2, 0.7])
    cases = {
        "five unrelated heads of different spread": base * scales + 0.1,
        "two heads, each three times": base[:, [0, 1, 0, 1, 0, 1]],
        "a head and its opposite": torch.stack([base[:, 0], 1 - base[:, 0]], 1),
        "more heads than images": torch.rand(4, 6, generator=draws),
    }
    for name, y in cases.items():
        got, k = number(call(given, y), "the number of heads"), y.shape[1]
        right = k**2 / torch.corrcoef(y.T).square().sum()
        unit = torch.nn.functional.normalize(y, dim=0)
        covariance, other = torch.cov(y.T), torch.corrcoef(y)
        signed, absolute = torch.corrcoef(y.T).sum(), torch.corrcoef(y.T).abs().sum()
        slips = {
            "you use covariances, so a head with a small spread hardly counts. Divide each head by its standard "
            "deviation (torch.corrcoef does)": covariance.diagonal().sum() ** 2 / covariance.square().sum(),
            "you use covariances in place of correlations, with K^2 in the numerator": k**2 / covariance.square().sum(),
            "answers are not centred, so heads look alike because all are positive; subtract the mean first":
                k**2 / (unit.T @ unit).square().sum(),
            "this compares images with images: correlate the K columns (torch.corrcoef wants them as rows)":
                len(y) ** 2 / other.square().sum(),
            "K^2 stands over the images' matrix: correlate the columns, not the rows": k**2 / other.square().sum(),
            "correlations are not squared, so a head and its opposite cancel": k**2 / signed,
            "you sum magnitudes; sum squares": k**2 / absolute,
            "the numerator is K, not K squared": right / k,
            "the fraction is upside down": 1 / right,
        }  # fmt: skip
        where = f" (tried with {name})"
        diagnose(
            got,
            right,
            {words + where: value for words, value in slips.items()},
            otherwise=f"got {got:.4f}, should be {float(right):.4f}{where}. Square each entry of the K x K matrix of "
            "correlations, the diagonal too",
        )
    return (
        "K unrelated heads count K, K copies of one count 1, and a head and its opposite count 1 as well: they say "
        "the same."
    )
