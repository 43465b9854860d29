"""Many image files -> one tensor of pixels: in memory where they are few, else decoded once into a mapped file."""

import contextlib
import errno
import json
import math
import os
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cdlearn.data import deep
from cdlearn.data.bulk import Facts, decode_all
from cdlearn.data.cache_files import Kept, Origin, about_cache, cache_key, first_version, forget, kept, surveyed
from cdlearn.data.decoding import LARGEST
from cdlearn.data.locking import locked
from cdlearn.runtime.errors import UserError

IN_MEMORY = 256 * 2**20  # bytes of pixels up to which a folder is decoded into memory and not kept on disk
ABANDONED = 2 * 86400.0  # seconds after which what another process builds is litter, where there are no locks


class Decoded(NamedTuple):
    """Pixels uint8 (N, 3, size, size) of the readable files, their numbers, and what was chosen for them."""

    pixels: Tensor
    good: list[int]
    facts: Facts


def decoded(
    files: list[Path],
    size: int,
    skip_bad: bool,
    root: Path,
    progress: bool,
    ranges: deep.Ranges | None = None,
    origin: Origin | None = None,
) -> Decoded:
    """The pixels of the readable files, their numbers and what was chosen for them.

    Small folders go to memory. Larger ones are decoded once into ``root/decoded/KEY.npy`` and memory-mapped from there.

    Args:
        ranges: black and white of deep images; None takes the range of ``files``.
        origin: where the files are from: when a cache is built, those of its folder in another state are removed.

    Raises:
        UserError: for a file that cannot be read, unless ``skip_bad``, and where the pixels would not fit the disk.
    """
    shape = (len(files), 3, size, size)
    if size * size > LARGEST:
        raise UserError(f"images of {size} x {size} pixels are too large; pass a smaller --size or --stored")
    large, folder = math.prod(shape) > IN_MEMORY, root / "decoded"
    if ranges is None:
        ranges = deep.ranges_of(surveyed(files, root, large))
    sweep(folder)
    if not large:
        pixels = np.empty(shape, np.uint8)
        good, facts = decode_all(files, pixels, skip_bad, progress, ranges)
        return Decoded(torch.from_numpy(pixels[: len(good)]), good, facts)
    cache = folder / f"{cache_key(files, size, ranges)}.npy"
    pixels, good, facts = read(cache, shape) or build(cache, shape, files, skip_bad, progress, ranges, origin)
    if len(good) < len(files) and not skip_bad:
        bad = files[min(set(range(len(files))) - set(good))]
        raise UserError(f"cannot read {bad}; fix or remove it, or pass --skip-bad")
    return Decoded(torch.from_numpy(pixels[: len(good)]), good, facts)


def read(cache: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, list[int], Facts] | None:
    """The mapped pixels of a cache, with the numbers of the files that they are of; None where it is to be built."""
    try:
        # copy-on-write: torch wants memory it may write to, the file stays as it is
        pixels, good, about = np.load(cache, mmap_mode="c"), np.load(kept(cache)), about_cache(cache)
        if pixels.shape != shape or pixels.dtype != np.uint8 or good.ndim != 1 or good.dtype.kind != "i":
            raise ValueError("not what was written")
        if not (np.diff(good, prepend=-1, append=shape[0]) > 0).all():
            raise ValueError("not the numbers of files, each once and in order")
    except FileNotFoundError:
        return None
    except Exception:  # truncated, empty, another header: numpy raises half a dozen kinds
        print(f"{cache} is damaged; the images are decoded again")
        return None
    return pixels, good.tolist(), about.facts


def build(
    cache: Path,
    shape: tuple[int, ...],
    files: list[Path],
    skip_bad: bool,
    progress: bool,
    ranges: deep.Ranges,
    origin: Origin | None,
):
    """Decode into ``cache`` and read it. It is written as KEY-….part/… and renamed: a half-written one is never read.

    One process builds at a time: decoding takes all cores anyhow, and another that wants the same images finds them.
    Where the file system has no locks several may build, each by itself, and the last to finish leaves its own.
    """
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with building(cache.parent):
            found = read(cache, shape)  # by the process that was waited for
            if found:
                return found
            check_room(cache.parent, shape)
            part = Path(tempfile.mkdtemp(prefix=f"{cache.stem}-", suffix=".part", dir=cache.parent))
            try:
                pixels = np.lib.format.open_memmap(part / "pixels.npy", "w+", np.uint8, shape)
                claim_space(part / "pixels.npy")
                good, facts = decode_all(files, pixels, skip_bad, progress, ranges)
                pixels.flush()
                np.save(part / "kept.npy", np.array(good, dtype=np.int64))
                about = json.dumps(asdict(Kept(*(origin or ("", "")), facts)))
                (part / "about.json").write_text(about, errors="surrogateescape")
                os.replace(part / "about.json", cache.with_suffix(".json"))
                os.replace(part / "kept.npy", kept(cache))
                os.replace(part / "pixels.npy", cache)
            finally:
                shutil.rmtree(part, ignore_errors=True)
            older = first_version(cache, files, shape[-1])
            for path in (older, kept(older)):
                path.unlink(missing_ok=True)
            if origin:
                forget(cache.parent, origin)
            return read(cache, shape)
    except OSError as error:
        raise UserError(f"cannot write {cache} ({error.strerror}); free some space or move data/") from error


def claim_space(path: Path) -> None:
    """Set the space of a file aside now: a full disk under a mapping would kill the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.ENODEV):
            raise  # else this file system cannot


@contextlib.contextmanager
def building(folder: Path):
    """The right to build in ``folder``; yields False where the file system has no locks, which is said."""
    waiting = f"another process decodes images into {folder}; waiting for it"
    with locked(folder / ".lock", waiting) as held:
        if not held:
            print(f"{folder} is on a file system without locks; the images are decoded without one", flush=True)
        yield held


def sweep(folder: Path) -> None:
    """Remove what builds left behind that were killed: all there is while nobody builds, what is old without locks."""
    if left := list(folder.glob("*.part")):
        with contextlib.suppress(OSError), locked(folder / ".lock") as held:  # Timeout is an OSError
            for part in left:
                if held or time.time() - max(path.stat().st_mtime for path in (part, *part.iterdir())) > ABANDONED:
                    shutil.rmtree(part, ignore_errors=True)


def check_room(folder: Path, shape: tuple[int, ...]) -> None:
    """Raises UserError where the disk has no room for pixels of this shape."""
    need, free = math.prod(shape), shutil.disk_usage(folder).free
    if need > free:
        raise UserError(
            f"{shape[0]:,} images of {shape[2]} x {shape[3]} pixels take {need / 1e9:,.1f} GB and {folder} has "
            f"{free / 1e9:,.1f} GB free; pass a smaller --stored, --size or --limit, or free some space"
        )
