"""Near-duplicates in three tiers, surest first: same bytes, nearly the same picture, looks alike to the network."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from scipy.fft import dctn
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from cdlearn.augment import luma, to_size
from cdlearn.pages.contents import TIERS

BLOCK = 1024  # images hashed at once
PAIRED = 2**16  # pairs compared at once
EVEN = 1e-3  # differences of values in 0-1 that count as none ...
CLOSE_CALL = 0.05  # ... and of a picture's waves, in their standard deviations: saving again as JPEG turns such bits
SIDE = 32  # pixels at which pictures are hashed
BORDER = 0.05  # of each side that the cropped variant lacks: copies cropped by 3 to 8% match it, too
# Of 2,000 photographs with altered copies planted no two different ones come as near (figures/records/own-images.csv);
# drawn swatches, which have their forms in common, are a harder case and would be confused by wider tolerances
DIFFERENT = 10  # of 64 bits: by how many each of the two hashes may differ between copies of a picture
COLOUR = 0.05  # mean difference of values in 0-1 that copies may show: the hashes see no colour ...
LIGHTER = 1.25  # ... once the darker one is made as light as the other, up to this factor ...
GRID = 16  # ... at this many pixels a side: at 8 two textures whose motifs lie elsewhere look the same
LOOKED_AT = 20  # nearest neighbours of each image that its hash is compared with
RATIO = 0.6  # "looks alike to the network": the nearest is so much nearer than the second (Lowe's ratio test) ...
ROUGHLY = 0.95  # ... and the pictures correlate so far at ROUGH pixels a side: else two dark pictures would pass
ROUGH = 8
COMPARED = (  # variants of the one and of the other picture, and how a pair that matches so is described
    ("plain", "plain", ""),
    ("mirrored", "plain", ", once one is mirrored"),
    ("cropped", "plain", ", once one is cropped"),
    ("plain", "cropped", ", once one is cropped"),
    ("mirrored", "cropped", ", once one is mirrored and cropped"),
    ("cropped", "mirrored", ", once one is mirrored and cropped"),
)
VARIANTS = ("plain", "mirrored", "cropped")


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


def variant(images: Tensor, which: str) -> Tensor:
    """uint8 (N, 3, H, W) as they are, mirrored left to right, or without BORDER at each side."""
    if which == "mirrored":
        return images.flip(-1)
    border = max(1, round(BORDER * images.shape[-1]))
    return images[..., border:-border, border:-border] if which == "cropped" else images


def hashed(images: Tensor, progress: Callable[[list], Iterable] = iter) -> np.ndarray:
    """Two perceptual hashes of each of VARIANTS of uint8 images (N, 3, H, W): bool (N, 3, 2, 64)."""
    parts = [
        np.stack([pictures(variant(images[start : start + BLOCK], which)) for which in VARIANTS], axis=1)
        for start in progress(range(0, len(images), BLOCK))
    ]
    return np.concatenate(parts) if parts else np.empty((0, len(VARIANTS), 2, 64), bool)


def pictures(images: Tensor) -> np.ndarray:
    """Two hashes of each image of a block, bool (N, 2, 64).

    The first hash records for each of the 64 slowest waves of the grey picture (discrete cosine transform) whether it
    is above their median, the second whether the picture gets lighter from each of 9 x 8 squares to the next. Where a
    picture is even both say no: rounding must not decide.
    """
    small, rough = to_size(images, SIDE), to_size(images, 9)
    grey = luma(small)[:, 0].numpy()
    waves = dctn(grey, axes=(1, 2), norm="ortho")[:, :8, :8].reshape(len(grey), 64)
    middle, even = np.median(waves[:, 1:], axis=1), np.maximum(CLOSE_CALL * waves[:, 1:].std(axis=1), EVEN)
    slow = waves > (middle + even)[:, None]
    slow[:, 0] = False  # the mean lightness: the colours compare it
    lighter = np.diff(luma(rough)[:, 0].numpy(), axis=2)[:, :8] > EVEN
    return np.stack([slow, lighter.reshape(len(grey), 64)], axis=1)


def near_pictures(images: Tensor, bits: np.ndarray, neighbours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of neighbours that are nearly the same picture: both hashes and the colours agree.

    images: (N, 3, H, W); bits: from :func:`hashed`; neighbours: (N, M) from the graph, of which the first LOOKED_AT are
    compared. Returns pairs (P, 2), the smaller number first, each once, and for each (P, 2) by how many bits the worse
    hash differs and which of COMPARED it is that matches.
    """
    n, near = len(bits), neighbours[:, :LOOKED_AT].astype(np.int64)
    own = np.broadcast_to(np.arange(n)[:, None], near.shape)
    coded = np.unique((np.minimum(own, near) * n + np.maximum(own, near))[near >= 0])
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for start in range(0, len(coded), PAIRED):
        one, other = np.divmod(coded[start : start + PAIRED], n)
        for how, (left, right, _) in enumerate(COMPARED):
            a, b = bits[one, VARIANTS.index(left)], bits[other, VARIANTS.index(right)]
            off = (a != b).sum(axis=2).max(axis=1)
            some = np.flatnonzero(off <= DIFFERENT)
            apart = colours_apart(*(variant(images[of[some]], which) for of, which in ((one, left), (other, right))))
            for at in some[apart <= COLOUR].tolist():
                found.setdefault((int(one[at]), int(other[at])), (int(off[at]), how))
    pairs, facts = (np.array(list(of), int).reshape(-1, 2) for of in (found.keys(), found.values()))
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], facts[order]


def colours_apart(one: Tensor, other: Tensor) -> np.ndarray:
    """Mean difference of the rough colours of pairs of pictures, (P,), when both are equally light."""
    one, other = grid(one), grid(other)
    factor = (other.mean(axis=1) / np.maximum(one.mean(axis=1), EVEN)).clip(1 / LIGHTER, LIGHTER)[:, None]
    one, other = (one * factor.clip(1)).clip(0, 1), (other / factor.clip(None, 1)).clip(0, 1)
    return np.abs(one - other).mean(axis=1)


def grid(images: Tensor, side: int = GRID) -> np.ndarray:
    """Rough colours, (N, 3 side^2) in 0-1."""
    return to_size(images, side).flatten(1).numpy() if len(images) else np.empty((0, 3 * side**2), np.float32)


def joined(pairs: np.ndarray, n: int) -> list[list[int]]:
    """Groups of images that pairs (P, 2) connect, each sorted, the largest group first."""
    graph = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, of = connected_components(graph, directed=False)
    members = defaultdict(list)
    for number in np.unique(pairs).tolist():
        members[of[number]].append(number)
    return sorted(members.values(), key=lambda group: (-len(group), group))


def similar_to_network(
    images: Tensor, neighbours: np.ndarray, distance: np.ndarray, known: np.ndarray
) -> list[tuple[int, int, float]]:
    """Pairs that are each other's nearest by far, the nearest first: (image, image, ratio of distances).

    The second distance is that to the nearest image of neither's group, so a picture with two copies passes as well.
    neighbours, distance: the graph (N, M); known: (N,) group numbers of more certain tiers, -1 for none: a pair within
    one group is not listed again.
    """
    n, columns = neighbours.shape
    if columns < 2:
        return []
    group = np.where(known >= 0, known, known.max(initial=-1) + 1 + np.arange(n))
    of, rows = group[neighbours], np.arange(n)
    other = of != group[:, None]
    first = other.argmax(axis=1)  # the nearest that is not known as a copy
    second_may = other & (of != of[rows, first][:, None])
    second = second_may.argmax(axis=1)
    whole = other.any(axis=1) & second_may.any(axis=1)
    nearest, far = neighbours[rows, first], np.where(whole, distance[rows, first], np.inf)
    ratio = np.where(whole, far / np.maximum(distance[rows, second], 1e-12), np.inf)
    mutual = whole & (group[nearest[nearest]] == group) & (rows < nearest)
    pairs = rows[mutual & (np.minimum(ratio, ratio[nearest]) < RATIO)]
    pairs = pairs[roughly_alike(images, pairs, nearest[pairs])]
    best: dict[tuple[int, int], tuple[int, int, float]] = {}  # one pair of two groups
    for i in pairs.tolist():
        j = int(nearest[i])
        best.setdefault(tuple(sorted((group[i], group[j]))), (i, j, float(min(ratio[i], ratio[j]))))
    return sorted(best.values(), key=lambda pair: pair[2])


def roughly_alike(images: Tensor, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which pairs of pictures (P,) correlate by at least ROUGHLY at ROUGH pixels, in any way of COMPARED; bool (P,)."""

    def centred(of: np.ndarray, which: str) -> np.ndarray:
        values = grid(variant(images[of], which), ROUGH)
        values -= values.mean(axis=1, keepdims=True)
        return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)

    ways = [(centred(one, left) * centred(other, right)).sum(axis=1) for left, right, _ in COMPARED]
    return np.max(ways, axis=0) >= ROUGHLY


def groups(
    same: list[list[int]], images: Tensor, bits: np.ndarray, neighbours: np.ndarray, distance: np.ndarray
) -> list[dict]:
    """All groups, the surest tier first: dicts of ``tier``, ``images`` and ``reason`` (see cdlearn.pages.contents)."""
    n, equal = len(bits), "the bytes of the files are equal (SHA-256)"
    made = [{"tier": TIERS[0], "images": group, "reason": equal} for group in same]
    known = np.full(n, -1)
    for number, group in enumerate(same):
        known[group] = number
    pairs, facts = near_pictures(images, bits, neighbours)
    news = (known[pairs[:, 0]] < 0) | (known[pairs[:, 0]] != known[pairs[:, 1]])  # more than equal files
    # files with equal bytes count as connected, or copies of both would fall into two groups
    chained = np.array([(group[0], other) for group in same for other in group[1:]], int).reshape(-1, 2)
    together = joined(np.concatenate([pairs[news], chained]), n)
    of, found = np.full(n, -1), defaultdict(list)
    for number, group in enumerate(together):
        of[group] = number
    for number, fact in zip(of[pairs[news, 0]].tolist(), facts[news].tolist(), strict=True):
        found[number].append(fact)
    for number, matches in sorted(found.items()):
        ways = "".join(dict.fromkeys(COMPARED[how][2] for _, how in matches))
        reason = (
            f"neighbours of nearly the same colours whose hashes differ in at most {max(matches)[0]} of 64 bits{ways}"
        )
        made.append({"tier": TIERS[1], "images": together[number], "reason": reason})
        known[together[number]] = n + number  # apart from the numbers of groups with the same bytes
    for i, j, ratio in similar_to_network(images, neighbours, distance, known):
        reason = (
            f"each is the other's nearest, at {ratio:.2f} of the distance to the next; the network was trained to "
            "ignore crops and colours, so this is no proof"
        )
        made.append({"tier": TIERS[2], "images": [i, j], "reason": reason})
    return made


def keep_best(made: list[dict], sizes: dict[str, np.ndarray] | None) -> list[dict]:
    """The same groups, of each first the image to keep, and ``kept``: why. Most pixels, then most bytes, then the name.

    sizes: ``width``, ``height`` and ``bytes``, (N,) each; None where there are no files.
    """

    def order(image: int) -> tuple[int, int, int]:
        return (-pixels[image], -size[image], image) if sizes else (0, 0, image)

    pixels, size = (sizes["width"] * sizes["height"], sizes["bytes"]) if sizes else (None, None)
    best = []
    for group in made:
        images = sorted(group["images"], key=order)
        first, second = order(images[0]), order(images[1])
        why = ("most pixels", "most bytes", "first name")[[a == b for a, b in zip(first, second, strict=True)].index(0)]
        best.append(group | {"images": images, "kept": why})
    return best


def duplicate_of(made: list[dict], n: int) -> tuple[np.ndarray, np.ndarray]:
    """For each image that is not to be kept the one to keep in its stead, and the number of the tier, (N,); else -1.

    made: groups with the one to keep first. An image in groups of several tiers goes by the surest.
    """
    of, tier = np.full(n, -1), np.full(n, -1)
    for group in sorted(made, key=lambda group: -TIERS.index(group["tier"])):
        of[group["images"][1:]], tier[group["images"][1:]] = group["images"][0], TIERS.index(group["tier"])
    return of, tier
