"""Features and clusters against labels: NMI, ARI, ACC of K-means, and kNN accuracy."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import (
    adjusted_rand_score,
    confusion_matrix,
    normalized_mutual_info_score,
)
from torch import Tensor

from cdlearn import k_means


def clustering_accuracy(labels: np.ndarray, clusters: np.ndarray) -> float:
    """ACC: the fraction of images in the right cluster under the best one-to-one match (Kuhn, 1955)."""
    table = confusion_matrix(labels, clusters)
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / len(labels))


def label_agreement(labels: np.ndarray, clusters: np.ndarray) -> tuple[float, float, float]:
    """NMI, ARI and ACC of clusters (N,) against labels (N,)."""
    return (
        normalized_mutual_info_score(labels, clusters),
        adjusted_rand_score(labels, clusters),
        clustering_accuracy(labels, clusters),
    )


def assignment_scores(output: Tensor | np.ndarray, labels: Tensor | np.ndarray) -> dict[str, float]:
    """How well the clusters that a method assigns by itself, without K-means, match the labels.

    output: (N, clusters), how much each image belongs to each cluster; labels: (N,) integers. Returns ``nmi``, ``ari``
    and ``acc`` of the argmax. There is no deviation, because nothing is random. The numbers of clusters and classes may
    differ. Raises ValueError if output and labels differ in number.
    """
    if len(output) != len(labels):
        raise ValueError(f"{len(output)} outputs for {len(labels)} labels")
    found = label_agreement(np.asarray(labels), np.asarray(output).argmax(axis=1))
    return {name: round(float(value), 4) for name, value in zip(("nmi", "ari", "acc"), found, strict=True)}


def cluster(features: Tensor | np.ndarray, k: int, seed: int = 0, n_init: int = 10) -> np.ndarray:
    """K-means (Lloyd, the best of n_init starts): (N, D) -> cluster numbers (N,)."""
    return k_means.fitted(np.asarray(features, dtype=np.float32), k, seed, n_init).labels_


def cluster_scores(
    features: Tensor | np.ndarray, labels: Tensor | np.ndarray, k: int | None = None, seeds: int = 3, n_init: int = 10
) -> dict[str, float]:
    """How well K-means clusters of ``features`` match the labels.

    Args:
        features: (N, D).
        labels: (N,) integers.
        k: number of clusters; None takes the number of different labels.
        seeds: K-means runs with seeds 0 .. seeds-1, each time with the best of ``n_init`` starts.

    Returns:
        ``nmi``, ``ari``, ``acc`` in 0-1 (ari can fall below 0), the mean over the seeds, and ``nmi_std`` and so on.

    Raises:
        ValueError: if features and labels differ in number, or there are fewer images than clusters.
    """
    labels = np.asarray(labels)
    if len(features) != len(labels):
        raise ValueError(f"{len(features)} features for {len(labels)} labels")
    return agreement_scores(labels, clusterings(features, k or len(np.unique(labels)), seeds, n_init))


def clusterings(features: Tensor | np.ndarray, k: int, seeds: int = 3, n_init: int = 10) -> list[np.ndarray]:
    """K-means with each of the seeds 0 .. seeds-1: (N, D) -> cluster numbers, (N,) each.

    Raises ValueError if there are fewer images than clusters.
    """
    if len(features) < k:
        raise ValueError(f"{len(features)} images cannot be put into {k} clusters")
    return [cluster(features, k, seed, n_init) for seed in range(seeds)]


def agreement_scores(labels: Tensor | np.ndarray, found: list[np.ndarray]) -> dict[str, float]:
    """NMI, ARI and ACC of several clusterings (N,) against labels (N,): mean and std, as :func:`cluster_scores`."""
    rows = [label_agreement(np.asarray(labels), clusters) for clusters in found]
    mean, std = np.mean(rows, axis=0), np.std(rows, axis=0)
    return {
        key: round(float(value), 4)
        for name, m, s in zip(("nmi", "ari", "acc"), mean, std, strict=True)
        for key, value in ((name, m), (f"{name}_std", s))
    }


def knn_accuracy(features: Tensor, labels: Tensor, neighbours: int = 20, limit: int = 4096) -> float:
    """Fraction of images whose nearest neighbours (by cosine) vote for their label. A monitor; it chooses nothing.

    At most ``limit`` images are used, drawn at random (seed 0), because folders come sorted by class and the first
    images would be of a few classes only.
    """
    drawn = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))[:limit]
    x, truth = F.normalize(features[drawn].float(), dim=1), labels[drawn]
    near = (x @ x.T).fill_diagonal_(-2).topk(min(neighbours, len(x) - 1)).indices
    votes = F.one_hot(truth[near], int(labels.max()) + 1).sum(1)
    return (votes.argmax(1) == truth).float().mean().item()
