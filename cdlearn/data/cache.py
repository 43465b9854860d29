"""Many image files -> one tensor of pixels: in memory where they are few, else decoded once into a mapped file."""

import contextlib
import hashlib
import math
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from cdlearn.data.decoding import LARGEST, decode
from cdlearn.runtime.errors import UserError

THREADS_PAY = 2e-4  # seconds to decode a file: below, the interpreter is busy for most of it, and threads only queue
IN_MEMORY = 256 * 2**20  # bytes of pixels up to which a folder is decoded into memory and not kept on disk


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
        try:
            stat = path.stat()
        except OSError:  # a link to nowhere or to itself: decode will name it
            stat = None
        known = f"{os.path.realpath(path)} {stat and (stat.st_size, stat.st_mtime_ns)}\n"
        digest.update(known.encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def decoded(files: list[Path], size: int, skip_bad: bool, root: Path, progress: bool) -> tuple[Tensor, list[int]]:
    """Pixels uint8 (N, 3, size, size) of the readable files and their numbers.

    Small folders go to memory. Larger ones are decoded once into ``root/decoded/KEY.npy`` and memory-mapped from there.

    Raises:
        UserError: for a file that cannot be read, unless ``skip_bad``, and where the pixels would not fit the disk.
    """
    shape = (len(files), 3, size, size)
    if size * size > LARGEST:
        raise UserError(f"images of {size} x {size} pixels are too large; pass a smaller --size or --stored")
    folder = root / "decoded"
    sweep(folder)
    if math.prod(shape) <= IN_MEMORY:
        pixels = np.empty(shape, np.uint8)
        good = decode_all(files, pixels, skip_bad, progress)
        return torch.from_numpy(pixels[: len(good)]), good
    cache = folder / f"{cache_key(files, size)}.npy"
    found = read(cache, shape) or build(cache, shape, files, skip_bad, progress)
    pixels, good = found
    if len(good) < len(files) and not skip_bad:
        bad = files[min(set(range(len(files))) - set(good))]
        raise UserError(f"cannot read {bad}; mend or remove it, or pass --skip-bad")
    return torch.from_numpy(pixels[: len(good)]), good


def read(cache: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, list[int]] | None:
    """The mapped pixels of a cache, with the numbers of the files that they are of; None where it is to be built."""
    try:
        # copy-on-write: torch wants memory it may write to, the file stays as it is
        pixels, good = np.load(cache, mmap_mode="c"), np.load(kept(cache))
        if pixels.shape != shape or pixels.dtype != np.uint8 or good.ndim != 1 or good.dtype.kind != "i":
            raise ValueError("not what was written")
        if not (np.diff(good, prepend=-1, append=shape[0]) > 0).all():
            raise ValueError("not the numbers of files, each once and in order")
    except FileNotFoundError:
        return None
    except Exception:  # truncated, empty, another header: numpy raises half a dozen kinds
        print(f"{cache} is damaged; the images are decoded again")
        return None
    return pixels, good.tolist()


def build(cache: Path, shape: tuple[int, ...], files: list[Path], skip_bad: bool, progress: bool):
    """Decode into ``cache`` and read it. It is written as KEY.part/… and renamed, so a half-written one is never read.

    One process builds at a time: decoding takes all cores anyhow, and another that wants the same images finds them.
    """
    part = cache.with_suffix(".part")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with building(cache.parent):
            found = read(cache, shape)  # by the process that was waited for
            if found:
                return found
            shutil.rmtree(part, ignore_errors=True)
            check_room(cache.parent, shape)
            part.mkdir()
            try:
                pixels = np.lib.format.open_memmap(part / "pixels.npy", "w+", np.uint8, shape)
                if hasattr(os, "posix_fallocate"):  # claim the space now: a full disk under a mapping would kill us
                    with (part / "pixels.npy").open("r+b") as file:
                        os.posix_fallocate(file.fileno(), 0, (part / "pixels.npy").stat().st_size)
                good = decode_all(files, pixels, skip_bad, progress)
                pixels.flush()
                np.save(part / "kept.npy", np.array(good, dtype=np.int64))
                os.replace(part / "kept.npy", kept(cache))
                os.replace(part / "pixels.npy", cache)
            finally:
                shutil.rmtree(part, ignore_errors=True)
            return read(cache, shape)
    except OSError as error:
        raise UserError(f"cannot write {cache} ({error.strerror}); free some space or move data/") from error


def kept(cache: Path) -> Path:
    """The file beside a cache that says which files could be read."""
    return cache.with_suffix(".kept.npy")


@contextlib.contextmanager
def building(folder: Path):
    """The right to build in ``folder``, which the system takes back from a process that dies."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process decodes images into {folder}; waiting for it", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def sweep(folder: Path) -> None:
    """Remove what builds left behind that were killed: all there is, while nobody builds."""
    if left := list(folder.glob("*.part")):
        with contextlib.suppress(OSError), FileLock(folder / ".lock", timeout=0):  # Timeout is an OSError
            for part in left:
                shutil.rmtree(part, ignore_errors=True)


def check_room(folder: Path, shape: tuple[int, ...]) -> None:
    """Raises UserError where the disk has no room for pixels of this shape."""
    need, free = math.prod(shape), shutil.disk_usage(folder).free
    if need > free:
        raise UserError(
            f"{shape[0]:,} images of {shape[2]} x {shape[3]} pixels take {need / 1e9:,.1f} GB and {folder} has "
            f"{free / 1e9:,.1f} GB free; pass a smaller --stored, --size or --limit, or free some space"
        )
