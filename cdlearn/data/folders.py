"""A folder of images of any kind and size -> uint8 pixels, decoded in parallel, once."""

import hashlib
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from cdlearn.data.imageset import ImageSet
from cdlearn.runtime.errors import UserError

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
Image.MAX_IMAGE_PIXELS = 2**30  # a folder of one's own holds large pictures, not attacks
THREADS_PAY = 2e-4  # seconds to decode a file: below, the interpreter is busy for most of it, and threads only queue
IN_MEMORY = 256 * 2**20  # bytes of pixels up to which a folder is decoded into memory and not kept on disk


def draw(n: int, limit: int, seed: int) -> Tensor:
    """``limit`` of the numbers 0..n-1, drawn with ``seed``, in rising order."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:limit].sort().values


def find_images(folder: Path, only: list[str] | None = None) -> list[Path]:
    """Every image file below ``folder`` (or below its sub-folders ``only``), sorted; hidden ones left out."""
    tops = [folder / name for name in only] if only else [folder]
    files = []
    for top in tops:
        if not top.is_dir():
            raise UserError(f"{top} is missing; put the images there")
        seen = set()  # links are followed, but no folder twice
        for where, folders, names in os.walk(top, followlinks=True):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            if os.path.realpath(where) in seen:
                folders[:], names = [], []
            seen.add(os.path.realpath(where))
            files += [
                Path(where, name)
                for name in names
                if not name.startswith(".") and os.path.splitext(name)[1].lower() in ENDINGS
            ]
    if not files:
        raise UserError(f"no image in {folder}; the endings looked for are {' '.join(sorted(ENDINGS))}")
    return sorted(files)


def decode(path: Path, size: int) -> np.ndarray:
    """A file -> uint8 (3, size, size) RGB: shorter side resized, centre cropped, turned upright, laid on white.

    Raises:
        UserError: naming the file, where it cannot be read.
    """
    try:
        with Image.open(path) as image:
            image.draft("RGB", (size, size))  # lets JPEG decode at a half, quarter or eighth where that is enough
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith(("I", "F")):
                image = from_deep(image)
            elif "A" in image.mode or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
    except Exception as error:  # Pillow raises half a dozen kinds, from SyntaxError to struct.error, for damaged files
        reason = (str(error) or type(error).__name__).splitlines()[0].replace(str(path), "the file")
        raise UserError(f"cannot read {path} ({reason}); mend or remove it, or pass --skip-bad") from error
    return np.asarray(image).transpose(2, 0, 1)


def from_deep(image: Image.Image) -> Image.Image:
    """A 16-bit, 32-bit or float grey image -> 8 bits: 16 bits by their range, the others by their largest value."""
    values = np.asarray(image, dtype=np.float64)
    top = 65535 if image.mode.startswith("I;16") or 255 < values.max() <= 65535 else max(values.max(), 1.0)
    return Image.fromarray((values.clip(0) * (255 / top)).round().clip(0, 255).astype(np.uint8))


def decode_all(files: list[Path], out: np.ndarray, skip_bad: bool, progress: bool) -> list[int]:
    """Decode ``files`` into the rows of ``out``; returns the numbers of those that could be read, packed to the front.

    The first few one after the other, the others by threads if that pays: Pillow lets go of the interpreter while it
    decodes and resizes, but not while it reads a header, which is most of the work for small images.
    """

    def one(path):
        try:
            return decode(path, out.shape[-1])
        except UserError:
            if not skip_bad:
                raise
            return None

    good: list[int] = []
    start, spread = 0, map
    Image.preinit()  # its parts are imported now, so as not to count as the first file's time
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = tqdm(total=len(files), desc="decoding", unit="image", disable=not progress, leave=False)
        while start < len(files):
            part = files[start : start + (1024 if start else 32)]  # bounded: memory does not grow with the folder
            began = time.perf_counter()
            for number, pixels in enumerate(spread(one, part), start):
                if pixels is not None:
                    out[len(good)] = pixels
                    good.append(number)
                bar.update()
            if start == 0 and time.perf_counter() - began > THREADS_PAY * len(part):
                spread = pool.map
            start += len(part)
        bar.close()
    return good


def cache_key(files: list[Path], size: int) -> str:
    """Changes whenever a file is added, removed, renamed, resized or rewritten, or another size is asked for."""
    digest = hashlib.sha256(f"1 {size}\n".encode())
    for path in files:
        stat = path.stat() if path.exists() else None  # a dangling link: decode will name it
        digest.update(f"{path.resolve()} {stat and (stat.st_size, stat.st_mtime_ns)}\n".encode())
    return digest.hexdigest()[:16]


def decoded(files: list[Path], size: int, skip_bad: bool, root: Path, progress: bool) -> tuple[Tensor, list[int]]:
    """Pixels uint8 (N, 3, size, size) of the readable files and their numbers.

    Small folders go to memory. Larger ones are decoded once into ``root/decoded/KEY.npy``, written under another name
    and then renamed, so that a half-written one is never read, and are memory-mapped from there.
    """
    shape = (len(files), 3, size, size)
    if np.prod(shape) <= IN_MEMORY:
        pixels = np.empty(shape, np.uint8)
        good = decode_all(files, pixels, skip_bad, progress)
        return torch.from_numpy(pixels[: len(good)]), good
    cache = root / "decoded" / f"{cache_key(files, size)}.npy"
    kept = cache.with_suffix(".kept.npy")
    if not (cache.exists() and kept.exists()):
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache.parent) as work:
                part = Path(work, "pixels.npy")
                pixels = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
                if hasattr(os, "posix_fallocate"):  # claim the space now: a full disk under a mapping would kill us
                    with part.open("r+b") as file:
                        os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
                good = decode_all(files, pixels, skip_bad, progress)
                pixels.flush()
                np.save(Path(work, "kept.npy"), np.array(good))
                os.replace(Path(work, "kept.npy"), kept)
                os.replace(part, cache)
        except OSError as error:
            raise UserError(f"cannot write {cache} ({error.strerror}); free some space or move data/") from error
    good = np.load(kept).tolist()
    if len(good) < len(files) and not skip_bad:
        bad = files[min(set(range(len(files))) - set(good))]
        raise UserError(f"cannot read {bad}; mend or remove it, or pass --skip-bad")
    # copy-on-write: torch wants memory it may write to, the file stays as it is
    return torch.from_numpy(np.lib.format.open_memmap(cache, "c")[: len(good)]), good


def stored_side(files: list[Path], size: int) -> int:
    """x"""
    sides = []
    for path in files[:: -(-len(files) // 256)]:
        try:
            with Image.open(path) as image:
                sides.append(min(image.size))
        except Exception:
            continue
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
):
    """See :func:`cdlearn.data.load`."""
    files = find_images(folder, only)
    if limit is not None and limit < len(files):
        files = [files[i] for i in draw(len(files), limit, seed).tolist()]
    pixels, good = decoded(files, stored or stored_side(files, size), skip_bad, root, progress)
    if len(good) < len(files):
        print(f"skipped {len(files) - len(good)} of {len(files)} files that cannot be read")
    if not good:
        raise UserError(f"none of the {len(files)} images in {folder} can be read")
    tops = [files[i].relative_to(folder).parts for i in good]
    classes = tuple(sorted({parts[0] for parts in tops}))
    if any(len(parts) == 1 for parts in tops) or len(classes) < 2:
        return ImageSet(pixels)
    number = {name: i for i, name in enumerate(classes)}
    return ImageSet(pixels, torch.tensor([number[parts[0]] for parts in tops]), classes)
