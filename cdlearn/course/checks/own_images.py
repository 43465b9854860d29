"""Checks of notebook 11: how much two views agree on a head, and a search by heads."""

import torch
from scipy.stats import rankdata

from cdlearn.course.checks.grade import Wrong, call, checker, diagnose, tensor
from cdlearn.survey.heads import rank_correlation


@checker
def check_agreement(given):
    """Checks ``given(one, other) -> (K,)``: Spearman's correlation of each head's answers to two views."""
    for n, k in ((5, 3), (40, 4), (9, 1)):
        draws = torch.Generator().manual_seed(n)
        one = torch.rand(n, k, generator=draws) ** 4
        other = (one + 0.3 * torch.rand(n, k, generator=draws)) ** 3
        want = torch.from_numpy(rank_correlation(one.numpy(), other.numpy()))
        got = tensor(call(given, one, other), (k,), "the agreement")
        ranks = [torch.from_numpy(rankdata(side.numpy(), axis=0)) for side in (one, other)]
        by_row = [torch.from_numpy(rankdata(side.numpy(), axis=1)) for side in (one, other)]
        slips = {
            "That is the correlation of the answers themselves. Take it of their ranks: a head may say the same in a "
            "steeper or flatter way": correlation(one, other),
            "You rank the heads within each image. Rank the images within each head: down the columns": correlation(
                *by_row
            ),
            "That is the covariance of the ranks; divide by both standard deviations": (
                (ranks[0] - ranks[0].mean(0)) * (ranks[1] - ranks[1].mean(0))
            ).mean(0),
        }
        diagnose(got.double(), want.double(), slips, f"for {n} images it should be {want.tolist()}, not {got.tolist()}")
    return "A head that ranks two views alike answers to the image; one that does not answers to the crop."


def correlation(one, other):
    """Pearson's, column by column; 0 where a column is constant."""
    one, other = (side.double() - side.double().mean(0) for side in (one, other))
    size = one.norm(dim=0) * other.norm(dim=0)
    return (one * other).sum(0) / torch.where(size > 0, size, 1)


@checker
def check_search(given):
    """Checks ``given(answers, yes, no) -> (N,)``: image numbers, the best match first."""
    for seed, yes, no in ((0, [0], []), (1, [0], [1]), (2, [0, 2], [1]), (3, [3], [0, 1])):
        answers = torch.rand(30, 4, generator=torch.Generator().manual_seed(seed))
        wanted = torch.cat([answers[:, yes], 1 - answers[:, no]], dim=1)
        got = tensor(call(given, answers, yes, no), (30,), "the order")
        if got.is_floating_point():
            raise Wrong("These are scores; return the numbers of the images, the best match first (argsort)")
        if sorted(got.tolist()) != list(range(30)):
            raise Wrong("Some images are missing or named twice; every number from 0 to N-1 should appear once")

        def order(score):
            return score.argsort(descending=True)

        slips = {
            "The worst match comes first; turn the order round": wanted.amin(1).argsort(),
            "By the mean, an image that is very much the one may fail the other. Each wish must hold, so the weakest "
            "decides: take the minimum": order(wanted.mean(1)),
            "The heads in `no` count as wanted; 1 - y is how much a head says no": order(answers[:, yes + no].amin(1)),
            "By the product, a very sure answer makes up for a poor one. Each wish must hold, so the weakest decides: "
            "take the minimum": order(wanted.prod(1)),
        }
        if no:
            slips["`no` is not looked at"] = order(answers[:, yes].amin(1))
        want = order(wanted.amin(1))
        diagnose(got, want, slips, f"the first five should be {want[:5].tolist()}, yours are {got[:5].tolist()}")
    return "Heads are words: with and, or and not they make a search that no label was needed for."
