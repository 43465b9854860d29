"""Many thumbnails on few JPEG pages: the largest that fit into the bytes that are left."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

PAGE = 1024  # px: a smaller page wastes less memory on images out of sight, a larger one saves headers
LEVELS = (  # cell in px, quality of JPEG
    *((64, 75), (64, 60), (48, 60), (48, 50), (32, 60), (32, 50)),
    *((24, 50), (24, 40), (24, 30), (16, 40), (16, 25), (8, 40)),
)
SAMPLE = 1024  # images on which a level's bytes are measured: within about 2 % of the whole
Thumbnail = Callable[[int, int], Image.Image]


@dataclass(frozen=True)
class Atlas:
    """Square cells of ``cell`` px, row by row on square pages of ``across`` × ``across`` cells, each a JPEG."""

    cell: int
    across: int
    pages: list[bytes]

    @property
    def bytes(self) -> int:
        """The room that the pages take as base64."""
        return sum(-(-len(page) // 3) * 4 for page in self.pages)


@cache
def quantization_tables(quality: int) -> list[list[int]]:
    """JPEG's own quantisation tables at a quality, for brightness and for colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    return list(Image.open(buffer).quantization.values())


def jpeg(page: Image.Image, quality: int) -> bytes:
    """A page as JPEG, its colours at full resolution but coarser steps.

    Halving the resolution of colours, as is usual, tints the neighbours of any cell that does not fill whole blocks of
    16 px. At 24 px photographs take 118 bytes each this way, at a PSNR of 24.6 dB; by halving 117, at 24.0 dB.
    """
    buffer = io.BytesIO()
    steps = [quantization_tables(quality)[0], quantization_tables(round(quality * 0.4))[1]]
    page.save(buffer, "JPEG", qtables=steps, subsampling="4:4:4", optimize=True, progressive=True)
    return buffer.getvalue()


def pages(pictures: Iterator[Image.Image], n: int, cell: int, quality: int) -> Iterator[bytes]:
    """``n`` pictures of ``cell`` px -> JPEG pages, made one at a time."""
    across = PAGE // cell
    for start in range(0, n, across * across):
        count = min(across * across, n - start)
        columns, rows = min(count, across), -(-count // across)
        page = Image.new("RGB", (columns * cell, rows * cell), "white")
        for place in range(count):
            page.paste(next(pictures), (place % across * cell, place // across * cell))
        yield jpeg(page, quality)


def make(images: Sequence[int], thumbnail: Thumbnail, cell: int, quality: int, most=float("inf"), watch=None):
    """The :class:`Atlas` of ``images`` at one level, or None when it takes more than ``most`` bytes of text.

    ``watch(place, picture)``, if given, sees every picture as it passes.
    """

    def pictures():
        for place, image in enumerate(images):
            picture = thumbnail(int(image), cell).convert("RGB")
            if watch:
                watch(place, picture)
            yield picture

    made = Atlas(cell, PAGE // cell, [])
    for page in pages(pictures(), len(images), cell, quality):
        made.pages.append(page)
        if made.bytes > most:
            return None
    return made


def estimate(images: Sequence[int], thumbnail: Thumbnail, levels=LEVELS) -> Iterator[tuple[int, int, float]]:
    """(cell, quality, bytes of text per image) for each of ``levels``, measured on a sample of ``images``."""
    images = np.asarray(images)
    if len(images) > SAMPLE:
        images = np.random.default_rng(0).choice(images, SAMPLE, replace=False)
        scale = 1.02
    else:
        scale = 1.0
    drawn: list[Image.Image] = []
    for cell, quality in levels:
        drawn = drawn or [thumbnail(int(i), cell).convert("RGB") for i in images]
        small = (picture.resize((cell, cell), Image.Resampling.BOX) for picture in drawn)
        size = sum(len(page) for page in pages(small, len(drawn), cell, quality))
        yield cell, quality, size * 4 / 3 * scale / len(drawn)
