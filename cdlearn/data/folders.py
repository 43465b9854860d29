"""A folder of images of any kind and size -> an ImageSet, and what became of every file in it."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cdlearn.data.cache import cache_key, decoded  # noqa: F401
from cdlearn.data.decoding import ENDINGS, MENDS, decode, shorter_side  # noqa: F401
from cdlearn.data.imageset import ImageSet
from cdlearn.runtime.errors import UserError

SAMPLED = 256  # images whose headers are read to choose the side at which all are kept


def draw(n: int, limit: int, seed: int) -> Tensor:
    """``limit`` of the numbers 0..n-1, drawn with ``seed``, in rising order."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:limit].sort().values


@dataclass
class Listing:
    """The files below a folder, hidden ones and hidden folders left out.

    used: files with the ending of an image, sorted; whether they can be read shows when they are decoded.
    ignored: ending ("" for none) -> how many files of other kinds.
    repeated: links to files and folders that are reached without them, and what they lead to.
    unreadable: folders that could not be looked into, and why.
    """

    used: list[Path] = field(default_factory=list)
    ignored: Counter = field(default_factory=Counter)
    repeated: list[tuple[Path, Path]] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)

    def remarks(self) -> list[str]:
        """A line for each kind of thing that is not used."""
        lines = []
        if self.ignored:
            kinds = [f"{count:,} {ending or 'without an ending'}" for ending, count in self.ignored.most_common()]
            kinds = kinds[:6] + [f"{len(kinds) - 6} other kinds"] * (len(kinds) > 6)
            mends = sorted({f"pip install {MENDS[ending]}" for ending in self.ignored if ending in MENDS})
            mend = f" (to read them: {', '.join(mends)})" if mends else ""
            lines.append(f"ignored {files(self.ignored.total())}: {', '.join(kinds)}{mend}")
        for what, found in (("links to what is there already", self.repeated), ("folders", self.unreadable)):
            if found:
                cannot = " that cannot be read" if found is self.unreadable else ""
                more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
                lines.append(f"left out {what}{cannot}: {found[0][0]}{more}")
        return lines


def files(count: int) -> str:
    """'1 file', '2 files'."""
    return f"{count:,} file{'' if count == 1 else 's'}"


def look_through(folder: Path, only: list[str] | None = None) -> Listing:
    """What lies below ``folder`` (or below its sub-folders ``only``).

    Links are followed when all that lies there by itself is known, so an image belongs to the folder that it lies in
    and not to one that holds a link to it; and nothing is entered or used twice.

    Raises:
        UserError: where ``folder`` or one of ``only`` is missing.
    """
    found = Listing()
    waiting = [folder / name for name in only] if only else [folder]
    for top in waiting:
        if not top.is_dir():
            raise UserError(f"{top} is missing; put the images there")
    entered: dict[str, Path] = {}  # true path of a folder -> where it was entered
    folder_links: list[Path] = []
    file_links: list[Path] = []
    while waiting or folder_links:
        if not waiting:
            folder_links.sort(reverse=True)
            waiting.append(folder_links.pop())
        where = waiting.pop()
        true = os.path.realpath(where)
        if true in entered:
            found.repeated.append((where, entered[true]))
            continue
        entered[true] = where
        try:
            with os.scandir(where) as entries:
                inside = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            found.unreadable.append((where, error.strerror))
            continue
        for entry in inside:
            path = Path(entry.path)
            if os.path.isdir(path) if entry.is_symlink() else entry.is_dir():
                (folder_links if entry.is_symlink() else waiting).append(path)
            elif path.suffix.lower() not in ENDINGS:
                found.ignored[path.suffix.lower()] += 1
            else:
                (file_links if entry.is_symlink() else found.used).append(path)
    linked: dict[str, Path] = {}
    for path in sorted(file_links):
        true = os.path.realpath(path)
        home, name = os.path.split(true)
        there = home in entered and os.path.isfile(true) and name[0] != "." and Path(name).suffix.lower() in ENDINGS
        first = entered[home] / name if there else linked.setdefault(true, path)
        if first == path:
            found.used.append(path)
        else:
            found.repeated.append((path, first))
    found.used.sort()
    return found


def find_images(folder: Path, only: list[str] | None = None, skip_bad: bool = False) -> list[Path]:
    """Every image file below ``folder``, sorted; prints a line for each kind of file that is left out.

    Raises:
        UserError: where there is none, or a folder cannot be looked into and ``skip_bad`` does not allow for it.
    """
    found = look_through(folder, only)
    if found.unreadable and not skip_bad:
        path, reason = found.unreadable[0]
        raise UserError(f"cannot look into {path} ({reason}); change its rights, or pass --skip-bad to leave it out")
    remarks = found.remarks()
    if not found.used:
        also = f" ({'; '.join(remarks)})" if remarks else ""
        raise UserError(f"no image in {folder}{also}; the endings looked for are {' '.join(sorted(ENDINGS))}")
    for line in remarks:
        print(line)
    return found.used


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
) -> ImageSet:
    """See :func:`cdlearn.data.load`."""
    paths = find_images(folder, only, skip_bad)
    if limit is not None and limit < len(paths):
        paths = [paths[i] for i in draw(len(paths), limit, seed).tolist()]
    pixels, good = decoded(paths, stored or stored_side(paths, size), skip_bad, root, progress)
    if len(good) < len(paths):
        print(f"skipped {len(paths) - len(good)} of {len(paths)} files that cannot be read")
    if not good:
        raise UserError(f"none of the {len(paths)} images in {folder} can be read")
    return ImageSet(pixels, *classes_of([paths[i] for i in good], folder))


def classes_of(paths: list[Path], folder: Path) -> tuple[Tensor | None, tuple[str, ...]]:
    """Labels (N,) and the classes' names: the first level of sub-folders, where all files lie in one of several.

    (None, ()) where they do not: then nobody sorted the images.
    """
    tops = [path.relative_to(folder).parts for path in paths]
    classes = tuple(sorted({parts[0] for parts in tops}))
    if any(len(parts) == 1 for parts in tops) or len(classes) < 2:
        return None, ()
    number = {name: i for i, name in enumerate(classes)}
    return torch.tensor([number[parts[0]] for parts in tops]), classes
