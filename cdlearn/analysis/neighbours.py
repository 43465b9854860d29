"""The graph of nearest neighbours: measured once, shared by the map, the near-duplicates and the outliers."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = 90  # per image: t-SNE asks for three times its perplexity, which is 30
NEAR = 10  # neighbours whose mean distance makes an outlier
MANY = 20_000  # images above which wide features are narrowed first
NARROW = 128  # ... to this many principal components: with 2,048 features the search would take 16 times as long


def unit(features: np.ndarray) -> np.ndarray:
    """Rows scaled to unit norm, (N, D) float32: between them the order by Euclidean distance is the order by cosine.

    The instance loss compares directions only, so the length of a feature vector carries no meaning. A row of zeros
    stays as it is.
    """
    features = np.asarray(features, dtype=np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def narrowed(rows: np.ndarray, seed: int = 0) -> np.ndarray:
    """:func:`unit` rows (N, D), narrowed so that 100,000 wide ones can be compared; still of unit norm.

    Up to MANY images nothing is left out. Above, rows wider than NARROW are projected onto their first NARROW principal
    components, from the origin and not from the mean, so that cosines stay cosines.
    """
    if len(rows) <= MANY or rows.shape[1] <= NARROW:
        return rows
    drawn = np.random.default_rng(seed).permutation(len(rows))[:MANY]
    axes = PCA(NARROW, svd_solver="covariance_eigh").fit(rows[drawn]).components_
    return unit(rows @ axes.T)


def nearest(rows: np.ndarray, start: int, stop: int, count: int = NEIGHBOURS) -> dict[str, np.ndarray]:
    """The ``count`` nearest other images of the images start..stop-1, the nearest first.

    rows: (N, D) from :func:`narrowed`. Returns ``number``, int32, and Euclidean ``distance``, float32, both
    (stop - start, min(count, N - 1)). Every pair is compared, block by block, so nothing is approximate and the memory
    grows with N alone.
    """
    count = min(count, len(rows) - 1)
    search = NearestNeighbors(algorithm="brute").fit(rows)
    distance, number = search.kneighbors(rows[start:stop], count + 1)
    own = number == np.arange(start, stop)[:, None]  # not always the first: an equal image may stand before it
    keep = np.argsort(own, axis=1, kind="stable")[:, :count]
    number, distance = (np.take_along_axis(of, keep, axis=1) for of in (number, distance))
    return {"number": number.astype(np.int32), "distance": distance.astype(np.float32)}


def strangeness(distance: np.ndarray) -> np.ndarray:
    """How far an image is from its NEAR nearest others on average: (N, M) -> (N,); 0 where there is no other."""
    return distance[:, :NEAR].mean(axis=1) if distance.shape[1] else np.zeros(len(distance), np.float32)
