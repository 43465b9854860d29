"""The files of decoded folders: their names, what is written beside the pixels, and which are out of date."""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cdlearn.data import deep
from cdlearn.data.bulk import Facts
from cdlearn.data.decoding import deep_values

WORTH_KEEPING = 1.0  # seconds that a survey took, from which its result is written down


class Origin(NamedTuple):
    """The folder that files are from, and a text that changes when any image in it is added, removed or rewritten."""

    folder: str
    state: str


@dataclass
class Kept:
    """What is written beside the pixels of a cache."""

    folder: str = ""
    state: str = ""
    facts: Facts = field(default_factory=Facts)


def listing_key(files: list[Path], begin: str) -> str:
    """Changes with ``begin``, and whenever a file is added, removed, renamed, resized or rewritten."""
    digest = hashlib.sha256(begin.encode())
    for path in files:
        try:
            stat = path.stat()
        except OSError:  # a link to nowhere or to itself: decode will name it
            stat = None
        known = f"{os.path.realpath(path)} {stat and (stat.st_size, stat.st_mtime_ns)}\n"
        digest.update(known.encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def cache_key(files: list[Path], size: int, ranges: deep.Ranges | None = None) -> str:
    """Changes with the files, with the size asked for, and with the range of deep images."""
    return listing_key(files, f"2 {size} {json.dumps(ranges or {}, sort_keys=True)}\n")


def first_version(cache: Path, files: list[Path], size: int) -> Path:
    """Where the first version of cdlearn kept the pixels of the same files; nothing reads them any more."""
    return cache.with_name(f"{listing_key(files, f'1 {size}' + chr(10))}.npy")


def surveyed(files: list[Path], root: Path, large: bool) -> dict[str, deep.Deep]:
    """What is deep among all the images of a folder, see :func:`cdlearn.data.deep.survey`; kept for large folders."""
    path = root / "decoded" / f"{listing_key(files, 'deep')}.deep.json" if large else None
    if path is not None:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            return deep.from_dict(json.loads(path.read_text()))
    began = time.monotonic()
    found = deep.survey(files, deep_values)
    if path is not None and time.monotonic() - began > WORTH_KEEPING:
        with contextlib.suppress(OSError):  # it is only quicker with it; no room will be said when pixels are written
            path.parent.mkdir(parents=True, exist_ok=True)
            written(path, json.dumps(deep.as_dict(found)))
    return found


def written(path: Path, text: str) -> None:
    """A small file, whole or not at all."""
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def about_cache(cache: Path) -> Kept:
    """What is written beside a cache. Raises OSError, ValueError or TypeError where that cannot be read."""
    saved = json.loads(cache.with_suffix(".json").read_text(errors="surrogateescape"))
    return Kept(saved["folder"], saved["state"], Facts(**saved["facts"]))


def kept(cache: Path) -> Path:
    """The file beside a cache that says which files could be read."""
    return cache.with_suffix(".kept.npy")


def caches(folder: Path) -> list[tuple[Path, int, Kept | None]]:
    """Every cache in ``root/decoded``: the file of its pixels, its size in bytes, and what it is of, if said."""
    found = []
    for path in sorted(folder.glob("*.npy")):
        if path.name.endswith(".kept.npy"):
            continue
        size = sum(part.stat().st_size for part in (path, kept(path), path.with_suffix(".json")) if part.exists())
        about = None
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            about = about_cache(path)
        found.append((path, size, about))
    return found


def forget(folder: Path, origin: Origin) -> None:
    """Remove the caches of ``origin``'s folder as it was before an image changed; says how many. Others stay."""
    freed, count = 0, 0
    for path, size, about in caches(folder):
        if about is not None and about.folder == origin.folder and about.state != origin.state:
            with contextlib.suppress(OSError):  # in use, on Windows
                path.unlink()
                for part in (kept(path), path.with_suffix(".json")):
                    part.unlink(missing_ok=True)
                freed, count = freed + size, count + 1
    if count:
        caches_of = f"{count} older cache{'s' * (count > 1)} of {origin.folder} ({freed / 1e6:,.0f} MB)"
        print(f"removed {caches_of}, whose images have changed since")
