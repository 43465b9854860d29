"""Book-keeping of a folder: every file in it is used, ignored, unreadable, repeated or left out, and counted once."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cdlearn.data import folders


@dataclass
class Ledger:
    """Where the files of a folder went. ``found`` is the sum of all the others.

    used: the images, in the order of every table; listed: those and what a limit left out; ignored: ending -> number of
    files; unreadable: image files and why; repeated: image files that a link leads to a second time, and the file that
    is used; left_out: image files beyond the limit; notes: sentences on what else the reader should know.
    """

    found: int
    used: list[Path]
    listed: list[Path] = field(default_factory=list)
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
    """Count every file below ``folder``, hidden ones aside. What is unreadable shows when decoded: see ``Ledger.drop``.

    limit: use this many images, drawn with ``seed``, as the training does.

    Raises:
        UserError: where there is no such folder, or no image in it.
    """
    listing = folders.look_through(folder)
    if not listing.used:
        folders.find_images(folder, skip_bad=True)  # says what there is instead
    shut = [(shown(path, folder), reason) for path, reason in listing.unreadable]
    notes = [f"The folder {name} cannot be looked into ({reason})." for name, reason in shut]
    repeated = []
    for path, first in listing.repeated:
        if path.is_dir():
            notes.append(f"The folder {shown(path, folder)} leads to {shown(first, folder)}, which is counted already.")
        else:
            repeated.append((path, first))
    notes += [f"Images that are ignored: {fix}." for fix in folders.fixes(listing.ignored)]
    notes += [f"{line[:1].upper()}{line[1:]}." for line in listing.system_lines()]
    used = folders.drawn(listing.used, limit, seed)
    if more := len(listing.used) - len(used):
        notes.append(f"{more:,} images are left out: --limit {limit} draws that many with seed {seed}.")
    notes.append("Hidden files and folders, and those that systems make, are not looked at.")
    ignored = Counter({ending or "no ending": count for ending, count in listing.ignored.items()})
    found = len(listing.used) + ignored.total() + len(repeated)
    return Ledger(found, used, listing.used, ignored, [], repeated, len(listing.used) - len(used), notes)


def shown(path: Path, folder: Path) -> str:
    """A file's name below ``folder`` as text. Bytes that are not UTF-8, which no page could hold, are replaced."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace")
