"""A folder of images of any kind and size -> an ImageSet, and what became of every file in it."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cdlearn.data import cache, deep
from cdlearn.data.cache import decoded
from cdlearn.data.cache_files import Origin, cache_key, listing_key, surveyed  # noqa: F401
from cdlearn.data.decoding import decode, deep_values, shorter_side
from cdlearn.data.endings import ENDINGS, READERS, fixes  # noqa: F401
from cdlearn.data.imageset import ImageSet
from cdlearn.data.labels import labelled
from cdlearn.data.listing import Listing, find_images, look_through  # noqa: F401
from cdlearn.data.reading import Reading, reading_in
from cdlearn.runtime.errors import UserError

SAMPLED = 256  # images whose headers are read to choose the side at which all are kept
EVEN = 2  # grey levels between the darkest and the brightest pixel of an image that shows nothing


def draw(n: int, limit: int, seed: int) -> Tensor:
    """``limit`` of the numbers 0..n-1, drawn with ``seed``, in rising order."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:limit].sort().values


def drawn(paths: list[Path], limit: int | None, seed: int) -> list[Path]:
    """The images that a limit leaves."""
    if limit is None or limit >= len(paths):
        return paths
    return [paths[i] for i in draw(len(paths), limit, seed).tolist()]


def stored_side(paths: list[Path], size: int) -> int:
    """The side at which a folder's images are kept, for views of ``size``: twice that, as far as the originals go.

    A crop of a quarter of the area then has a pixel for each of the view's; more would cost memory and time. Images of
    many sizes are kept at one side: the median of the originals' shorter sides, because beyond it most would only be
    enlarged, but not below ``size`` where there are larger ones. Looks at the headers of up to 256 files.

    Measured on 5,000 photographs of 64 px, trained at 32 px for about as long, over three seeds: kept at 64 px instead
    of 32, NMI rises from 0.234 to 0.248 (backbone) and from 0.205 to 0.227 (output), kNN accuracy from 0.535 to 0.551
    and from 0.394 to 0.429. Every seed gains in each of the four (figures/records/stored-size.csv).
    """
    step = -(-len(paths) // SAMPLED)
    sides = [side for side in map(shorter_side, paths[::step]) if side]
    if not sides:
        return size
    return min(2 * size, max(int(np.median(sides)), min(size, max(sides))))


@dataclass(frozen=True)
class Folder:
    """The images of a folder as they were read. files: those that could be; lines: what was chosen, for the reader."""

    pixels: Tensor
    good: list[int]
    files: list[Path]
    reading: Reading
    lines: list[str]


def read_folder(
    folder: Path,
    listed: list[Path],
    used: list[Path],
    size: int,
    stored: int = 0,
    skip_bad: bool = False,
    root: Path = Path("data"),
    progress: bool = False,
    reading: Reading | None = None,
) -> Folder:
    """The pixels of ``used``, some or all of the images ``listed`` in ``folder``.

    reading: that of the run which looks at the images. None chooses: the side by ``used``, see :func:`stored_side`, and
    black and white of deep images by all that are listed, so a limit does not change how an image is read.
    """
    side = stored or (reading.side if reading else stored_side(used, size))
    found = {}
    if reading is None:
        found = surveyed(listed, root, 3 * len(listed) * side * side > cache.IN_MEMORY)
        reading = Reading(side, deep.ranges_of(found))
    reading = replace(reading, side=side)
    origin = Origin(os.path.realpath(folder), listing_key(listed, "state"))
    pixels, good, facts = decoded(used, side, skip_bad, root, progress, reading.ranges, origin)
    files = [used[i] for i in good]
    lines = [of.line(kind) for kind, of in found.items()] or ranges_lines(reading)
    return Folder(pixels, good, files, reading, [*lines, *facts.lines(), *even_lines(pixels, files, folder)])


def ranges_lines(reading: Reading) -> list[str]:
    """What a run's reading does to deep images."""
    return [
        f"images of {kind} numbers are read as in the training: black is {black:,.6g} and white {white:,.6g}"
        for kind, (black, white) in reading.ranges.items()
    ]


def even_lines(pixels: Tensor, files: list[Path], folder: Path) -> list[str]:
    """A line where images are of one even colour, which a wrong range or a white ground would make of them."""
    side = pixels.shape[-1]
    step, even = max(1, side // 4), []
    for start in range(0, len(pixels), 1024):  # a few pixels tell most images apart, before all are looked at
        block = pixels[start : start + 1024].numpy()
        some = block[:, :, step // 2 :: step, step // 2 :: step]
        likely = np.flatnonzero(np.ptp(some, axis=(2, 3)).max(axis=1) <= EVEN)
        even += [start + int(i) for i in likely if np.ptp(block[i], axis=(1, 2)).max() <= EVEN]
    if not even:
        return []
    are = "images are" if len(even) > 1 else "images is"
    shown = os.fsencode(files[even[0]].relative_to(folder).as_posix()).decode("utf-8", "replace")
    return [f"{len(even):,} of {len(files):,} {are} of one even colour, such as {shown}"]


def load_folder(
    folder: Path,
    size: int,
    limit: int | None,
    seed: int,
    skip_bad: bool,
    root: Path,
    progress: bool,
    stored: int = 0,
    only: list[str] | None = None,
    reading: Reading | None = None,
) -> ImageSet:
    """See :func:`cdlearn.data.load`."""
    listed = find_images(folder, only, skip_bad)
    used = drawn(listed, limit, seed)
    read = read_folder(folder, listed, used, size, stored, skip_bad, root, progress, reading)
    if len(read.files) < len(used):
        print(f"skipped {len(used) - len(read.files)} of {len(used)} files that cannot be read")
    if not read.files:
        raise UserError(f"none of the {len(used)} images in {folder} can be read")
    sorted_by = labelled(read.files, folder)
    for line in (*read.lines, sorted_by.line):
        print(line)
    return ImageSet(read.pixels, sorted_by.labels, sorted_by.classes, reading=read.reading)


def classes_of(paths: list[Path], folder: Path) -> tuple[Tensor | None, tuple[str, ...]]:
    """Labels (N,) and the classes' names, as :func:`cdlearn.data.labels.labelled` finds them; (None, ()) without."""
    found = labelled(paths, folder)
    return found.labels, found.classes


def decode_files(files: list[Path], reading: Reading) -> Tensor:
    """Any image files -> uint8 (N, 3, S, S), each as a run with this reading sees it, whatever else is in the list.

    Raises:
        UserError: naming the first file that cannot be read.
    """
    pixels = np.empty((len(files), 3, reading.side, reading.side), np.uint8)
    for number, path in enumerate(files):
        pixels[number] = decode(Path(path), reading.side, reading.ranges)
    return torch.from_numpy(pixels)


def reading_of(run: Path, config) -> Reading:
    """How a run reads files: by its config.json. Runs that did not write it down are asked for the images they had.

    config: the run's Config, of which data, limit, seed, size and stored are used. Without the images of such an older
    run, its files are read at twice the size that the network sees, and deep ones in the range of their kind.
    """
    if found := reading_in(Path(run)):
        return found
    folder = Path(config.data)
    listed = look_through(folder).used if os.path.isdir(folder) else []
    if not listed:
        return Reading(config.stored or 2 * config.size)
    side = config.stored or stored_side(drawn(listed, config.limit, config.seed), config.size)
    return Reading(side, deep.ranges_of(deep.survey(listed, deep_values)))
