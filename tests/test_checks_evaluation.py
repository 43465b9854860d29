"""The graders of notebook 06: right answers pass, each slip is named."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import (
    adjusted_rand_score,
    completeness_score,
    homogeneity_score,
    mutual_info_score,
    normalized_mutual_info_score,
    rand_score,
)

from cdlearn.course.checks.evaluation import check_accuracy, check_ari, check_nmi
from cdlearn.course.checks.evaluation_more import check_acc_falls, check_embed, check_purity


def table(labels, clusters):
    return np.array([[np.sum((labels == c) & (clusters == k)) for k in range(clusters.max() + 1)]
                     for c in range(labels.max() + 1)])  # fmt: skip


def accuracy(labels, clusters):
    found = table(labels, clusters)
    return found[linear_sum_assignment(-found)].sum() / len(labels)


def tried_all(labels, clusters):
    """Every one-to-one match in turn: slow, and right."""
    found = table(labels, clusters)
    if found.shape[0] > found.shape[1]:
        found = found.T
    ways = itertools.permutations(range(found.shape[1]), found.shape[0])
    return max(sum(found[i, j] for i, j in enumerate(way)) for way in ways) / len(labels)


def by_pairs(labels, clusters):
    """ARI from all pairs of images, one by one."""
    above = np.triu_indices(len(labels), 1)
    same_class, same_cluster = ((v[:, None] == v)[above] for v in (labels, clusters))
    chance = same_class.sum() * same_cluster.sum() / len(same_class)
    return ((same_class & same_cluster).sum() - chance) / ((same_class.sum() + same_cluster.sum()) / 2 - chance)


CHECKS = [
    (check_accuracy, accuracy),
    (check_accuracy, tried_all),
    (check_nmi, normalized_mutual_info_score),
    (check_ari, by_pairs),
    (check_ari, adjusted_rand_score),
]


@pytest.mark.parametrize(("check", "right"), CHECKS)
def test_right_and_untouched(check, right):
    assert check(right).solved is True
    assert check(lambda labels, clusters: ...).solved is None
    raised = check(lambda labels, clusters: labels["class"])
    assert raised.solved is False and "IndexError" in raised.message


def greedy(labels, clusters):
    left, total = table(labels, clusters), 0
    while left.size:
        row, column = np.unravel_index(left.argmax(), left.shape)
        total += left[row, column]
        left = np.delete(np.delete(left, row, 0), column, 1)
    return total / len(labels)


def once(a, b):
    counts = np.zeros((a.max() + 1, b.max() + 1), dtype=int)
    counts[a, b] += 1
    return counts[linear_sum_assignment(counts, maximize=True)].sum() / len(a)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda a, b: (a == b).mean(), "numbers its clusters as it likes"),
        (greedy, "greedy"),
        (lambda a, b: table(a, b).max(0).sum() / len(a), "purity"),
        (lambda a, b: table(a, b).max(1).sum() / len(a), "two classes may share"),
        (lambda a, b: table(a, b)[linear_sum_assignment(table(a, b))].sum() / len(a), "worst"),
        (lambda a, b: accuracy(a, b) * len(a), "divide by N"),
        (lambda a, b: accuracy(a, b) * 0.9, "it should be"),
        (once, "np.add.at counts them"),
        (lambda a, b: table(a, b).max(0) / len(a), "should be one number"),
    ],
)
def test_accuracy(wrong, says):
    found = check_accuracy(wrong)
    assert found.solved is False and says in found.message


def nmi(kind):
    return lambda a, b: normalized_mutual_info_score(a, b, average_method=kind)


def with_empty_cells(a, b):
    p = table(a, b) / len(a)
    expected = p.sum(1, keepdims=True) * p.sum(0)
    with np.errstate(all="ignore"):
        return float((p * np.log(p / expected)).sum())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (nmi("geometric"), "geometric"),
        (nmi("max"), "larger of the two"),
        (nmi("min"), "smaller of the two"),
        (homogeneity_score, "homogeneity"),
        (completeness_score, "completeness"),
        (mutual_info_score, "in nats"),
        (lambda a, b: nmi("arithmetic")(a, b) / math.log(2), "two bases"),
        (lambda a, b: nmi("arithmetic")(a, b) / 2, "mean"),
        (lambda a, b: -nmi("arithmetic")(a, b), "sign"),
        (with_empty_cells, "log of 0"),
        (adjusted_rand_score, "it should be"),
    ],
)
def test_nmi(wrong, says):
    found = check_nmi(wrong)
    assert found.solved is False and says in found.message


def with_itself(a, b):
    same_class, same_cluster = ((v[:, None] == v).ravel() for v in (a, b))
    chance = same_class.sum() * same_cluster.sum() / len(same_class)
    return ((same_class & same_cluster).sum() - chance) / ((same_class.sum() + same_cluster.sum()) / 2 - chance)


def uncorrected(a, b):
    above = np.triu_indices(len(a), 1)
    same_class, same_cluster = ((v[:, None] == v)[above] for v in (a, b))
    return (same_class & same_cluster).sum() / ((same_class.sum() + same_cluster.sum()) / 2)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (rand_score, "Rand index"),
        (uncorrected, "take chance away"),
        (with_itself, "every image with itself"),
        (lambda a, b: max(0, adjusted_rand_score(a, b)), "cut the score off"),
        (lambda a, b: adjusted_rand_score(a, b) + 0.1, "it should be"),
    ],
)
def test_ari(wrong, says):
    found = check_ari(wrong)
    assert found.solved is False and says in found.message


def embedded(model, images, size):
    return torch.cat([model(images[start : start + size]) for start in range(0, len(images), size)])


def test_embedding_every_image():
    assert check_embed(embedded).solved is True
    assert check_embed(lambda model, images, size: torch.cat([model(x) for x in images.split(size)])).solved is True
    for broken in (
        lambda model, x, n: torch.cat([model(x[i * n : (i + 1) * n]) for i in range(len(x) // n)]),
        lambda model, x, n: torch.cat([model(x[i : i + n]) for i in range(0, len(x) - n + 1, n)]),
    ):
        found = check_embed(broken)
        assert found.solved is None and "10 images go in, in batches of 4, and 8 rows come out" in found.message


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda model, x, n: embedded(model, x, n).flip(0), "not in its place"),
        (lambda model, x, n: torch.cat([embedded(model, x, n), model(x[-n:])]), "embedded twice"),
        (lambda model, x, n: embedded(model, x, n)[: -(len(x) % n) - 1], "shape"),
        (lambda model, x, n: [model(batch) for batch in x.split(n)], "list"),
        (lambda model, x, n: model(x / 255), "not those"),
        (lambda model, x, n: torch.stack([model(batch) for batch in x[: len(x) - len(x) % n].split(n)]), "(3, 4, 2)"),
    ],
)
def test_embedding_gone_wrong(wrong, says):
    found = check_embed(wrong)
    assert found.solved is False and says in found.message


@pytest.mark.parametrize(
    ("guess", "solved", "says"),
    [
        (..., None, "Predict"),
        (17 / 32, True, "pure by chance"),
        (0.5, True, "0.52"),
        (0.25, False, "*one* fixed class"),
        (1, False, "cluster of its own"),
        (0.35, False, "once in eleven"),
        (0.8, False, "rarely all four"),
    ],
)
def test_the_purity_to_predict(guess, solved, says):
    found = check_purity(guess, check_purity.typical)
    assert found.solved is solved and says in found.message


def test_reading_the_curves_over_k():
    assert check_acc_falls(...).solved is None and check_acc_falls("b").solved is True
    for letter, says in {"a": "mix fewer", "c": "falls far less", "d": "above chance"}.items():
        found = check_acc_falls(letter)
        assert found.solved is False and says in found.message
