"""Checks of notebook 09: the cluster loss, soft assignments, their target, balance, and what a given K adds."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cdlearn.course.checks.grade import StillBroken, Wrong, call, checker, close, diagnose, number, tensor
from cdlearn.course.checks.kinds import Choice, Prediction
from cdlearn.methods import cc, cluster_centres


def some_points(n: int, k: int, dim: int, seed: int) -> tuple[Tensor, Tensor]:
    """h (n, dim) and centres (k, dim), at distances around 1 to 4."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator), torch.randn(k, dim, generator=generator)


@checker
def check_assignment(given):
    """Checks ``given(h, centres) -> q`` (N, K) against Student's t with one degree of freedom."""
    for n, k, dim in ((3, 2, 2), (5, 4, 3), (4, 4, 6), (1, 3, 2)):
        h, m = some_points(n, k, dim, seed=n)
        squared = (h.unsqueeze(1) - m).square().sum(2)
        weight = 1 / (1 + squared)
        want = weight / weight.sum(1, keepdim=True)
        got = tensor(call(given, h, m), (n, k), "q")
        diagnose(
            got.double(),
            want.double(),
            {
                "These are the weights before normalisation: divide each row by its sum, so that every image hands out "
                "exactly 1": weight,
                "You divide by the sum of each column, so every cluster gets 1, however few images are near it. Each "
                "image should hand out 1: divide each row by its sum": weight / weight.sum(0),
                "You divide by the sum over the whole matrix; each row should add up to 1 by itself": weight
                / weight.sum(),
                "You use the distance; use its square": F.normalize(1 / (1 + squared.sqrt()), p=1, dim=1),
                "That is a softmax of the negative squared distance, a Gaussian. Student's t has heavier tails: "
                "1 / (1 + d^2), so far images still pull a little": (-squared).softmax(1),
                "Your weight grows with the distance; the nearest centre should get the most": F.normalize(
                    1 + squared, p=1, dim=1
                ),
                "You take the mean over the dimensions, not the sum: |h - m|^2 adds up the squares": F.normalize(
                    1 / (1 + squared / dim), p=1, dim=1
                ),
            },
            f"for h of shape {tuple(h.shape)} and centres of shape {tuple(m.shape)} the first row should be "
            f"{want[0].tolist()}, yours is {got[0].tolist()}",
        )
    return "A soft assignment is a fraction of votes: the nearest centre gets most, and every centre gets some."


@checker
def check_target(given):
    """Checks ``given(q) -> p`` (N, K) against DEC's target distribution."""
    for n, k in ((3, 2), (6, 3), (4, 5)):
        h, m = some_points(n, k, 3, seed=10 + n)
        q = cluster_centres.log_assignment(h, m).exp()
        want = cluster_centres.log_target(q.log()).exp()
        got = tensor(call(given, q), (n, k), "p")
        squares, frequency = q.square(), q.sum(0)

        def rows(x: Tensor) -> Tensor:
            return x / x.sum(1, keepdim=True)

        diagnose(
            got.double(),
            want.double(),
            {
                "You squared and made each row add up to 1, but you did not divide by the clusters' sizes. Divide by "
                "sum_i q_ij first, or large clusters swallow the small ones": rows(squares),
                "The last step is missing: each row should add up to 1 again": squares / frequency,
                "You divide by the size and do not square: that balances the sizes but makes no row surer": rows(
                    q / frequency
                ),
                "You divide by the sum of each row. Divide by the size of each cluster, the sum of its column (over "
                "the images)": rows(squares / q.sum(1, keepdim=True)),
                "You divide by the column's sum of squares; a cluster's size is the sum of q itself": rows(
                    squares / squares.sum(0)
                ),
                "That is q itself: nothing became surer": q,
                "You divide by the mean over the images and stop there; each row should add up to 1": squares
                / q.mean(0),
            },
            f"for q with first row {q[0].tolist()} the first row of p should be {want[0].tolist()}, yours is "
            f"{got[0].tolist()}",
        )
    got = call(given, q.detach().requires_grad_())
    if isinstance(got, Tensor) and got.requires_grad:
        raise Wrong("The values are right, but a gradient flows through p. The target has to stand still: q should "
                    "move towards p, not p towards q. Use q.detach()")  # fmt: skip
    return (
        "Confident images become more confident and small clusters gain: without labels, the network learns from "
        "its own best guess."
    )


@checker
def check_imbalance(given):
    """Checks ``given(log_p) -> log K - H(P)`` from log-softmax (N, K), also with an empty cluster."""
    for n, k in ((4, 3), (8, 2), (5, 6)):
        generator = torch.Generator().manual_seed(n)
        log_p = (2 * torch.randn(n, k, generator=generator) + torch.arange(k)).log_softmax(1)
        want = cc.imbalance(log_p)
        p = log_p.exp()
        each = -(p * log_p).sum(1).mean()
        entropy = math.log(k) - want
        diagnose(
            number(call(given, log_p), "the imbalance"),
            want,
            {
                "That uses the mean entropy of single images, which penalises confident outputs. Average over the "
                "images first, then take the entropy of that mean": math.log(k) - each,
                "That is H(P), which is large when all clusters are used. The loss should be small then: "
                "log K - H(P)": entropy,
                "That is -H(P), right up to a constant. Add log K, so that 0 means balanced": -entropy,
                "The sign of the entropy is wrong: log K + H(P) rewards an unused cluster": math.log(k) + entropy,
                "These are bits; use the natural logarithm": want / math.log(2),
                "You average log p over the images; average p itself (torch.logsumexp - log N gives the log of that "
                "mean)": math.log(k) + (log_p.mean(0).exp() * log_p.mean(0)).sum(),
                "You sum p over the images; take the mean": math.log(k) + (p.sum(0) * p.sum(0).log()).sum(),
            },
            f"for log_p of shape {n, k} it should be {want:.4f}",
        )
    even = torch.full((6, 4), 0.25).log()
    if not close(number(call(given, even)), 0, 1e-5):
        raise Wrong("When each of four clusters gets a quarter, it should be 0")
    logits = torch.zeros(5, 3)
    logits[:, 2] = -200.0  # exp(-200) is 0 in float32: the third cluster is empty
    log_p = logits.log_softmax(1).requires_grad_()
    got = call(given, log_p)
    try:
        value = number(got)
    except Wrong as wrong:
        raise Wrong(f"For an empty cluster: {wrong} 0 log 0 counts as 0: work with log_p, where "
                    "torch.logsumexp(log_p, 0) - log N is the logarithm of the mean") from None  # fmt: skip
    if not close(value, math.log(3 / 2), 1e-4):
        raise Wrong(
            f"With one of three clusters empty it should be log 3 - log 2 = {math.log(1.5):.4f}, not {value:.4f}"
        )
    if not isinstance(got, Tensor) or not got.requires_grad:
        raise Wrong("No gradient flows through your result: use torch operations only")
    if not torch.autograd.grad(got, log_p)[0].isfinite().all():
        raise Wrong(
            "With an empty cluster the value is right, but its gradient is NaN (0 times infinity): one such batch "
            "would end the training. Compute the logarithm from log_p, not from a mean that can be 0"
        )
    return (
        "It is 0 when all clusters are used equally, log K when one has everything, and an empty cluster does no harm."
    )


@checker
def check_cluster_loss(given):
    """Checks ``given(p1, p2) -> loss`` (softmaxes (N, K)) against CC's cluster loss; as handed out it compares rows."""
    for n, k in ((6, 3), (5, 4), (9, 2)):
        generator = torch.Generator().manual_seed(n)
        p1, p2 = (torch.randn(n, k, generator=generator).mul(2).softmax(1) for _ in range(2))
        got = number(call(given, p1, p2), "the loss")
        if close(got, _contrast(p1, p2)):
            raise StillBroken(
                f"It runs, but from {n} images and {k} clusters it makes a table of {2 * n} x {2 * n} cosines instead "
                f"of {2 * k} x {2 * k}."
            )
        diagnose(
            got,
            float(cc.cluster_contrast(p1.log(), p2.log())),
            {
                "Now the table has the right size, but a column's partner is its neighbour. The partner of column k "
                "of the first view is column k of the second, K places further": _contrast(p1.T, p2.T, turn=1),
                "The diagonal is back: a column must not be compared with itself": _contrast(p1.T, p2.T, own=True),
                "The columns are not of length 1: normalise after transposing": _contrast(p1.T, p2.T, unit=False),
                "You normalise the rows and compare the columns; normalise what you compare": _contrast(
                    F.normalize(p1, dim=1).T, F.normalize(p2, dim=1).T, unit=False
                ),
                "You transpose the stack of both views, so a column runs through both. Transpose each view, then "
                "stack": _stacked(p1, p2),
            },
            f"for {n} images and {k} clusters the loss should be {float(cc.cluster_contrast(p1.log(), p2.log())):.4f}, "
            f"yours is {got:.4f}",
        )
    return "One transposition decides whether the loss compares images or clusters, and both versions train."


def _contrast(a: Tensor, b: Tensor, turn: int = 0, own: bool = False, unit: bool = True) -> float:
    """NT-Xent over the rows of a and b at temperature 1, with the mistakes that people make."""
    rows = torch.cat([a, b])
    rows = F.normalize(rows, dim=1) if unit else rows
    similarity = rows @ rows.T
    if not own:
        similarity = similarity.masked_fill(torch.eye(len(rows), dtype=torch.bool), -math.inf)
    return F.cross_entropy(similarity, torch.arange(len(rows)).roll(turn or len(a))).item()


def _stacked(p1: Tensor, p2: Tensor) -> float:
    """The loss if the views are stacked and normalised first, then transposed: K rows, and partners among them."""
    return _contrast(*F.normalize(torch.cat([p1, p2]), dim=1).T.tensor_split(2), unit=False)


check_half = Prediction(
    within=0.02,
    praise="Grouping four equal patterns into two pairs gives one bit of two. NMI is 2 I / (H + H') = 2 · 1 / (2 + 1).",
    low="Each of CC's two clusters holds two whole patterns, so the cluster does carry information about the "
    "pattern. How many bits does it carry, and how many bits do pattern and cluster have themselves?",
    high="Two clusters cannot separate four patterns. How many bits does the cluster give, of how many?",
    typical=0.667,
    slips={
        "That is the fraction of the pattern's information, 1 bit of 2. NMI divides by the mean of both entropies, and "
        "the clusters have only 1 bit": 0.5,
        "1 would need a perfect match. Two clusters cannot separate four patterns, and even the accuracy is only a "
        "half": 1.0,
    },
    digits=3,
)

check_rising = Choice(
    right="b",
    praise="NMI forgives splitting: smaller and purer clusters carry more information about the digit, and the cost "
    "(a larger entropy of the clusters) is small. ACC and ARI fall again after 10.",
    wrong={
        "a": "The digits have ten classes, and yet NMI is higher at K = 20. If the highest NMI showed the right "
        "number, it would have to be highest at 10.",
        "c": "The bars of raw pixels rise as well, and raw pixels train nothing. So it is not about training.",
        "d": "Read the bars again: from K = 5 to K = 20 CC's own clusters gain little, and raw pixels, which train "
        "nothing, gain far more.",
    },
)

check_tree = Choice(
    right="c",
    praise="Every method trained for the same processor time, so a costly step means fewer epochs. The table shows how "
    "many each one had.",
    wrong={
        "a": "The published networks, images and lengths of training differ from ours. A low bar here is a statement "
        "about one small network and a minute of one processor at most, and not about the method as such.",
        "b": "A known K names the number of clusters and nothing about their content. Look at the methods that were "
        "given K, and at how they are spread over the chart.",
        "d": "The error bars show three training seeds. Where they overlap, an order of two bars is not yet a finding.",
    },
)
