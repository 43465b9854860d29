"""Which images to label first: typical ones, as different from each other as can be."""

import numpy as np

COUNT = 100
TYPICAL = 0.5  # of the images, those in the densest places: an outlier speaks for nothing but itself


def label_first(rows: np.ndarray, near: np.ndarray, left_out: np.ndarray, count: int = COUNT) -> list[int]:
    """Numbers of up to ``count`` images, in the order in which labelling pays: farthest points among dense ones.

    The first is the one nearest to the mean of the typical images, each next one that which is farthest from all before
    (Gonzalez, 1985), so that any beginning of the list covers the images as well as so few can.

    rows: (N, D) unit features; near: (N,) mean distance to the nearest neighbours; left_out: bool (N,), copies.
    """
    allowed = np.flatnonzero(~left_out)
    if not len(allowed):
        return []
    typical = allowed[np.argsort(near[allowed], kind="stable")][: max(1, round(TYPICAL * len(allowed)))]
    some = rows[typical]
    chosen = [int(((some - some.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    away = np.full(len(some), np.inf)
    while len(chosen) < min(count, len(some)):
        away = np.minimum(away, 2 - 2 * some @ some[chosen[-1]])  # squared, between unit rows
        away[chosen[-1]] = -np.inf
        chosen.append(int(away.argmax()))
    return typical[chosen].tolist()
