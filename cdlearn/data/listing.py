"""What lies below a folder: images, files of other kinds, links, and folders that systems make."""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cdlearn.data.endings import ENDINGS, fixes
from cdlearn.runtime.errors import UserError

# Thumbnails, bins, snapshots and indexes that network drives, Windows, macOS, Linux and programs put among one's files
_SYSTEMS = (
    "@eadir @__thumb @recycle #recycle #snapshot @recently-snapshot @tmp @sharebin @appstore ~snapshot __macosx "
    "$recycle.bin recycler $windows.~bt $windows.~ws found.000 lost+found dfsrprivate windowsimagebackup "
    "appledouble resource.frk thevolumesettingsfolder __pycache__ node_modules _gsdata_"
)
SYSTEM_FOLDERS = set(_SYSTEMS.split()) | {
    "system volume information",
    "network trash folder",
    "temporary items",
    "desktop folder trash",
    "ipod photo cache",
}
SYSTEM_ENDINGS = (".lrdata",)  # of folders
THUMBNAILS = re.compile(r"_?(thumb|thumbs|thumbnail|thumbnails)", re.IGNORECASE)  # system's if they repeat the images


@dataclass
class Listing:
    """The files below a folder, without hidden ones, hidden folders and those that systems make.

    used: files with the ending of an image, sorted; whether they can be read shows when they are decoded.
    ignored: ending ("" for none) -> how many files of other kinds.
    repeated: links to files and folders that are reached without them, and what they lead to.
    unreadable: folders that could not be looked into, and why.
    system: name of a folder that a system made -> how many of them, and how many images in them.
    hidden: the same of all hidden folders; hidden_files: image files whose name begins with a dot.
    """

    used: list[Path] = field(default_factory=list)
    ignored: Counter = field(default_factory=Counter)
    repeated: list[tuple[Path, Path]] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    system: dict[str, tuple[int, int]] = field(default_factory=dict)
    hidden: tuple[int, int] = (0, 0)
    hidden_files: int = 0

    def remarks(self) -> list[str]:
        """A line for each kind of thing that is not used."""
        lines = []
        if self.ignored:
            kinds = [f"{count:,} {ending or 'without an ending'}" for ending, count in self.ignored.most_common()]
            kinds = kinds[:6] + [f"{len(kinds) - 6} other kinds"] * (len(kinds) > 6)
            said = fixes(self.ignored)
            fix = f" ({'; '.join(said)})" if said else ""
            lines.append(f"ignored {files(self.ignored.total())}: {', '.join(kinds)}{fix}")
        lines += self.system_lines()
        for what, found in (("links to what is there already", self.repeated), ("folders", self.unreadable)):
            if found:
                cannot = " that cannot be read" if found is self.unreadable else ""
                more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
                lines.append(f"left out {what}{cannot}: {found[0][0]}{more}")
        return lines

    def system_lines(self) -> list[str]:
        """A line on what systems made, and one on what is hidden."""

        def counted(count: int, images: int) -> str:
            return f"{count:,}, with {images:,} image{'' if images == 1 else 's'}"

        lines = []
        if self.system:
            names = [f"{name} ({counted(*counts)})" for name, counts in sorted(self.system.items())]
            more = [f"{len(names) - 6} other names"] * (len(names) > 6)
            lines.append(f"left out folders that systems make: {', '.join(names[:6] + more)}")
        parts = [f"folders ({counted(*self.hidden)})"] if self.hidden[1] else []
        parts += [f"{self.hidden_files:,} image file{'s' * (self.hidden_files > 1)}"] if self.hidden_files else []
        if parts:
            lines.append(f"left out what is hidden: {', '.join(parts)}")
        return lines

    def leave_out(self, path: Path) -> None:
        """Count a folder that is hidden or made by a system, and the images in it."""
        inside = sum(is_image(name) for _, _, names in os.walk(path) for name in names)
        if path.name.startswith("."):
            self.hidden = (self.hidden[0] + 1, self.hidden[1] + inside)
        else:
            count, images = self.system.get(path.name, (0, 0))
            self.system[path.name] = (count + 1, images + inside)


def files(count: int) -> str:
    """'1 file', '2 files'."""
    return f"{count:,} file{'' if count == 1 else 's'}"


def is_image(name: str) -> bool:
    """By its ending."""
    return os.path.splitext(name)[1].lower() in ENDINGS


def by_a_system(name: str) -> bool:
    """Whether a folder of this name is hidden or one that a system makes."""
    return name[0] == "." or name.lower() in SYSTEM_FOLDERS or name.lower().endswith(SYSTEM_ENDINGS)


def repeats(folder: Path, images: set[str]) -> bool:
    """Whether a folder called thumbnails holds nothing but small copies: each image has the name of one beside it."""
    if not THUMBNAILS.fullmatch(folder.name):
        return False
    try:
        inside = {Path(name).stem.lower() for name in os.listdir(folder) if is_image(name) and name[0] != "."}
    except OSError:
        return False
    return bool(inside) and inside <= images


def look_through(folder: Path, only: list[str] | None = None) -> Listing:
    """What lies below ``folder`` (or below its sub-folders ``only``).

    Links are followed when all that lies there by itself is known, so an image belongs to the folder that it lies in
    and not to one that holds a link to it; and nothing is entered or used twice.

    Raises:
        UserError: where ``folder`` or one of ``only`` is missing.
    """
    found = Listing()
    waiting = [folder / name for name in only] if only else [folder]
    for top in waiting:
        if not top.is_dir():
            raise UserError(f"{top} is missing; put the images there")
    entered: dict[str, Path] = {}  # true path of a folder -> where it was entered
    folder_links: list[Path] = []
    file_links: list[Path] = []
    while waiting or folder_links:
        if not waiting:
            folder_links.sort(reverse=True)
            waiting.append(folder_links.pop())
        where = waiting.pop()
        true = os.path.realpath(where)
        if true in entered:
            found.repeated.append((where, entered[true]))
            continue
        entered[true] = where
        try:
            with os.scandir(where) as entries:
                inside = list(entries)
        except OSError as error:
            found.unreadable.append((where, error.strerror or str(error)))
            continue
        beside = {Path(entry.name).stem.lower() for entry in inside if is_image(entry.name)}
        for entry in inside:
            path = Path(entry.path)
            if os.path.isdir(path) if entry.is_symlink() else entry.is_dir():
                if by_a_system(entry.name) or repeats(path, beside):
                    found.leave_out(path)
                else:
                    (folder_links if entry.is_symlink() else waiting).append(path)
            elif entry.name.startswith("."):
                found.hidden_files += is_image(entry.name)
            elif path.suffix.lower() not in ENDINGS:
                found.ignored[path.suffix.lower()] += 1
            else:
                (file_links if entry.is_symlink() else found.used).append(path)
    linked: dict[str, Path] = {}
    for path in sorted(file_links):
        true = os.path.realpath(path)
        home, name = os.path.split(true)
        there = home in entered and os.path.isfile(true) and name[0] != "." and Path(name).suffix.lower() in ENDINGS
        first = entered[home] / name if there else linked.setdefault(true, path)
        if first == path:
            found.used.append(path)
        else:
            found.repeated.append((path, first))
    found.used.sort()
    return found


def find_images(folder: Path, only: list[str] | None = None, skip_bad: bool = False) -> list[Path]:
    """Every image file below ``folder``, sorted; prints a line for each kind of file that is left out.

    Raises:
        UserError: where there is none, or a folder cannot be looked into and ``skip_bad`` does not allow for it.
    """
    found = look_through(folder, only)
    if found.unreadable and not skip_bad:
        path, reason = found.unreadable[0]
        raise UserError(f"cannot look into {path} ({reason}); change its rights, or pass --skip-bad to leave it out")
    remarks = found.remarks()
    if not found.used:
        also = f" ({'; '.join(remarks)})" if remarks else ""
        raise UserError(f"no image in {folder}{also}; the endings looked for are {' '.join(sorted(ENDINGS))}")
    for line in remarks:
        print(line)
    return found.used
