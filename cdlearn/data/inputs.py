"""Whatever holds images or paths -> blocks of uint8 pixels, in order: what ``cdlearn.load(RUN).transform`` accepts."""

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from torch import Tensor

from cdlearn.data import load
from cdlearn.data.decoding import decode
from cdlearn.data.imageset import ImageSet
from cdlearn.data.reading import Reading
from cdlearn.runtime.errors import UserError, shortened

BLOCK = 512  # images that are decoded before the network sees them, so memory does not grow with their number
FILES = (str, os.PathLike, bytes, bytearray, memoryview, io.IOBase, Image.Image)  # each is one image
KINDS = (
    "a folder, the name of a data set, one file or several (paths, bytes or PIL images, in a list, an array, a Series "
    "or a generator), an ImageSet, or pixels (N, H, W, 3) or (N, 3, H, W)"
)


def blocks(images: object, size: int, reading: Reading, stored: int = 0) -> Iterator[Tensor]:
    """The images as blocks uint8 (n, 3, H, W) of equal size, in order. Nothing is read before it is needed.

    Args:
        images: see KINDS, or anything that yields such, with labels or without: a DataLoader, a Dataset.
        size: side in pixels of what the network sees; for data sets that have a name.
        reading: how the run reads files. It decides alone, so an image gives the same pixels in any company.
        stored: as in :func:`cdlearn.data.load`; for data sets that have a name.

    Raises:
        UserError: naming the folder, file or image at fault, or the kind of thing that holds no images.
    """
    if isinstance(images, (str, os.PathLike)) and not os.path.isfile(os.path.expanduser(images)):
        images = load(os.path.expanduser(os.fspath(images)), size, stored=stored, reading=reading)
    if isinstance(images, ImageSet):
        images = images.images
    count = 0
    for block in gathered(singles(images, reading), reading):
        count += len(block)
        yield block
    if not count:
        raise UserError(f"there are no images in this {type(images).__name__}; pass {KINDS}")


def gathered(found: Iterable[Tensor], reading: Reading) -> Iterator[Tensor]:
    """Tensors (n, 3, H, W) in order, joined to blocks of one size."""
    waiting: list[Tensor] = []
    for part in found:
        if waiting and (waiting[0].shape[1:] != part.shape[1:] or sum(map(len, waiting)) >= BLOCK):
            yield torch.cat(waiting)
            waiting = []
        if len(part) >= BLOCK:  # whole arrays are not copied
            yield part
        elif len(part):
            waiting.append(part)
    if waiting:
        yield torch.cat(waiting)


def singles(images: object, reading: Reading, place: str = "") -> Iterator[Tensor]:
    """uint8 (n, 3, H, W) of every item of ``images``, whatever it is; ``place`` names it in a message."""
    if isinstance(images, FILES):
        yield torch.tensor(one_file(images, reading, place))[None]
    elif isinstance(images, ImageSet):
        yield images.images
    elif isinstance(images, Tensor):
        yield pixels(images, place)
    elif isinstance(images, np.ndarray) and images.dtype.kind not in "OUS":
        if images.dtype.kind not in "biuf":
            raise refused(images, place)
        yield pixels(torch.from_numpy(as_torch_has_it(images)), place)
    elif isinstance(images, pd.DataFrame) or (isinstance(images, np.ndarray) and images.ndim != 1):
        table = np.asarray(images, dtype=object)
        if table.ndim > 2 or (table.ndim == 2 and table.shape[1] != 1):
            raise UserError(f"{place or 'the table'} has shape {table.shape}; pass the one column that holds the files")
        yield from items(table.reshape(-1), reading, place)
    elif isinstance(images, (Mapping, Set)) or not (hasattr(images, "__iter__") or hasattr(images, "__getitem__")):
        raise refused(images, place)
    else:
        yield from items(images, reading, place)


def items(images: Any, reading: Reading, place: str) -> Iterator[Tensor]:
    """:func:`singles` of each item; those of a pair (image, label) or (batch, labels) without the labels."""
    if place.count(" of ") > 1:  # a list in a list in a list
        raise refused(images, place)
    try:
        walk = iter(images)
    except TypeError:
        raise refused(images, place) from None
    for number, item in enumerate(walk):
        if isinstance(item, (tuple, list)) and len(item) > 1 and has_labels(item):
            item = item[0]
        if isinstance(item, (Tensor, np.ndarray)) and is_one(item):
            item = item[None]
        yield from singles(item, reading, f"image {number}" + (f" of {place}" if place else ""))


def has_labels(item: tuple | list) -> bool:
    """Whether an item is an image or a batch and its labels: nothing after the first holds images."""
    first, rest = item[0], item[1:]

    def is_image(of: object) -> bool:
        if isinstance(of, FILES) and isinstance(first, FILES):  # two paths are two images, a picture and a word are not
            return isinstance(of, (str, os.PathLike)) == isinstance(first, (str, os.PathLike))
        return isinstance(of, (list, tuple, Image.Image)) or getattr(of, "ndim", 0) > 1

    return not any(map(is_image, rest))


def is_one(pixels: Tensor | np.ndarray) -> bool:
    """Whether an array among others is one image and not a batch: (H, W), (H, W, C) or (C, H, W) of numbers."""
    return 1 < pixels.ndim < 4 and (isinstance(pixels, Tensor) or pixels.dtype.kind in "biuf")


def one_file(image: Any, reading: Reading, place: str) -> np.ndarray:
    """One path, PIL image, open file or encoded bytes -> uint8 (3, S, S), as the run reads files."""
    if isinstance(image, (str, os.PathLike)):
        return decode(Path(os.path.expanduser(os.fsdecode(image))), reading.side, reading.ranges)
    if isinstance(image, (bytes, bytearray, memoryview)) and len(image) < 4096 and os.path.isfile(bytes(image)):
        return decode(Path(os.fsdecode(bytes(image))), reading.side, reading.ranges)  # a path, as os.listdir(b".") has
    if isinstance(image, Image.Image):
        image = encoded(image, place)
    content = image.read() if isinstance(image, io.IOBase) else bytes(image)
    if not isinstance(content, bytes):
        raise UserError(f"{place or 'the file'} was opened as text; open it in binary mode, or pass its path")
    try:
        return decode(io.BytesIO(content), reading.side, reading.ranges)
    except UserError as error:
        reason = str(error).partition("(")[2].rpartition(")")[0] or str(error)
        raise UserError(f"cannot read {place or 'the image'} ({reason})") from error


def encoded(image: Image.Image, place: str) -> bytes:
    """A PIL image as the bytes of a file that holds the same, so that it is read like any file."""
    try:
        image = ImageOps.exif_transpose(image)
        deep = image.mode.startswith(("I", "F"))
        if not deep and image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
            image = image.convert("RGBA" if image.mode in ("PA", "La", "RGBa") else "RGB")
        buffer = io.BytesIO()
        image.save(buffer, "TIFF") if deep else image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    except Exception as error:  # a file that was closed, or is damaged: each raises its own kind
        raise UserError(f"cannot read {place or 'the image'} ({str(error).splitlines()[0]})") from error


def as_torch_has_it(values: np.ndarray) -> np.ndarray:
    """An array that torch can take: in this machine's byte order, writable, no negative strides, of a known type."""
    kind = values.dtype.newbyteorder("=")
    if kind.kind == "u" and kind.itemsize > 1:
        kind = np.dtype(np.int64)
    elif kind.itemsize > 8:  # more digits than torch has
        kind = np.dtype(np.float64)
    ready = values.dtype == kind and values.flags.writeable and min(values.strides, default=0) >= 0
    return values if ready else np.array(values, dtype=kind)


def pixels(found: Tensor, place: str = "") -> Tensor:
    """Numbers as pixels: uint8 (N, 3, H, W).

    found: (N, H, W, 3) or (N, 3, H, W), grey with one channel or none, or one image (H, W, 3) or (3, H, W). uint8,
    other whole numbers from 0 to 255, or floats from 0 to 1 (as torchvision's ToTensor gives them).
    """
    given, found = found, found.detach().cpu()
    one = found.ndim == 3 and 3 in (found.shape[0], found.shape[2])
    if one:
        found = found[None]
    elif found.ndim == 3:
        found = found[:, None]
    if found.ndim == 4 and found.shape[1] not in (1, 3) and found.shape[3] in (1, 3):
        found = found.permute(0, 3, 1, 2)
    if found.ndim != 4 or found.shape[1] not in (1, 3) or 0 in found.shape[1:]:
        what = "; lay transparent images on a ground first" if found.ndim == 4 and 4 in found.shape[1:] else ""
        raise shape_refused(given, place, what)
    return in_8_bits(found, given, place).expand(-1, 3, -1, -1)


def in_8_bits(found: Tensor, given: Tensor, place: str) -> Tensor:
    """uint8 of the same shape. Raises UserError for numbers that are no pixels."""
    if found.dtype == torch.uint8 or not len(found):
        return found.to(torch.uint8)
    if found.is_complex():
        raise shape_refused(given, place)
    top = 1 if found.is_floating_point() or found.dtype == torch.bool else 255
    low, high = float(found.min()), float(found.max())
    if not (low >= 0 and high <= top):
        needed = "from 0 to 1, or uint8" if top == 1 else "from 0 to 255"
        raise UserError(f"{place or 'pixels'} of {given.dtype} go from {low:g} to {high:g}; they should be {needed}")
    return (found.double() * 255).round().to(torch.uint8) if top == 1 else found.to(torch.uint8)


def shape_refused(found: Tensor, place: str, fix: str = "") -> UserError:
    shape = f"{found.dtype} {tuple(found.shape)}"
    return UserError(f"{place or 'pixels'}: got {shape}; pixels are (N, H, W, 3) or (N, 3, H, W){fix}")


def refused(images: object, place: str) -> UserError:
    """One line about something that holds no images."""
    what = shortened(repr(images).splitlines()[0]) if not hasattr(images, "__len__") else f"a {type(images).__name__}"
    return UserError(f"{place or 'this'} is {what}, not an image; pass {KINDS}")
