"""Clusters by density: HDBSCAN on the map, which needs no number of clusters and leaves in-between images out."""

import numpy as np
from sklearn.cluster import HDBSCAN
from sklearn.neighbors import NearestNeighbors

FEWEST = 40  # images below which no density can be estimated
FITTED = (
    20_000  # images that HDBSCAN is fitted to, because its time grows with the square; the others take the nearest's
)


def smallest(n: int) -> int:
    """Images of the smallest cluster that counts: 5 of 100, 22 of 2,000, 158 of 100,000."""
    return max(5, round(n**0.5 / 2))


def dense(xy: np.ndarray, rows: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Clusters of the map's places (N, 2): ``of`` (N,), the largest first, -1 in none, and ``medoids`` (M,).

    On the map and not among the features: in hundreds of dimensions density hardly varies, and HDBSCAN puts most images
    into no cluster. On the map of 2,128 photographs it is a tenth (figures/records/own-images.csv). rows: (N, D)
    features for the medoids, each the image nearest to the mean of its cluster.
    """
    n = len(xy)
    if n < FEWEST:
        return {"of": np.full(n, -1), "medoids": np.empty(0, int)}
    drawn = np.sort(np.random.default_rng(seed).permutation(n)[:FITTED])
    places = np.asarray(xy, np.float64)
    found = HDBSCAN(min_cluster_size=smallest(len(drawn)), min_samples=5, copy=True).fit_predict(places[drawn])
    if len(drawn) < n:
        nearest = NearestNeighbors(n_neighbors=1).fit(places[drawn]).kneighbors(places, return_distance=False)
        found = found[nearest[:, 0]]
    sizes = np.bincount(found[found >= 0], minlength=found.max() + 1)
    order = np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")
    of = np.where(found >= 0, order[found] if len(order) else -1, -1)
    medoids = []
    for number in range(len(sizes)):
        members = np.flatnonzero(of == number)
        away = ((rows[members] - rows[members].mean(axis=0)) ** 2).sum(axis=1)
        medoids.append(int(members[away.argmin()]))
    return {"of": of, "medoids": np.array(medoids, int)}


def for_page(found: dict[str, np.ndarray]) -> dict | None:
    """For the page: see ``density`` of cdlearn.pages.contents.Contents."""
    of, count = found["of"], len(found["medoids"])
    if len(of) < FEWEST:
        return None
    none = int((of < 0).sum())
    advice = (
        f"HDBSCAN finds {count} dense region{'' if count == 1 else 's'} on the map, of {smallest(len(of))} images at "
        f"least; {none:,} of {len(of):,} images are in none. A t-SNE map can tear one cluster into several."
    )
    return {"of": of, "medoids": found["medoids"].tolist(), "advice": advice}
