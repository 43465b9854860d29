"""Arrays -> short text: put in the map's order, as differences, byte by byte, deflated, base64.

A block of text is inert wherever it stands in HTML: base64 has no ``<``. The browser undoes each step in ``data.js``.
"""

import base64
import json
import zlib

import numpy as np

BITS = 16  # of each coordinate of the map


def places(xy: np.ndarray) -> np.ndarray:
    """Any (N, 2) coordinates -> uint16 (N, 2): centred in a square, sides kept in proportion, y downwards."""
    xy = np.asarray(xy, dtype=np.float64)
    low, high = xy.min(0), xy.max(0)
    span = max((high - low).max(), 1e-12)
    unit = (xy - (low + high) / 2) / span + 0.5
    unit[:, 1] = 1 - unit[:, 1]
    return (unit * (2**BITS - 1)).round().astype(np.uint16)


def along_curve(at: np.ndarray) -> np.ndarray:
    """Places (N, 2) uint16 -> the N image numbers in the order of a Hilbert curve, so that neighbours stand together.

    Each round looks at one bit of x and y, from the highest: it says which quarter of the square the place lies in, and
    so which quarter of the curve. The curve is turned or mirrored in some quarters, so the rest of x and y is, too.
    """
    x, y = at[:, 0].astype(np.int64), at[:, 1].astype(np.int64)
    along = np.zeros(len(at), np.int64)
    for bit in reversed(range(BITS)):
        right, down = (x >> bit) & 1, (y >> bit) & 1
        along = along * 4 + ((3 * right) ^ down)
        mirrored = (down == 0) & (right == 1)
        x, y = np.where(mirrored, 2**BITS - 1 - x, x), np.where(mirrored, 2**BITS - 1 - y, y)
        x, y = np.where(down == 0, y, x), np.where(down == 0, x, y)
    return np.argsort(along, kind="stable")


def representatives(at: np.ndarray, most: int = 3000) -> np.ndarray:
    """Up to ``most`` image numbers that stand for the map, the most important first; ``at`` are places (N, 2), sorted
    along the curve.

    First the image nearest to the middle of each square of a coarse grid, so that thin regions are not left out, then
    images evenly along the curve, so that dense regions show more.
    """
    n = len(at)
    if n <= most:
        return np.arange(n)
    grid = int((most * 0.7) ** 0.5)
    cell = at.astype(np.float64) * grid / 2**BITS
    far = ((cell - np.floor(cell) - 0.5) ** 2).sum(1)
    square = np.floor(cell).astype(np.int64) @ np.array([1, grid])
    nearest_first = np.lexsort((far, square))
    first = nearest_first[np.r_[True, np.diff(square[nearest_first]) > 0]]
    rest = np.linspace(0, n - 1, most - len(first)).round().astype(np.int64)
    fine = np.random.default_rng(0).permutation  # any part of the list should cover the map
    return np.concatenate([fine(first), fine(np.setdiff1d(rest, first))])


def zigzag(values: np.ndarray) -> np.ndarray:
    """Signed -> unsigned, small stays small: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4."""
    values = values.astype(np.int64)
    return np.where(values < 0, -2 * values - 1, 2 * values)


def text(data: bytes) -> str:
    """Bytes -> base64 of their deflated form."""
    return base64.b64encode(zlib.compress(data, 9)).decode()


def numbers(values: np.ndarray) -> tuple[str, int]:
    """Non-negative integers below 2^32, flattened -> (block, bytes per number).

    All lowest bytes come first, then all second ones: high bytes are mostly alike, and deflate to nothing.
    """
    flat = np.asarray(values).reshape(-1)
    width = next(w for w in (1, 2, 4) if flat.max(initial=0) < 256**w)
    planes = flat.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T
    return text(planes.tobytes()), width


def record(value) -> str:
    """Anything that JSON holds -> block; names of any bytes pass, and NaN becomes null."""
    return text(json.dumps(plain(value), separators=(",", ":"), allow_nan=False).encode("ascii"))


def plain(value):
    """Numpy's numbers and arrays, tuples and NaN -> what JSON has; floats to 5 digits."""
    if isinstance(value, dict):
        return {str(key): plain(of) for key, of in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(of) for of in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int)) else str(value)
