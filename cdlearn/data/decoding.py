"""One image file of any kind and size -> uint8 pixels."""

import contextlib
import os
import stat
import threading
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, features

from cdlearn.runtime.errors import UserError

ENDINGS = {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
MENDS = {".heic": "pillow-heif", ".heif": "pillow-heif", ".avif": "-U pillow"}  # what pip installs to read the others
if "avif" in features.modules and features.check("avif"):  # Pillow 11.3 brought it, and can be built without
    ENDINGS.add(".avif")
with contextlib.suppress(ImportError):  # phones write HEIC, which Pillow reads by a package of its own
    import pillow_heif

    pillow_heif.register_heif_opener()
    ENDINGS |= {".heic", ".heif"}

LARGEST = 2**27  # pixels to decode: half a gigabyte in RGB, and up to four times that while colours are converted
LARGE = 2**25  # pixels from which only one thread decodes at a time, or memory would grow with the number of threads
Image.MAX_IMAGE_PIXELS = 2**30  # of the header: a JPEG is decoded at an eighth of its sides where that is enough
_one_large = threading.Lock()


def opened(path: Path) -> Image.Image:
    """The image in a file, its header read. Raises whatever Pillow does, and ValueError for what is no file."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for its other end
        raise ValueError("not a file")
    return Image.open(path)


def shorter_side(path: Path) -> int | None:
    """The shorter side of an image in pixels, from its header; None where that cannot be read."""
    try:
        with opened(path) as image:
            return min(image.size)
    except Exception:  # decode will name the file
        return None


def decode(path: Path, size: int) -> np.ndarray:
    """A file -> uint8 (3, size, size) RGB: shorter side resized, centre cropped, turned upright, laid on white.

    Raises:
        UserError: naming the file, where it cannot be read or has more than LARGEST pixels to decode.
    """
    try:
        with opened(path) as image:
            pixels = image.width * image.height
            image.draft("RGB", (size, size))  # lets JPEG decode at a half, quarter or eighth where that is enough
            if "progressive" not in image.info:  # a progressive JPEG is kept whole while it is decoded
                pixels = image.width * image.height
            if pixels > LARGEST:
                raise ValueError(f"{pixels / 1e6:,.0f} million pixels; at most {LARGEST / 1e6:.0f} million are read")
            with _one_large if pixels > LARGE else contextlib.nullcontext():
                image = to_rgb(image)
                image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    except Exception as error:  # Pillow raises half a dozen kinds, from SyntaxError to struct.error, for damaged files
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = reason.splitlines()[0].replace(str(path), "the file")
        raise UserError(f"cannot read {path} ({reason}); mend or remove it, or pass --skip-bad") from error
    return np.asarray(image).transpose(2, 0, 1)


def to_rgb(image: Image.Image) -> Image.Image:
    """Upright, in RGB, laid on white where it is transparent. Large images are not copied without need."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith(("I", "F")):
        image = from_deep(image)
    elif "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def from_deep(image: Image.Image) -> Image.Image:
    """A 16-bit, 32-bit or float grey image -> 8 bits: 16 bits by their range, the others by their largest value.

    Raises:
        ValueError: for NaN or infinity, which no brightness could stand for.
    """
    values = np.array(image, dtype=np.float64)
    largest = values.max()
    if not np.isfinite([largest, values.min()]).all():
        raise ValueError("it holds NaN or infinity")
    top = 65535 if image.mode.startswith("I;16") or 255 < largest <= 65535 else max(largest, 1.0)
    values.clip(0, out=values)
    values *= 255 / top
    return Image.fromarray(values.round(out=values).clip(0, 255, out=values).astype(np.uint8))
