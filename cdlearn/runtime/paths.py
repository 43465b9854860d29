"""Paths as people type them."""

import os
from pathlib import Path


def expanded(path: str | os.PathLike) -> Path:
    """``path`` with a leading ~ or ~name replaced by that home folder, which a shell leaves alone in --out=~/x.

    A folder that is really called ~ is ./~. Where there is no such home, the path stays as it is.
    """
    return Path(os.path.expanduser(path))
