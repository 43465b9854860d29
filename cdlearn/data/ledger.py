"""Book-keeping of a folder: every file in it is used, ignored, unreadable, repeated or left out, and counted once."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cdlearn.data import folders

HIDDEN = "hidden"


@dataclass
class Ledger:
    """Where the files of a folder went. ``found`` is the sum of all the others.

    used: the images, in the order of every table; ignored: ending -> number of files; unreadable: image files and why;
    repeated: image files that a link leads to a second time, and the file that is used; left_out: image files beyond
    the limit; notes: sentences on what else the reader should know.
    """

    found: int
    used: list[Path]
    ignored: Counter = field(default_factory=Counter)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    repeated: list[tuple[Path, Path]] = field(default_factory=list)
    left_out: int = 0
    notes: list[str] = field(default_factory=list)

    def balanced(self) -> bool:
        """Whether no file is missing or counted twice."""
        parts = (len(self.used), self.ignored.total(), len(self.unreadable), len(self.repeated), self.left_out)
        return self.found == sum(parts)

    def drop(self, bad: dict[Path, str]) -> None:
        """Move files of ``used`` that turned out to be unreadable."""
        self.used = [path for path in self.used if path not in bad]
        self.unreadable += bad.items()


def take_stock(folder: Path, limit: int | None = None, seed: int = 0) -> Ledger:
    """Count every file below ``folder``. What is unreadable shows when the images are decoded: see ``Ledger.drop``.

    limit: use this many images, drawn with ``seed``, as the training does.

    Raises:
        UserError: where there is no such folder, or no image in it.
    """
    images = folders.find_images(folder)
    real = {path: os.path.realpath(path) for path in images}
    top = os.path.realpath(folder)
    by_link = {path: real[path] != os.path.join(top, path.relative_to(folder)) for path in images}
    first: dict[str, Path] = {}
    for path in sorted(images, key=by_link.get):  # a file is used under its own name, not under a link's
        first.setdefault(real[path], path)
    used = [path for path in images if first[real[path]] == path]
    repeated = [(path, first[real[path]]) for path in images if first[real[path]] != path]
    ignored, notes = others(folder, set(images))
    drawn = used
    if limit is not None and limit < len(used):
        drawn = [used[i] for i in folders.draw(len(used), limit, seed).tolist()]
        notes.append(f"{len(used) - limit:,} images are left out: --limit {limit} draws that many with seed {seed}.")
    heic = sum(ignored[ending] for ending in (".heic", ".heif"))
    if heic:
        notes.append(f"{heic} HEIC files are ignored; `pip install pillow-heif` lets them be read.")
    found = len(images) + ignored.total()
    return Ledger(found, drawn, ignored, [], repeated, len(used) - len(drawn), notes)


def others(folder: Path, images: set[Path]) -> tuple[Counter, list[str]]:
    """How many files below ``folder`` are not among ``images``, by ending; and notes on folders passed over."""
    ignored, notes, seen = Counter(), [], set()
    for where, inside, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            notes.append(f"{shown(Path(where), folder)} leads to a folder that is counted already.")
            inside[:] = []
            continue
        seen.add(real)
        hidden = sorted(name for name in inside if name.startswith("."))
        notes += [f"The hidden folder {shown(Path(where, name), folder)} is not looked into." for name in hidden]
        inside[:] = sorted(set(inside) - set(hidden))
        for name in names:
            if Path(where, name) not in images:
                ending = os.path.splitext(name)[1].lower()
                ignored[HIDDEN if name.startswith(".") else ending or "no ending"] += 1
    return ignored, notes


def shown(path: Path, folder: Path) -> str:
    """A file's name below ``folder`` as text. Bytes that are not UTF-8, which no page could hold, are replaced."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace")
