"""Clusters for k = 2 to 50, and which k stands out: often there is none."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.metrics.pairwise import euclidean_distances

from cdlearn import k_means

LARGEST = 20  # every k up to here is tried, ...
BEYOND = (25, 30, 40, 50)  # ... and these
PER_CLUSTER = 4  # images per cluster below which a k is not tried: a half-sample would hold one or two of each
FEWEST = 2 * PER_CLUSTER  # images for the smallest k
FITTED = 10_000  # images that K-means is fitted to; the others take the nearest centre
SCORED = 2_000  # images whose silhouettes are averaged, and images in a half-sample
SPLITS = 3  # pairs of half-samples
STRUCTURE = 0.25  # silhouettes up to here show no substantial structure (Kaufman and Rousseeuw, 1990)
EXCESS = 0.05  # by how much a silhouette has to exceed that of the same k on images without clusters
STEADY = 0.8  # ARI of half-samples from which on a clustering counts as stable


@dataclass(frozen=True)
class Clusterings:
    """k -> what :func:`clustered` gives; k -> silhouette, and that by chance; the k to begin with, and the advice."""

    parts: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    silhouette: dict[int, float] = field(default_factory=dict)
    k: int | None = None
    clear: bool = False
    advice: str = ""
    chance: dict[int, float] = field(default_factory=dict)


def clusterings(
    rows: np.ndarray,
    seed: int = 0,
    part: Callable[[str, Callable[[], dict]], dict] = lambda name, make: make(),
    bar: Callable[[Iterable], Iterable] = iter,
) -> Clusterings:
    """Every k that is worth trying on rows (N, D). ``part`` keeps what is made, by name; ``bar`` shows it."""
    ks = [k for k in (*range(2, LARGEST + 1), *BEYOND) if k <= len(rows) // PER_CLUSTER]
    if not ks:
        return Clusterings(advice=f"{len(rows)} images are too few to cluster; at least {FEWEST} are needed.")
    kinds = k_means.distinct(rows[:: -(-len(rows) // FITTED)], max(ks))
    if kinds < 2:
        return Clusterings(advice=f"To this network the {len(rows):,} images are all equal: there are no clusters.")
    ks = [k for k in ks if k <= kinds]  # more clusters than different images would stay empty
    made = {k: part(f"clusters-{k}", lambda k=k: clustered(rows, k, seed)) for k in bar(ks)}
    scored = part("silhouettes", lambda: silhouettes(rows, {k: of["of"] for k, of in made.items()}, seed))
    silhouette, chance = (dict(zip(ks, scored[name].tolist(), strict=True)) for name in ("found", "chance"))
    steady = {k: float(of["stability"]) for k, of in made.items()}
    return Clusterings(made, silhouette, *advised(silhouette, chance, steady), chance)


def fit(rows: np.ndarray, k: int, seed: int, starts: int = 3) -> KMeans:
    """K-means by Lloyd's steps, the best of ``starts``."""
    return k_means.fitted(rows, k, seed, starts)


def clustered(rows: np.ndarray, k: int, seed: int) -> dict[str, np.ndarray]:
    """One k: ``of`` (N,) cluster numbers, ``centres`` (k, D), ``medoids`` (k,), ``stability``.

    Clusters are numbered from the largest to the smallest. The medoid is the image nearest to its cluster's centre: the
    one with the least squared distance to the others of the cluster in total. -1 where a cluster is empty.
    """
    drawn = np.random.default_rng(seed).permutation(len(rows))[:FITTED]
    model = fit(rows[drawn], k, seed)
    of, far = model.predict(rows), model.transform(rows)
    order = np.argsort(-np.bincount(of, minlength=k), kind="stable")
    of, far = np.argsort(order)[of].astype(np.int32), far[:, order]
    members = [np.flatnonzero(of == number) for number in range(k)]
    medoids = [int(some[far[some, number].argmin()]) if len(some) else -1 for number, some in enumerate(members)]
    return {
        "of": of,
        "centres": model.cluster_centers_[order],
        "medoids": np.array(medoids),
        "stability": np.array(stability(rows[drawn[: 2 * SCORED]], k, seed)),
    }


def stability(rows: np.ndarray, k: int, seed: int) -> float:
    """How far two halves of the images agree on the clusters: the mean ARI over SPLITS ways to halve them.

    K-means is fitted to each half by itself and then assigns all rows.
    """
    draws, agreed = np.random.default_rng(seed), []
    for split in range(SPLITS):
        order = draws.permutation(len(rows))
        halves = (order[: len(rows) // 2], order[len(rows) // 2 :])
        one, other = (fit(rows[half], k, seed + split, starts=2).predict(rows) for half in halves)
        agreed.append(adjusted_rand_score(one, other))
    return float(np.mean(agreed))


def silhouettes(rows: np.ndarray, found: dict[int, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """For every k, in order: ``found``, the mean silhouette of its clusters (N,), and ``chance``.

    ``chance`` is the larger of what K-means with the same k reaches on the two clouds of :func:`without_clusters`. All
    are measured on SCORED images drawn with ``seed``, whose distances are computed once for every k.
    """
    drawn = np.random.default_rng(seed).permutation(len(rows))[:SCORED]
    distances = between(rows[drawn])
    reached = [[silhouette(distances, of[drawn]) for of in found.values()]]
    for cloud in without_clusters(rows[drawn], seed):
        distances = between(cloud)
        reached.append([silhouette(distances, fit(cloud, k, seed, starts=2).labels_) for k in found])
    return {"found": np.array(reached[0]), "chance": np.max(reached[1:], axis=0)}


def between(rows: np.ndarray) -> np.ndarray:
    """Euclidean distances between all rows, (N, N), with zeros where rounding puts a row away from itself."""
    distances = euclidean_distances(rows)
    np.fill_diagonal(distances, 0)
    return distances


def silhouette(distances: np.ndarray, of: np.ndarray) -> float:
    """Mean silhouette of the clusters ``of`` (N,); 0 where all images fell into one."""
    kinds = len(np.unique(of))
    return float(silhouette_score(distances, of, metric="precomputed")) if 1 < kinds < len(of) else 0.0


def without_clusters(rows: np.ndarray, seed: int) -> list[np.ndarray]:
    """Two clouds as large and as wide as ``rows`` (N, D), in which no clusters are: what chance looks like.

    One is uniform over the box that the rows fill along their principal axes (as in the gap statistic of Tibshirani et
    al., 2001), the other is normal with the same covariance (as in SigClust, Liu et al., 2008).
    """
    draws = np.random.default_rng(seed)
    middle = rows.mean(axis=0)
    _, width, axes = np.linalg.svd(rows - middle, full_matrices=False)
    along = (rows - middle) @ axes.T
    box = draws.uniform(along.min(axis=0), along.max(axis=0), along.shape)
    normal = draws.standard_normal(along.shape) * (width / len(rows) ** 0.5)
    return [(cloud @ axes + middle).astype(np.float32) for cloud in (box, normal)]


def advised(silhouette: dict[int, float], chance: dict[int, float], steady: dict[int, float]) -> tuple[int, bool, str]:
    """The k to begin with, whether it is clear, and a sentence about it.

    A k is clear when all three hold:

    - its silhouette is above STRUCTURE (0.25);
    - its silhouette exceeds by EXCESS (0.05) what the same k reaches on images without clusters (``chance``), because
      K-means cuts an even cloud into tidy pieces, too: four quarters of an even square score 0.41;
    - two halves of the images agree on it with an ARI of at least STEADY (0.8).

    Of the clear ones the k is named whose silhouette exceeds chance by most. It stands out from chance, no more: the
    curves do not show how many kinds of things there are. Where none is clear that k is only where to begin.
    """
    excess = {k: s - chance[k] for k, s in silhouette.items()}
    tests = (
        ({k: s > STRUCTURE for k, s in silhouette.items()}, f"no silhouette exceeds {STRUCTURE}"),
        ({k: of >= EXCESS for k, of in excess.items()}, "no silhouette exceeds what images without clusters reach"),
        (
            {k: of >= STEADY for k, of in steady.items()},
            f"two halves of the images agree on no clusters to {STEADY} (at best to {max(steady.values()):.2f})",
        ),
    )
    clear = [k for k in silhouette if all(passed[k] for passed, _ in tests)]
    k = max(clear or silhouette, key=excess.get)
    measured = (
        f"silhouette {silhouette[k]:.2f}, by chance {chance[k]:.2f}; two halves of the images agree to {steady[k]:.2f}"
    )
    if clear:
        next_best = sorted((other for other in clear if other != k), key=excess.get, reverse=True)[:2]
        also = f" So do, by less, k = {' and '.join(map(str, next_best))}." if next_best else ""
        return k, True, f"k = {k} stands out most from chance ({measured}).{also}"
    why = "; ".join(reason for passed, reason in tests if not any(passed.values()))
    why = why or "no k passes all tests at once"
    return k, False, f"There is no clear k: {why}. The page begins with k = {k} ({measured}), for browsing only."
