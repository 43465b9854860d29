"""Maps: t-SNE of a few images, or of many from the graph of neighbours, which is measured once and shared."""

from collections.abc import Callable

import numpy as np
import torch
from openTSNE import TSNEEmbedding, affinity, nearest_neighbors
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

PERPLEXITY = 30.0
FEW = 10  # images below which neighbourhoods mean nothing: they are placed by their principal components
TREE = 10_000  # images up to which a tree of near and far places is quicker than a grid of forces (Barnes-Hut, FFT)
PHASES = ((250, dict(exaggeration=12, momentum=0.5)), (500, dict(momentum=0.8)))  # first pulled together, then settled
STEPS = sum(count for count, _ in PHASES)
REPORT_EVERY = 10  # steps between calls of ``after_steps``


def beginning(rows: np.ndarray, seed: int) -> np.ndarray:
    """Places before the first step: two principal components, which keep the map's large shape from chance."""
    found = np.zeros((len(rows), 2))
    if len(rows) > 1 and np.ptp(rows, axis=0).any():
        both = min(2, *rows.shape)
        found[:, :both] = PCA(both, random_state=seed).fit_transform(rows)
    return found


def placed(
    rows: np.ndarray,
    neighbours: np.ndarray | None = None,
    distance: np.ndarray | None = None,
    seed: int = 0,
    after_steps: Callable[[int], object] = lambda steps: None,
) -> np.ndarray:
    """(N, 2) float32, in no unit: near neighbours near, at any scale.

    With a graph of neighbours by openTSNE, which shares it: 5,000 images take it half the time that they take
    scikit-learn (28 and 53 s on one busy core). Without a graph by scikit-learn, from random places; that is for the
    thousand images of a figure.

    rows: (N, D) for the beginning; neighbours, distance: the graph (N, M), or None. ``after_steps`` is called with the
    number of steps done since its last call, where there is a graph.
    """
    if neighbours is None:
        perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
        return TSNE(perplexity=perplexity, init="random", random_state=seed, n_jobs=-1).fit_transform(rows)
    start = beginning(rows, seed)
    if len(rows) < FEW:
        return start.astype(np.float32)
    start *= 1e-4 / max(start[:, 0].std(), 1e-12)
    jobs = torch.get_num_threads()
    perplexity = min(PERPLEXITY, neighbours.shape[1] / 3)
    index = nearest_neighbors.PrecomputedNeighbors(neighbours.astype(np.int64), distance.astype(np.float64))
    joint = affinity.PerplexityBasedNN(perplexity=perplexity, knn_index=index, n_jobs=jobs)
    method = "bh" if len(rows) <= TREE else "fft"
    places = TSNEEmbedding(start, joint, negative_gradient_method=method, n_jobs=jobs, random_state=seed)

    def callback(*state) -> None:
        after_steps(REPORT_EVERY)

    for count, settings in PHASES:
        places.optimize(count, inplace=True, callbacks=callback, callbacks_every_iters=REPORT_EVERY, **settings)
    return np.asarray(places, dtype=np.float32)
