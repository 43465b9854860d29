"""Images of more than 8 bits a colour: their values, and one range of brightness for all images of a folder.

Cameras, microscopes and scanners write 10, 12 or 14 bits into files of 16, or float and signed numbers. With a range
for each image, equal brightness would differ from image to image. So black and white are set once for a folder, for
each kind of numbers, over all its images. A run keeps them, and reads all later images by them.
"""

import contextlib
import io
import logging
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

try:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its warnings about metadata name no file
except ImportError:  # then Pillow reads what it can of TIFF
    tifffile = None  # type: ignore[assignment]  # typed as a module

DEPTHS = (8, 10, 12, 14, 16)  # bits of unsigned numbers: white is the largest of the first of these that holds all
ROBUST = (0.1, 99.9)  # percentiles of all values that are black and white in float and signed images
SAMPLED = 2**24  # values of a folder that the percentiles are of, evenly from each image
UNKNOWN = {"unsigned": (0.0, 65535.0), "signed": (-32768.0, 32767.0), "float": (0.0, 1.0)}  # where a run saw none
Ranges = dict[str, tuple[float, float]]  # kind of numbers -> the values of black and of white


class Unreadable(ValueError):
    """Values that stand for no brightness."""


@dataclass(frozen=True)
class Values:
    """The numbers in an image file: (H, W) or (H, W, C), C up to 4. inverted: the smallest is white."""

    numbers: np.ndarray
    inverted: bool = False

    @property
    def kind(self) -> str:
        return {"u": "unsigned", "b": "unsigned", "i": "signed"}.get(self.numbers.dtype.kind, "float")


def may_be_deep(head: bytes) -> bool:
    """Whether a file that begins with these bytes (32 or more) can be deep: to open all others would take long."""
    if head.startswith(b"\x89PNG"):
        return head[24:25] == b"\x10"
    return head[:2] in (b"II", b"MM", b"P2", b"P3", b"P5", b"P6", b"PF", b"Pf") or head[4:8] == b"jP  "


def values_of(image: Any, content) -> Values | None:
    """The numbers of an opened image with more than 8 bits or with signs, as they are in the file; None for others.

    Args:
        image: a PIL.Image as Pillow opened it, or None where it could not, which happens to TIFF alone.
        content: the path of the file, or its bytes in a BytesIO.
    """
    kind = image.format if image is not None else "TIFF"
    if kind == "PNG" and "16" in str(image.tile[0][3] if image.tile else "") and not image.mode.startswith("I"):
        return Values(grey_with_opacity(content) if "LA" in str(image.tile[0][3]) else both_bytes(content))
    if kind == "PPM" and image.mode in ("I", "RGB"):
        return pnm(content)
    if kind == "TIFF":
        return tiff(image, content)
    if image.mode.startswith(("I", "F")):
        return Values(np.array(image))
    return None


def whole(content) -> bytes:
    """All bytes of a path or a BytesIO."""
    return content.getvalue() if isinstance(content, io.BytesIO) else Path(content).read_bytes()


def again(content) -> Image.Image:
    """The image opened anew."""
    return Image.open(io.BytesIO(content.getvalue()) if isinstance(content, io.BytesIO) else content)


def both_bytes(content) -> np.ndarray:
    """16-bit colour, of which Pillow keeps the upper byte: (H, W, 3 or 4) uint16, by decoding the lower byte, too.

    Raises:
        ValueError: where the file is packed in another way.
    """
    planes = []
    for swapped in (False, True):
        with again(content) as image:
            if len({tile.args if isinstance(tile.args, str) else tile.args[0] for tile in image.tile}) != 1:
                raise ValueError("colours one after the other")
            (of, *_), little = image.tile, sys.byteorder == "little"
            order = of.args if isinstance(of.args, str) else of.args[0]
            if order not in [f"{mode};16{end}" for mode in ("RGB", "RGBA") for end in "BLN"]:
                raise ValueError(f"colours written as {order}")
            big = order[-1] == "B" or (order[-1] == "N" and not little)
            if swapped:  # what is taken for the upper byte is then the lower one
                other = order[:-1] + ("L" if big else "B")
                image.tile = [
                    tile._replace(args=other if isinstance(tile.args, str) else (other, *tile.args[1:]))
                    for tile in image.tile
                ]
            planes.append(np.array(image))
    return planes[0].astype(np.uint16) << 8 | planes[1]


def grey_with_opacity(content) -> np.ndarray:
    """A PNG of two numbers of 16 bits a pixel, (H, W, 2) uint16: to the decoder, four of 8 bits."""
    with again(content) as image:
        image._mode, image.tile = "RGBA", [tile._replace(args="RGBA") for tile in image.tile]
        return np.ascontiguousarray(np.array(image)).view(">u2").astype(np.uint16)


def pnm(content) -> Values | None:
    """The numbers of a PGM or PPM of more than 8 bits; Pillow scales each by its own maximum."""
    data = whole(content)
    head = re.match(rb"P([2356])" + rb"(?:\s|#[^\n]*\n)+(\d+)" * 3 + rb"\s", data)
    if not head or int(head[4]) <= 255:
        return None
    width, height, channels = int(head[2]), int(head[3]), 3 if head[1] in b"36" else 1
    if head[1] in b"23":
        numbers = np.array(re.sub(rb"#[^\n]*", b"", data[head.end() :]).split(), dtype=np.uint16)
    else:
        numbers = np.frombuffer(data, ">u2", width * height * channels, head.end())  # raises for too few
    numbers = numbers[: width * height * channels].astype(np.uint16)
    return Values(numbers.reshape((height, width, channels) if channels > 1 else (height, width)))


def tiff(image: Any, content) -> Values | None:
    """The numbers of a TIFF: by Pillow, which reads more compressions, or by tifffile, which reads more dtypes."""
    tags = {} if image is None else image.tag_v2
    signs = {int(sign) for sign in np.atleast_1d(tags.get(339, 1))}
    if image is not None and max(np.atleast_1d(tags.get(258, 1))) <= 8 and signs <= {1, 4}:
        return None
    inverted = tags.get(262) == 0
    if image is not None and image.mode.startswith(("I", "F")):
        numbers = np.array(image)
        if numbers.dtype == np.int32 and signs <= {1, 4}:
            numbers = numbers.view(np.uint32)
        return Values(numbers, inverted)
    if image is not None and image.mode in ("RGB", "RGBA") and tags.get(284, 1) == 1 and not inverted:
        with contextlib.suppress(Exception):
            return Values(both_bytes(content))
    if tifffile is None:
        raise ValueError("pip install tifffile to read it")
    file = content if isinstance(content, io.BytesIO) else str(content)
    with tifffile.TiffFile(file) as opened:
        page = opened.pages.first
        numbers, axes, colours = page.asarray(), page.axes, int(page.photometric)
    if axes.startswith("S") and numbers.ndim == 3:  # colours one after the other
        numbers = np.moveaxis(numbers, 0, -1)
    if colours > 2 or numbers.ndim not in (2, 3) or (numbers.ndim == 3 and numbers.shape[2] > 4):
        raise Unreadable(f"a TIFF of shape {numbers.shape} that is neither grey nor RGB; save it as grey or RGB")
    return Values(numbers, colours == 0)


def to_image(values: Values, ranges: Ranges) -> Image.Image:
    """Values -> an 8-bit image, L, LA, RGB or RGBA, black and white by ``ranges``.

    Raises:
        Unreadable: for NaN or infinity, which no brightness could stand for.
    """
    numbers = np.array(values.numbers, dtype=np.float64)
    if not np.isfinite([numbers.max(), numbers.min()]).all():
        raise Unreadable("it holds NaN or infinity")
    kind, channels = values.kind, numbers.shape[2] if numbers.ndim == 3 else 1
    # signed numbers that are nowhere negative in the folder have the range of the unsigned, see ``ranged``
    black, white = ranges.get(kind) or (ranges.get("unsigned") if kind == "signed" else None) or UNKNOWN[kind]
    opaque = numbers[..., -1:] * (255 / (np.iinfo(values.numbers.dtype).max if kind != "float" else 1))
    numbers -= black
    numbers.clip(0, out=numbers)
    numbers *= 255 / (white - black)
    if values.inverted:
        np.subtract(255, numbers, out=numbers)
    if channels in (2, 4):
        numbers[..., -1:] = opaque
    pixels = numbers.round(out=numbers).clip(0, 255, out=numbers).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 and pixels.ndim == 3 else pixels)


@dataclass(frozen=True)
class Deep:
    """The deep images of one kind in a folder: how many, their least and largest value, and their range."""

    files: int
    least: float
    largest: float
    black: float
    white: float

    def line(self, kind: str) -> str:
        """For the run's output and the report."""
        numbers = {"unsigned": "more than 8 bits", "signed": "signed numbers", "float": "float numbers"}[kind]
        few = f"{self.files:,} images hold" if self.files > 1 else "1 image holds"
        how = "" if kind == "unsigned" else f", the percentiles {ROBUST[0]:g} and {ROBUST[1]:g} of all"
        return (
            f"{few} {numbers} ({self.least:,.6g} to {self.largest:,.6g}): black is {self.black:,.6g} and white "
            f"{self.white:,.6g} in every one{how}"
        )


def survey(files: list[Path], read) -> dict[str, Deep]:
    """What is deep among ``files``, by kind; {} where nothing is. Files that cannot be read are passed over.

    read: path -> Values, or None for an image of 8 bits (see cdlearn.data.decoding.deep_values).
    """

    def begins(path: Path) -> bool:
        try:
            with path.open("rb") as file:
                return may_be_deep(file.read(32))
        except OSError:  # decode will name it
            return False

    def one(path: Path):
        try:
            values = read(path)
        except Exception:
            return None
        if values is None:
            return None
        numbers = (
            values.numbers if values.numbers.ndim == 2 or values.numbers.shape[2] % 2 else values.numbers[..., :-1]
        )
        numbers = numbers[np.isfinite(numbers)] if values.kind == "float" else numbers.ravel()
        if not numbers.size:
            return None
        sample = numbers[:: -(-numbers.size // fraction)] if values.kind != "unsigned" else numbers[:0]
        return values.kind, float(numbers.min()), float(numbers.max()), sample.astype(np.float64)

    regular = [path for path in files if path.is_file() and begins(path)]
    fraction = max(64, SAMPLED // max(1, len(regular)))
    with ThreadPoolExecutor() as pool:
        seen = [found for found in pool.map(one, regular) if found]
    return ranged(seen)


def ranged(seen: list[tuple[str, float, float, np.ndarray]]) -> dict[str, Deep]:
    """(kind, least, largest, some values) of each image -> the range of each kind."""
    if not any(kind == "signed" and least < 0 for kind, least, *_ in seen):  # a whole number of 32 bits, as a rule
        seen = [("unsigned" if kind == "signed" else kind, low, high, some) for kind, low, high, some in seen]
    made = {}
    for kind in sorted({kind for kind, *_ in seen}):
        of = [found[1:] for found in seen if found[0] == kind]
        least, largest = min(low for low, *_ in of), max(high for _, high, _ in of)
        if kind == "unsigned":
            bits = next((bits for bits in DEPTHS if largest < 2**bits), None)
            black, white = 0.0, float(2**bits - 1) if bits else largest
        else:
            black, white = (float(value) for value in np.percentile(np.concatenate([some for *_, some in of]), ROBUST))
            if white <= black:
                black, white = least, max(largest, least + 1)
        made[kind] = Deep(len(of), least, largest, black, white)
    return made


def ranges_of(found: dict[str, Deep]) -> Ranges:
    """The ranges alone, which decoding needs."""
    return {kind: (of.black, of.white) for kind, of in found.items()}


def as_dict(found: dict[str, Deep]) -> dict:
    """For JSON; ``from_dict`` is the reverse."""
    return {kind: asdict(of) for kind, of in found.items()}


def from_dict(saved: dict) -> dict[str, Deep]:
    """Raises ValueError or TypeError for what :func:`as_dict` did not make."""
    return {kind: Deep(**of) for kind, of in saved.items()}
