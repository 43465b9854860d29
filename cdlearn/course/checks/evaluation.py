"""Graders of notebook 06: ACC with the best match, NMI, and ARI, each from labels and cluster numbers."""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from cdlearn.course.checks.grade import call, checker, diagnose, number
from cdlearn.evaluate import clustering_accuracy

TABLE = np.array([[3, 0, 4], [0, 0, 3], [1, 1, 0]])  # the notebook's twelve images: class in rows, cluster in columns


def spelled_out(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and cluster numbers (N,) that have this contingency table."""
    rows, columns = np.indices(table.shape)
    return np.repeat(rows.ravel(), table.ravel()), np.repeat(columns.ravel(), table.ravel())


def contingency(labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """How many images of each class (rows) are in each cluster (columns)."""
    table = np.zeros((labels.max() + 1, clusters.max() + 1), dtype=int)
    np.add.at(table, (labels, clusters), 1)
    return table


def cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The cases that functions are tried on: name -> labels, clusters."""
    draw = np.random.default_rng(7)
    labels = draw.integers(0, 5, 60)
    shuffled = draw.permutation(5)[labels]
    noisy = np.where(draw.random(60) < 0.4, draw.integers(0, 5, 60), shuffled)
    return {
        "the notebook's twelve images": spelled_out(TABLE),
        "60 images, 5 classes, 5 clusters": (labels, noisy),
        "4 classes, all found, under other numbers": (np.arange(24) % 4, (np.arange(24) + 1) % 4),
        "3 classes, 6 clusters": (np.arange(30) % 3, draw.integers(0, 6, 30)),
        "4 classes, 2 clusters": spelled_out(np.array([[5, 1], [6, 0], [0, 7], [2, 2]])),
        "2 classes, clusters that cut across": spelled_out(np.array([[3, 3], [3, 3]])),
    }


def graded(given, right: Callable, slips: dict[str, Callable], hint: str) -> None:
    """Try ``given`` on all cases; slips: what went wrong, in words -> function of labels and clusters."""
    known = cases()
    got = {
        name: number(call(given, labels.copy(), clusters.copy()), f"The score of {name}")
        for name, (labels, clusters) in known.items()
    }

    def scores(function: Callable) -> torch.Tensor:
        return torch.tensor([float(function(labels, clusters)) for labels, clusters in known.values()])

    want = scores(right)
    off = {name: abs(got[name] - float(value)) for name, value in zip(known, want, strict=True)}
    worst = max(off, key=off.get)
    otherwise = f"For {worst} you give {got[worst]:.3f}; it should be {want[list(known).index(worst)]:.3f}. {hint}"
    diagnose(torch.tensor(list(got.values())), want, {words: scores(f) for words, f in slips.items()}, otherwise)


def matched(table: np.ndarray, best: bool = True) -> int:
    rows, columns = linear_sum_assignment(table, maximize=best)
    return int(table[rows, columns].sum())


def greedy(table: np.ndarray) -> int:
    """The largest cell, then the largest in the rows and columns that are left, and so on."""
    left, total = table.astype(float), 0
    for _ in range(min(table.shape)):
        row, column = np.unravel_index(left.argmax(), left.shape)
        total += table[row, column]
        left[row], left[:, column] = -1, -1
    return total


@checker
def check_accuracy(given) -> str:
    """Checks ``given(labels, clusters) -> fraction of images``: ACC under the best one-to-one match."""
    per_image: dict[str, Callable] = {
        "You compare cluster numbers with label numbers as they are. K-means numbers its clusters as it likes: find "
        "the match first.": lambda t: sum(t[i, i] for i in range(min(t.shape))),
        "Your match is greedy: the largest cell first, then the largest of what is left. An early gain can block two "
        "others; the Hungarian method looks at all cells together.": greedy,
        "Every cluster takes its most frequent class, so two clusters may take the same one. That is purity, and "
        "it grows with the number of clusters; ACC matches one to one.": lambda t: t.max(0).sum(),
        "Every class takes its fullest cluster, so two classes may share one: throwing all images into a single "
        "cluster would score 1. ACC matches one to one.": lambda t: t.max(1).sum(),
        "You found the *worst* match: linear_sum_assignment minimises the sum. Give it −table, or "
        "maximize=True.": lambda t: matched(t, best=False),
    }
    slips = {
        words: lambda a, b, count=count: count(contingency(a, b)) / len(a) for words, count in per_image.items()
    } | {
        "That is a number of images; ACC is their fraction: divide by N.": lambda a, b: matched(contingency(a, b)),
        "That is the fraction that went wrong: 1 − ACC.": lambda a, b: 1 - clustering_accuracy(a, b),
        "You divide by the number of cells, not of images.": (
            lambda a, b: matched(contingency(a, b)) / contingency(a, b).size
        ),
        "table[labels, clusters] += 1 counts every cell once, however many images are in it. np.add.at counts them "
        "all.": lambda a, b: matched((contingency(a, b) > 0).astype(int)) / len(a),
    }
    hint = "Count the table of classes × clusters, match, add up the matched cells, divide by the number of images."
    graded(given, clustering_accuracy, slips, hint)
    return "With 10 classes there are 3,628,800 matches; the Hungarian method finds the best without trying them all."


def entropy(counts: np.ndarray) -> float:
    """Entropy in nats of counts of any shape."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def information(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Mutual information, entropy of the classes, entropy of the clusters."""
    table = contingency(a, b)
    classes, clusters = entropy(table.sum(1)), entropy(table.sum(0))
    return classes + clusters - entropy(table), classes, clusters


@checker
def check_nmi(given) -> str:
    """Checks ``given(labels, clusters) -> NMI``: mutual information over the mean of both entropies."""
    of: dict[str, Callable[[float, float, float], float]] = {
        "You divide by the geometric mean √(H(c) H(k)); the usual NMI (scikit-learn's and ours) has the arithmetic "
        "mean. Always say which one you use: the numbers differ.": lambda i, c, k: i / math.sqrt(c * k),
        "You divide by the larger of the two entropies; use their arithmetic mean.": lambda i, c, k: i / max(c, k),
        "You divide by the smaller of the two entropies, so splitting every class into many clusters costs nothing. "
        "Divide by their arithmetic mean.": lambda i, c, k: i / min(c, k),
        "You divide by the entropy of the classes alone. That is homogeneity: giving every image a cluster of its own "
        "would score 1.": lambda i, c, k: i / c,
        "You divide by the entropy of the clusters alone. That is completeness: one cluster per two classes would cost "
        "nothing.": lambda i, c, k: i / k,
        "That is the mutual information itself, in nats: divide by the mean of the two entropies.": lambda i, c, k: i,
        "That is the mutual information itself, in bits: divide by the mean of the two entropies (in bits as well).": (
            lambda i, c, k: i / math.log(2)
        ),
        "Your logarithms have two bases: bits above, nats below. Any base will do if it is the same everywhere.": (
            lambda i, c, k: 2 * i / (c + k) / math.log(2)
        ),
        "You divide by the sum of the entropies, so a perfect match scores ½: divide by their mean.": (
            lambda i, c, k: i / (c + k)
        ),
        "You divide by the joint entropy: another score, always lower. Divide by the arithmetic mean.": (
            lambda i, c, k: i / (c + k - i)
        ),
        "The sign is wrong: mutual information is Σ p log(p / (p_class p_cluster)), never negative.": (
            lambda i, c, k: -2 * i / (c + k)
        ),
    }
    slips = {words: lambda a, b, f=f: f(*information(a, b)) for words, f in of.items()}
    hint = "Probabilities p = table / N; sum p log(p / (p_class p_cluster)) over the cells that are not empty; then "
    hint += "divide by (H(classes) + H(clusters)) / 2."
    graded(given, normalized_mutual_info_score, slips, hint)
    return "NMI needs no match between clusters and classes, so it also works when their numbers differ."


def pairs(counts: np.ndarray) -> float:
    """How many pairs of images lie in the same cell: Σ n (n − 1) / 2."""
    return float((counts * (counts - 1) / 2).sum())


def pair_counts(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float, float]:
    """Numbers of pairs: together in both, in the classes, in the clusters, and all pairs."""
    table = contingency(a, b)
    return pairs(table), pairs(table.sum(1)), pairs(table.sum(0)), len(a) * (len(a) - 1) / 2


@checker
def check_ari(given) -> str:
    """Checks ``given(labels, clusters) -> ARI``: pairs that are together in both, corrected for chance."""
    of: dict[str, Callable[[float, float, float, float], float]] = {
        "That is the Rand index, not corrected for chance: random clusters score well above 0, too.": (
            lambda s, a, b, n: (n + 2 * s - a - b) / n
        ),
        "You do not take chance away: subtract the expected number of pairs, A·B / all pairs, from numerator and "
        "denominator.": lambda s, a, b, n: s / ((a + b) / 2),
        "You take chance away from the numerator only. Take it from the denominator too, so that a perfect match "
        "scores 1.": lambda s, a, b, n: (s - a * b / n) / ((a + b) / 2),
        "The largest possible number is the *mean* of A and B, not the number of all pairs.": (
            lambda s, a, b, n: (s - a * b / n) / (n - a * b / n)
        ),
        "You took the larger of A and B for the largest possible number; it is their mean.": (
            lambda s, a, b, n: (s - a * b / n) / (max(a, b) - a * b / n)
        ),
        "That is the Jaccard index of pairs: together in both, over together in either.": (
            lambda s, a, b, n: s / (a + b - s)
        ),
        "You cut the score off at 0. ARI is below 0 when clusters agree with the classes less than by chance; that is "
        "worth seeing.": lambda s, a, b, n: max(0.0, (s - a * b / n) / ((a + b) / 2 - a * b / n)),
    }
    slips = {words: lambda a, b, f=f: f(*pair_counts(a, b)) for words, f in of.items()}

    def squares(a: np.ndarray, b: np.ndarray) -> float:
        table, n = contingency(a, b), float(len(a)) ** 2
        s, rows, columns = ((t.astype(float) ** 2).sum() for t in (table, table.sum(1), table.sum(0)))
        return (s - rows * columns / n) / ((rows + columns) / 2 - rows * columns / n)

    itself = (
        "Your pairs include every image with itself (Σ n², N² in all). A pair is two different images: n (n − 1) / 2."
    )
    slips[itself] = squares

    def with_itself(a: np.ndarray, b: np.ndarray) -> float:
        table, pairs = contingency(a, b), len(a) * (len(a) + 1) / 2
        s, rows, columns = ((t * (t + 1) / 2).sum() for t in (table, table.sum(1), table.sum(0)))
        return float((s - rows * columns / pairs) / ((rows + columns) / 2 - rows * columns / pairs))

    slips["Your pairs include every image with itself: leave out the diagonal of np.triu_indices, k=1."] = with_itself
    hint = "S = pairs together in both, A = in the classes, B = in the clusters, E = A·B / all pairs: "
    graded(given, adjusted_rand_score, slips, hint + "(S − E) / ((A + B)/2 − E).")
    return "Chance gives 0, whatever the number of clusters; NMI and purity have no such zero."
