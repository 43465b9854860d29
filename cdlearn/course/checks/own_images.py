"""Checks of notebook 11: agreement of two views on a head, a search by heads, few labels, how many groups."""

import numpy as np
import torch
from scipy.stats import rankdata

from cdlearn.analysis.heads import rank_correlation
from cdlearn.course.checks.grade import StillBroken, Wrong, call, checker, diagnose, number, tensor
from cdlearn.course.checks.kinds import Choice, Prediction


@checker
def check_agreement(given):
    """Checks ``given(one, other) -> (K,)``: Spearman's correlation of each head's outputs for two views."""
    for n, k in ((5, 3), (40, 4), (9, 1)):
        draws = torch.Generator().manual_seed(n)
        one = torch.rand(n, k, generator=draws) ** 4
        other = (one + 0.3 * torch.rand(n, k, generator=draws)) ** 3
        want = torch.from_numpy(rank_correlation(one.numpy(), other.numpy()))
        got = tensor(call(given, one, other), (k,), "the agreement")
        ranks = [torch.from_numpy(rankdata(side.numpy(), axis=0)) for side in (one, other)]
        by_row = [torch.from_numpy(rankdata(side.numpy(), axis=1)) for side in (one, other)]
        slips = {
            "That is the correlation of the outputs themselves. Take it of their ranks: a head may rank the same in a "
            "steeper or flatter way": correlation(one, other),
            "You rank the heads within each image. Rank the images within each head: down the columns": correlation(
                *by_row
            ),
            "That is the covariance of the ranks; divide by both standard deviations": (
                (ranks[0] - ranks[0].mean(0)) * (ranks[1] - ranks[1].mean(0))
            ).mean(0),
        }
        slips["One argsort gives an order; the argsort of that order gives the ranks"] = correlation(
            one.argsort(0), other.argsort(0)
        )
        otherwise = f"For {n} images it should be {rounded(want)}, not {rounded(got)}."
        diagnose(got.double(), want.double(), slips, otherwise)
    return "A head that ranks two views the same depends on the image; one that does not depends on the crop."


def rounded(values) -> list[float]:
    return [round(value, 3) for value in values.tolist()]


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
            "The heads in `no` count as wanted; 1 - y is how far a head is off": order(answers[:, yes + no].amin(1)),
            "By the product, a very confident output makes up for a poor one. Each wish must hold, so take the "
            "weakest: take the minimum": order(wanted.prod(1)),
        }
        if no:
            slips["`no` is not looked at"] = order(answers[:, yes].amin(1))
        want = order(wanted.amin(1))
        diagnose(got, want, slips, f"The first five should be {want[:5].tolist()}, yours are {got[:5].tolist()}")
    return "Heads are words: with and, or and not they make a search that no label was needed for."


def noise(seed: int, apart: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows (200, 60) and labels by a coin; ``apart`` moves the rows of one label away from the others."""
    draws = np.random.default_rng(seed)
    truth = draws.integers(0, 2, 200)
    return draws.standard_normal((200, 60)) + apart * truth[:, None], np.array(["tails", "heads"])[truth]


@checker
def check_score(given):
    """Checks ``given(rows, truth, count) -> float``: accuracy on images that lent no label to the classifier."""
    scores = [number(call(given, *noise(seed), 100), "the accuracy") for seed in range(6)]
    clear = number(call(given, *noise(9, apart=3.0), 100), "the accuracy")
    found = sum(scores) / len(scores)
    if found > 0.9:
        raise Wrong(
            f"On pure noise, with labels by a coin, you report {found:.2f}. These are the images whose labels the "
            "classifier was given; it has learned them by heart."
        )
    if found > 0.58:
        raise StillBroken(
            "Rows of pure noise, labels by a coin: on images that it has not seen, every classifier is right every "
            f"second time on average. This score is {found:.2f}."
        )
    if clear < 0.1:
        raise Wrong("Two groups that lie far apart get a score near 0: that is the fraction that went wrong.")
    if clear < 0.9 or found < 0.42:
        raise Wrong(
            f"Pure noise should score about 0.5, and two groups that lie far apart nearly 1. Yours are {found:.2f} and "
            f"{clear:.2f}."
        )
    return "Noise scores 0.5 now. With few labels the mistake hides: 20 known labels among 2,400 hardly show."


check_few_labels = Prediction(
    within=0.15,
    praise="Five draws miss one particular pattern with probability (3/4)⁵ = 0.24, so 0.76 of the patterns are seen on "
    "average. What five labels cannot do is no fault of the features.",
    low="If the patterns lie far apart, one label per pattern is enough for all its images. How many of the four "
    "patterns do five random images show on average?",
    high="Five random images rarely show all four patterns, and a pattern without a label is never named. How likely "
    "is it that five draws miss one particular pattern?",
    typical=0.71,
    slips={
        "1 would need a label of every pattern. Five random images rarely show all four.": 1.0,
        "A quarter is what guessing reaches. Every pattern with one label is named rightly here.": 0.25,
    },
)

check_how_many = Choice(
    "b",
    "Two tests of different things: whether the groups lie apart, and whether other images would give the "
    "same groups. Then chance is taken off: clouds of the same width without groups.",
    {
        "a": "Noise in this many directions is only the lowest bar. Four quarters of an evenly filled square reach "
        "0.41 without being groups, which is why the advice also compares with what clouds of the same width reach.",
        "c": "A cut that can be repeated need not be a group: cut a sausage into twenty slices, and two halves of the "
        "images agree quite well. Compare the silhouette at 20 with its peak.",
        "d": "K-means returns k clusters for any k and any cloud, so curves above 0 prove no groups. Between which "
        "values of k does the silhouette rise, and where does it fall?",
    },
)
