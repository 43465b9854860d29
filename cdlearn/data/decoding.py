"""One image file of any kind and size -> uint8 pixels."""

import contextlib
import io
import os
import stat
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cdlearn.data import deep
from cdlearn.data.bare import bare
from cdlearn.data.endings import ENDINGS, READERS  # noqa: F401
from cdlearn.runtime.errors import UserError

LARGEST = 2**27  # pixels to decode: half a gigabyte in RGB, and up to four times that while colours are converted
LARGE = 2**25  # pixels from which only one thread decodes at a time, or memory would grow with the number of threads
Image.MAX_IMAGE_PIXELS = 2**30  # of the header: a JPEG is decoded at an eighth of its sides where that is enough
NEARLY_WHITE = 32  # visible pixels this near to white on average, of 255, are laid on black where they are transparent
PAGED = {"TIFF", "GIF", "PNG", "WEBP", "AVIF", "HEIF"}  # formats that hold pages or frames, not previews or layers
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF's orientation -> what turns the image upright
_one_large = threading.Lock()
warnings.filterwarnings("ignore", module=r"PIL\.")  # Pillow's are about metadata, and name no file


@dataclass(frozen=True)
class Noted:
    """What was chosen for one image. pages: how many it has; on_black: transparent, nearly white, so laid on black;
    shallow: 16-bit colour of which 8 bits are read, because no installed package unpacks them."""

    pages: int = 1
    on_black: bool = False
    shallow: bool = False


def opened(source: Path | io.BytesIO) -> Image.Image:
    """The image in a file, its header read. Raises whatever Pillow does, and ValueError for what is no file."""
    if isinstance(source, Path) and not stat.S_ISREG(os.stat(source).st_mode):  # to open a pipe would wait for ever
        raise ValueError("not a file")
    return Image.open(source)


@contextlib.contextmanager
def opened_or_tiff(source: Path | io.BytesIO):
    """As :func:`opened`; None for a TIFF that Pillow does not know."""
    try:
        image = opened(source)
    except UnidentifiedImageError:
        if deep.whole(source)[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            raise
        yield None
        return
    with image:
        yield image


def shorter_side(path: Path) -> int | None:
    """The shorter side of an image in pixels, from its header; None where that cannot be read."""
    try:
        with opened(path) as image:
            return min(image.size)
    except Exception:  # decode will name the file
        return None


def deep_values(path: Path) -> deep.Values | None:
    """The numbers in a file with more than 8 bits; None where it has 8. Raises whatever the readers do."""
    with opened_or_tiff(path) as image:
        if image is not None and image.width * image.height > LARGEST:
            return None
        return deep.values_of(image, path)


def decode(path: Path | io.BytesIO, size: int, ranges: deep.Ranges | None = None) -> np.ndarray:
    """A file -> uint8 (3, size, size) RGB: shorter side resized, centre cropped, turned upright.

    Transparent pixels are laid on white. Where what is visible is itself nearly white, they are laid on black.

    Args:
        path: a file, or its content.
        ranges: black and white of images of more than 8 bits, those of the folder or run that the file belongs to (see
            cdlearn.data.deep). None takes this image's own, with which it cannot be compared to others.

    Raises:
        UserError: naming the file, where it cannot be read or has more than LARGEST pixels to decode.
    """
    return noted(path, size, ranges)[0]


def noted(path: Path | io.BytesIO, size: int, ranges: deep.Ranges | None = None) -> tuple[np.ndarray, Noted]:
    """As :func:`decode`, with what was chosen for this image."""
    image, notes = picture(path, size, ranges, square=True)
    return np.asarray(image).transpose(2, 0, 1), notes


def picture(
    path: Path | io.BytesIO, size: int, ranges: deep.Ranges | None = None, square: bool = False
) -> tuple[Image.Image, Noted]:
    """The whole picture in RGB, upright, of ``size`` px at least where the file has them; or its square of ``size`` px.

    See :func:`decode`. A file that fails is read again without its metadata.
    """
    try:
        try:
            return _decoded(path, size, ranges, square)
        except deep.Unreadable:
            raise
        except Exception:
            stripped = (
                bare(deep.whole(path)) if isinstance(path, io.BytesIO) or stat.S_ISREG(os.stat(path).st_mode) else None
            )
            if stripped is None:
                raise
            with contextlib.suppress(Exception):  # then the first reason is the better one
                return _decoded(io.BytesIO(stripped), size, ranges, square)
            raise
    except Exception as error:  # Pillow raises half a dozen kinds, from SyntaxError to struct.error, for damaged files
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = reason.splitlines()[0].replace(str(path), "the file")
        raise UserError(f"cannot read {path} ({reason}); fix or remove it, or pass --skip-bad") from error


def _decoded(source, size: int, ranges: deep.Ranges | None, square: bool) -> tuple[Image.Image, Noted]:
    with opened_or_tiff(source) as image:
        pixels = drafted(image, size) if image is not None else 0
        if pixels > LARGEST:
            raise ValueError(f"{pixels / 1e6:,.0f} million pixels; at most {LARGEST / 1e6:.0f} million are read")
        count = pages(image, source)
        with _one_large if pixels > LARGE else contextlib.nullcontext():
            values, shallow = numbers(image, source)  # before the EXIF data, for which a PNG is decoded
            turn = orientation(image)
            if values is not None:
                image = deep.to_image(values, own(values) if ranges is None else ranges)
            image, on_black = to_rgb(image.transpose(turn) if turn is not None else image)
            image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR) if square else image.copy()
    return image, Noted(count, on_black, shallow)


def drafted(image: Image.Image, size: int) -> int:
    """The number of pixels that will be decoded for ``size``; lets JPEG decode fewer where that is enough."""
    pixels = image.width * image.height
    image.draft("RGB", (size, size))  # at a half, quarter or eighth
    if "progressive" not in image.info:  # a progressive JPEG is kept whole while it is decoded
        pixels = image.width * image.height
    return pixels


def numbers(image: Image.Image | None, source) -> tuple[deep.Values | None, bool]:
    """The deep values of an image, or None; and whether it is deep but will be read as 8 bits."""
    try:
        return deep.values_of(image, source), False
    except deep.Unreadable:
        raise
    except Exception:
        if image is None or image.mode.startswith(("I", "F")):
            raise
        return None, True  # Pillow reads the upper 8 bits of a colour, and refuses what is damaged


def own(values: deep.Values) -> deep.Ranges:
    """The ranges of one image alone."""
    finite = values.numbers[np.isfinite(values.numbers)].astype(np.float64)
    if not finite.size:
        return {}
    return deep.ranges_of(deep.ranged([(values.kind, float(finite.min()), float(finite.max()), finite)]))


def pages(image: Image.Image | None, source) -> int:
    """How many pages or frames a file holds; 1 where that cannot be told."""
    if image is None or image.format not in PAGED:
        return 1
    try:
        if image.format not in ("TIFF", "GIF"):
            return max(1, getattr(image, "n_frames", 1))
        if isinstance(source, io.BytesIO):
            source = io.BytesIO(source.getvalue())
        with opened(source) as another:  # to count, these are leafed through, which may fail halfway
            return max(1, another.n_frames)
    except Exception:
        return 1


def orientation(image: Image.Image | None) -> Image.Transpose | None:
    """What turns an image upright, by its EXIF or XMP data; None where it is upright, or they are damaged."""
    try:
        return TURNS.get(image.getexif().get(0x0112, 0)) if image is not None else None
    except Exception:
        return None


def to_rgb(image: Image.Image) -> tuple[Image.Image, bool]:
    """In RGB, laid on white or black where it is transparent, and whether that is black. Avoids copies."""
    on_black = False
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        on_black = is_white_on_nothing(image)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black" if on_black else "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB"), on_black


def is_white_on_nothing(image: Image.Image) -> bool:
    """Whether some of an RGBA image is transparent and what is visible is nearly white, so white ground would hide it.

    By the mean, weighted by opacity, of how far the darkest of the three colours is from white.
    """
    alpha = image.getchannel("A")
    if alpha.getextrema()[0] == 255:
        return False
    small = np.asarray(image.reduce(max(1, min(image.size) // 256)), dtype=np.float64)
    weight = small[..., 3]
    if not weight.sum():
        return False
    return bool((weight * (255 - small[..., :3].min(axis=2))).sum() < NEARLY_WHITE * weight.sum())
