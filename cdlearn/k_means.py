"""K-means, once for the whole project: scikit-learn's, without its warnings about what is no fault."""

import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from cdlearn.runtime.errors import UserError


def fitted(rows: np.ndarray, k: int, seed: int, starts: int) -> KMeans:
    """K-means by Lloyd's algorithm, the best of ``starts``: rows (N, D) -> scikit-learn's estimator, fitted.

    With fewer than k distinct rows some clusters stay empty. scikit-learn warns about that at every start; who shows
    clusters says it once, in words (see :func:`distinct`).

    Raises:
        UserError: if there are fewer rows than clusters, or a number in them is NaN or infinite.
    """
    if not np.isfinite(rows).all():
        bad = len(rows) - int(np.isfinite(rows).all(axis=1).sum())
        raise UserError(f"{bad:,} of {len(rows):,} images have features that are NaN or infinite: no clusters")
    if len(rows) < k:
        raise UserError(f"{len(rows):,} images cannot be put into {k} clusters")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(k, n_init=starts, random_state=seed).fit(rows)


def distinct(rows: np.ndarray, enough: int, same: float = 1e-4) -> int:
    """How many different rows (N, D) there are, counted up to ``enough``.

    Rows count as equal within ``same`` of the longest row's norm: equal images differ in the last digits of their
    features, because a convolution adds up in another order at another place of the batch.
    """
    rows = np.asarray(rows, dtype=np.float32)
    nearest, count = np.full(len(rows), np.inf), 0
    limit = same * float(np.linalg.norm(rows, axis=1).max(initial=0))
    while count < enough and len(rows):
        farthest = int(nearest.argmax())
        if nearest[farthest] <= limit:
            break
        nearest, count = np.minimum(nearest, np.linalg.norm(rows - rows[farthest], axis=1)), count + 1
    return count
