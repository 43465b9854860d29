"""Near-duplicates in three tiers, the surest first: same bytes, nearly the same picture, alike to the network."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from scipy.fft import dctn
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from cdlearn.augment import luma, to_size
from cdlearn.pages.contents import TIERS

BLOCK = 1024  # images hashed, or pairs compared, at once
EVEN = 1e-3  # differences of values in 0-1 that count as none ...
CLOSE_CALL = 0.05  # ... and of a picture's waves, in their standard deviations: saving again as JPEG turns such bits
SIDE = 32  # pixels at which pictures are hashed
# Tried on 1,500 photographs with altered copies of some among them. All 50 saved again as JPEG and all 50 at half the
# size were found, 15 of 50 lightened by 15% and 18 of 50 cropped by 5% a side, and no two different photographs.
DIFFERENT = 10  # of 64 bits: by how many each of the two hashes may differ between copies of a picture
COLOUR = 0.05  # mean difference of values in 0-1 that copies may show: the hashes see no colour ...
GRID = 16  # ... at this many pixels a side: at 8 two textures whose motifs lie elsewhere are alike
LOOKED_AT = 20  # nearest neighbours of each image that its hash is compared with
CLOSE = 0.25  # "alike to the network": nearer than this share of the usual distance to the nearest neighbour
PAIRS = 50  # pairs at most that are shown as alike to the network


def same_bytes(files: list[Path], progress: Callable[[list], Iterable] = iter) -> list[list[int]]:
    """Groups of files whose bytes are equal, by SHA-256. Only files of equal size are read."""
    by_size, by_digest = defaultdict(list), defaultdict(list)
    for number, path in enumerate(files):
        if path.is_file():
            by_size[path.stat().st_size].append(number)
    for number in progress([number for group in by_size.values() if len(group) > 1 for number in group]):
        try:
            with files[number].open("rb") as file:
                digest = hashlib.sha256()
                for part in iter(lambda: file.read(2**20), b""):
                    digest.update(part)
        except OSError:
            continue
        by_digest[digest.digest()].append(number)
    return [group for group in by_digest.values() if len(group) > 1]


def hashed(images: Tensor, progress: Callable[[list], Iterable] = iter) -> tuple[np.ndarray, np.ndarray]:
    """Two perceptual hashes and the rough colours of uint8 images (N, 3, H, W).

    Returns bits, bool (N, 2, 64), and colours, uint8 (N, 3 GRID^2).
    """
    if not len(images):
        return np.empty((0, 2, 64), bool), np.empty((0, 3 * GRID**2), np.uint8)
    parts = [pictures(images[start : start + BLOCK]) for start in progress(range(0, len(images), BLOCK))]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def pictures(images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """:func:`hashed` of a block.

    The first hash says of each of the 64 slowest waves of the grey picture (discrete cosine transform) whether it is
    above their median, the second whether the picture gets lighter from each of 9 x 8 squares to the next. Where a
    picture is even both say no: rounding must not decide.
    """
    small, rough = to_size(images, SIDE), to_size(images, 9)
    grey = luma(small)[:, 0].numpy()
    waves = dctn(grey, axes=(1, 2), norm="ortho")[:, :8, :8].reshape(len(grey), 64)
    middle, even = np.median(waves[:, 1:], axis=1), np.maximum(CLOSE_CALL * waves[:, 1:].std(axis=1), EVEN)
    slow = waves > (middle + even)[:, None]
    slow[:, 0] = False  # the mean lightness: the colours compare it
    lighter = np.diff(luma(rough)[:, 0].numpy(), axis=2)[:, :8] > EVEN
    bits = np.stack([slow, lighter.reshape(len(grey), 64)], axis=1)
    return bits, (to_size(images, GRID) * 255).round().to(torch.uint8).reshape(len(images), -1).numpy()


def near_pictures(bits: np.ndarray, colours: np.ndarray, neighbours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of neighbours that are nearly the same picture: both hashes and the colours say so.

    neighbours: (N, M) from the graph; the first LOOKED_AT are compared. Returns pairs (P, 2), the smaller number first,
    each once, and the larger of the two numbers of bits in which they differ (P,).
    """
    pairs, differ = [], []
    for column in neighbours[:, :LOOKED_AT].T:
        rows = np.flatnonzero(column >= 0)
        other = column[rows]
        bits_off = (bits[rows] != bits[other]).sum(axis=2).max(axis=1)
        near = bits_off <= DIFFERENT
        rows, other, bits_off = rows[near], other[near], bits_off[near]
        alike = np.zeros(len(rows), bool)
        for start in range(0, len(rows), BLOCK):  # all at once would take a gigabyte for 100,000 images
            some = slice(start, start + BLOCK)
            apart = colours[rows[some]].astype(np.int16) - colours[other[some]]
            alike[some] = np.abs(apart).mean(axis=1) <= 255 * COLOUR
        pairs.append(np.sort(np.stack([rows, other], axis=1)[alike], axis=1))
        differ.append(bits_off[alike])
    if not pairs:
        return np.empty((0, 2), int), np.empty(0, int)
    found, first = np.unique(np.concatenate(pairs), axis=0, return_index=True)
    return found, np.concatenate(differ)[first]


def joined(pairs: np.ndarray, n: int) -> list[list[int]]:
    """Groups of images that pairs (P, 2) connect, each sorted, the largest group first."""
    graph = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, of = connected_components(graph, directed=False)
    members = defaultdict(list)
    for number in np.unique(pairs).tolist():
        members[of[number]].append(number)
    return sorted(members.values(), key=lambda group: (-len(group), group))


def alike_to_network(neighbours: np.ndarray, distance: np.ndarray, known: np.ndarray) -> list[tuple[int, int, float]]:
    """The closest pairs, at most PAIRS, each the other's nearest, nearer than CLOSE of the usual; the nearest first.

    neighbours, distance: the graph (N, M); known: (N,) group numbers of surer tiers, -1 for none: a pair within one
    group is not told again.
    """
    if neighbours.shape[1] == 0:
        return []
    other, far = neighbours[:, 0], distance[:, 0]
    rows = np.flatnonzero((other[other] == np.arange(len(other))) & (np.arange(len(other)) < other))
    rows = rows[(far[rows] < CLOSE * np.median(far)) & ~((known[rows] >= 0) & (known[rows] == known[other[rows]]))]
    return [(int(i), int(other[i]), float(far[i])) for i in rows[np.argsort(far[rows], kind="stable")][:PAIRS]]


def groups(
    same: list[list[int]], bits: np.ndarray, colours: np.ndarray, neighbours: np.ndarray, distance: np.ndarray
) -> list[dict]:
    """All groups, the surest tier first: dicts of ``tier``, ``images`` and ``reason`` (see cdlearn.pages.contents)."""
    n, equal = len(bits), "the bytes of the files are equal (SHA-256)"
    made = [{"tier": TIERS[0], "images": group, "reason": equal} for group in same]
    known = np.full(n, -1)
    for number, group in enumerate(same):
        known[group] = number
    pairs, differ = near_pictures(bits, colours, neighbours)
    news = (known[pairs[:, 0]] < 0) | (known[pairs[:, 0]] != known[pairs[:, 1]])  # more than equal files
    # files with equal bytes count as connected, or copies of both would fall into two groups
    chained = np.array([(group[0], other) for group in same for other in group[1:]], int).reshape(-1, 2)
    together = joined(np.concatenate([pairs[news], chained]), n)
    of, worst = np.full(n, -1), defaultdict(int)
    for number, group in enumerate(together):
        of[group] = number
    for number, off in zip(of[pairs[news, 0]].tolist(), differ[news].tolist(), strict=True):
        worst[number] = max(worst[number], off)
    for number, off in sorted(worst.items()):
        reason = f"neighbours whose two hashes differ in at most {off} of 64 bits, of nearly the same colours"
        made.append({"tier": TIERS[1], "images": together[number], "reason": reason})
        known[together[number]] = n + number  # apart from the numbers of groups with the same bytes
    for i, j, far in alike_to_network(neighbours, distance, known):
        reason = (
            f"cosine {1 - far**2 / 2:.4f}; the network was trained to ignore crops and colours, so this is no proof"
        )
        made.append({"tier": TIERS[2], "images": [i, j], "reason": reason})
    return made
