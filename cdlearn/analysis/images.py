"""The images of a report: from a folder, with its ledger, or from a named data set."""

import contextlib
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from torch import Tensor

from cdlearn.augment import luma
from cdlearn.config import Config
from cdlearn.data import decoding, file_audit, folder_named, folders, load
from cdlearn.data.labels import labelled
from cdlearn.data.reading import Reading
from cdlearn.runtime.errors import UserError

ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and the values that swap width and height


@dataclass(frozen=True)
class Source:
    """N images and where they came from.

    title: the name of the folder or the data set; names: N texts; images: uint8 (N, 3, S, S), at the side at which they
    are kept; size: the side of what the network sees, 0 where features are given; labels: (N,) or None; key: changes
    with any of the files; reading: how they were read. A named data set has no folder, files or stock.
    """

    title: str
    folder: Path | None
    names: list[str]
    files: list[Path]
    images: Tensor
    size: int
    labels: np.ndarray | None
    classes: tuple[str, ...]
    stock: file_audit.Ledger | None
    key: str
    reading: Reading

    def thumbnail(self, number: int, side: int) -> PIL.Image.Image:
        """Image ``number``, square, ``side`` px: from the original where that is sharper than what the network sees."""
        if side > self.images.shape[-1] and self.files:
            try:
                return PIL.Image.fromarray(
                    folders.decode(self.files[number], side, self.reading.ranges).transpose(1, 2, 0)
                )
            except UserError:
                pass  # gone since: better a blurred picture than none
        made = PIL.Image.fromarray(self.images[number].permute(1, 2, 0).numpy())
        return made if made.size == (side, side) else made.resize((side, side), PIL.Image.Resampling.BILINEAR)

    def whole(self, number: int, side: int) -> PIL.Image.Image:
        """Image ``number`` at its own aspect ratio, the longer side of ``side`` px; square where the file is gone."""
        try:
            found = decoding.picture(self.files[number], side, self.reading.ranges)[0]
        except (IndexError, OSError, ValueError, UserError):
            return self.thumbnail(number, side)
        longer = max(found.size)
        made = tuple(max(1, round(side * length / longer)) for length in found.size)
        return found if made == found.size else found.resize(made, PIL.Image.Resampling.BILINEAR)

    def detail(self, number: int, most: int, sides: tuple[int, int]) -> np.ndarray:
        """Lightness (H, W) in 0-1 with as much detail as the original has, up to ``most`` px.

        sides: the original's, 0 where unknown. Images that are kept at their own size are not read again.
        """
        kept = self.images.shape[-1]
        if min(sides) not in (0, kept) or max(sides) > 2 * kept:
            with contextlib.suppress(OSError, ValueError, UserError):
                found = decoding.picture(self.files[number], most, self.reading.ranges)[0]
                found.thumbnail((most, most), PIL.Image.Resampling.BILINEAR)
                return np.asarray(found.convert("L"), np.float32) / 255
        return luma(self.images[number : number + 1].float() / 255)[0, 0].numpy()

    def sizes(self, bar: Callable[[list], Iterable] = iter) -> dict[str, np.ndarray]:
        """``width`` and ``height`` in px once upright, and ``bytes``, of every file, (N,) int64; 0 where unknown."""
        found = np.zeros((3, len(self.names)), np.int64)
        for number, path in enumerate(bar(self.files)):
            with contextlib.suppress(Exception):  # as many kinds as there are formats: see decoding.decode
                found[2, number] = path.stat().st_size
                with PIL.Image.open(path) as image:
                    turned = image.getexif().get(ORIENTATION, 1) in SIDEWAYS
                    found[:2, number] = image.size[::-1] if turned else image.size
        return dict(zip(("width", "height", "bytes"), found, strict=True))

    def picture(self) -> int:
        """Side in px, 64 to 256, up to which pictures gain by being made from the originals: the median original's."""
        sides = [self.images.shape[-1]]
        for path in self.files[:: max(1, len(self.files) // 64)]:
            with contextlib.suppress(OSError), PIL.Image.open(path) as image:
                sides.append(min(image.size))
        return int(np.clip(np.median(sides), 64, 256))

    def ledger(self) -> dict:
        """For the page: see ``ledger`` of cdlearn.pages.contents.Contents."""
        stock, size = self.stock, self.size
        if stock is None:
            return {"found": len(self.names), "used": len(self.names), "notes": [f"{self.title} is a named data set."]}
        folder, of = self.folder, file_audit.shown
        return {
            "found": stock.found,
            "used": len(stock.used),
            "ignored": dict(sorted(stock.ignored.items())),
            "unreadable": [(of(path, folder), reason) for path, reason in stock.unreadable],
            "repeated": [(of(path, folder), of(first, folder)) for path, first in stock.repeated],
            "notes": [
                *([f"The network sees the central square of each image, at {size} px."] if size else []),
                "Images are turned upright as their EXIF data say.",
                *stock.notes,
            ],
        }


def opened(config: Config, root: Path, progress: bool, reading: Reading | None = None) -> Source:
    """The images that a Config names, at the size that the run's network sees.

    reading: how the run reads files; None chooses by the images.

    Raises:
        UserError: where there is neither folder nor data set, or no image can be read.
    """
    data, limit, folder = config.data, config.limit, folder_named(config.data)
    if folder is None:
        images = load(data, config.size, limit, config.seed, root=root, progress=progress, stored=config.stored)
        labels = None if images.labels is None else images.labels.numpy()
        reading = Reading(images.images.shape[-1])
        key = hashlib.sha256(f"{data} {limit} {config.size} {config.seed} {len(images)}".encode()).hexdigest()[:16]
        names = [f"{data} {number:06d}" for number in range(len(images))]
        return Source(data, None, names, [], images.images, config.size, labels, images.classes, None, key, reading)
    stock = file_audit.take_stock(folder, limit, config.seed)
    files = stock.used
    read = folders.read_folder(  # as for the training, whose cache serves here, too
        folder, stock.listed, files, config.size, config.stored, True, root, progress, reading
    )
    good = set(read.good)
    stock.drop({path: why(path, folder, config.size) for number, path in enumerate(files) if number not in good})
    if not good:
        raise UserError(f"none of the {len(files)} images in {folder} can be read; {stock.unreadable[0][1]}")
    sorted_by = labelled(stock.used, folder)
    stock.notes += [f"{line[:1].upper()}{line[1:]}." for line in (sorted_by.line, *read.lines)]
    labels = None if sorted_by.labels is None else sorted_by.labels.numpy()
    names = [file_audit.shown(path, folder) for path in stock.used]
    key = folders.cache_key(stock.used, read.reading.side, read.reading.ranges)
    size, title, classes = config.size, folder.resolve().name, sorted_by.classes
    return Source(title, folder, names, stock.used, read.pixels, size, labels, classes, stock, key, read.reading)


def why(path: Path, folder: Path, size: int) -> str:
    """Why a file cannot be read, in a few words."""
    try:
        folders.decode(path, size)
    except UserError as error:
        reason = str(error).removeprefix(f"cannot read {path} (").rpartition("); ")[0]
        return reason.replace(str(path), file_audit.shown(path, folder)) or str(error)
    return "it could not be read at first"
