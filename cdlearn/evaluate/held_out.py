"""Images that were not clustered, and heads that were not trained: what stands beside the published scores."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import pairwise_distances_argmin
from torch import Tensor, nn

from cdlearn.runtime import rng


def place(features: Tensor | np.ndarray, clusters: np.ndarray, new: Tensor | np.ndarray) -> np.ndarray:
    """Put new images into known clusters, each into that of the nearest mean.

    features: (N, D) with their clusters (N,); new: (M, D) -> cluster numbers (M,).
    """
    features, new = (np.asarray(values, dtype=np.float32) for values in (features, new))
    numbers = np.unique(clusters)
    means = np.stack([features[clusters == number].mean(0) for number in numbers])
    return numbers[pairwise_distances_argmin(new, means)]


def knn_transfer(
    features: Tensor, labels: Tensor, new: Tensor, truth: Tensor, neighbours: int = 20, limit: int = 4096
) -> float:
    """:func:`knn_accuracy` of new images (M, D), by their neighbours among at most ``limit`` others (N, D)."""
    drawn = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))[:limit]
    x, labels = F.normalize(features[drawn].float(), dim=1), labels[drawn]
    near = (F.normalize(new.float(), dim=1) @ x.T).topk(min(neighbours, len(x))).indices
    votes = F.one_hot(labels[near], int(labels.max()) + 1).sum(1)
    return (votes.argmax(1) == truth).float().mean().item()


def untrained_heads(model: nn.Module, h: Tensor, seed: int, reference: Tensor | None = None) -> Tensor:
    """The control of CD's output: the answers of heads that were never trained, on the trained z.

    h: (N, D) of a model with ``untrained_output``, on the CPU; reference: (M, D), see there. Returns (N, heads) on the
    CPU, the same for the same seed.
    """
    device = next(model.parameters()).device
    given = [values.to(device) for values in (h, h if reference is None else reference)]
    with rng.drawing(device, seed, "weights", 1):
        return model.untrained_output(*given).cpu()
