"""Finished parts of a report, kept in RUN/report-cache: an interrupted report goes on where it was."""

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cdlearn import checkpoint
from cdlearn.runtime.errors import UserError


class Cache:
    """Parts by name, each a few arrays, of one run on one set of files.

    Parts of other files or of another training are removed first, so the folder holds what one report needs. A part
    that cannot be kept (full disk, read-only folder) is made all the same and said once: only the resuming is lost.

    Args:
        folder: where the parts lie; made when the first one is kept. None keeps nothing.
        key: changes with anything that the parts depend on.
    """

    def __init__(self, folder: Path | None, key: str):
        self.folder, self.key = folder, key
        if folder and folder.is_dir():
            for path in [*folder.glob("*.npz"), *folder.glob(".part-*")]:
                if not path.stem.endswith(key):
                    path.unlink(missing_ok=True)

    def part(self, name: str, make: Callable[[], dict]) -> dict[str, np.ndarray]:
        """The part called ``name``: read where an earlier report left it whole, else made and kept."""
        path = self.folder / f"{name}-{self.key}.npz" if self.folder else None
        try:
            if path:
                with np.load(path, allow_pickle=False) as kept:
                    return dict(kept)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            pass  # not there, or damaged
        made = {key: np.asarray(of) for key, of in make().items()}
        try:
            if path:
                self.folder.mkdir(parents=True, exist_ok=True)
                checkpoint.write(path, lambda file: np.savez(file, **made))
        except (OSError, UserError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            reason = getattr(cause, "strerror", None) or error
            print(f"note: cannot write {self.folder} ({reason}); a stopped report will start over", file=sys.stderr)
            self.folder = None
        return made
