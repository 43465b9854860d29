"""Images that were not clustered: the clusters and the labels that they get from those that were."""

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.neighbors import NearestCentroid
from torch import Tensor


def assign_to_clusters(features: Tensor | np.ndarray, clusters: np.ndarray, new: Tensor | np.ndarray) -> np.ndarray:
    """Assign new images to known clusters, each to that of the nearest mean, as K-means does.

    features: (N, D) with their clusters (N,); new: (M, D) -> cluster numbers (M,).
    """
    features, new = (np.asarray(values, dtype=np.float32) for values in (features, new))
    numbers = np.unique(clusters)
    if len(numbers) == 1 or not np.ptp(features, axis=0).any():  # of which NearestCentroid makes an error
        return np.full(len(new), numbers[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a feature never varies; no matter here
        return NearestCentroid().fit(features, clusters).predict(new)


def knn_transfer(
    features: Tensor, labels: Tensor, new: Tensor, truth: Tensor, neighbours: int = 20, limit: int = 4096
) -> float:
    """:func:`knn_accuracy` of new images (M, D), by their neighbours among at most ``limit`` others (N, D)."""
    drawn = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))[:limit]
    x, labels = F.normalize(features[drawn].float(), dim=1), labels[drawn]
    near = (F.normalize(new.float(), dim=1) @ x.T).topk(min(neighbours, len(x))).indices
    votes = F.one_hot(labels[near], int(labels.max()) + 1).sum(1)
    return (votes.argmax(1) == truth).float().mean().item()
