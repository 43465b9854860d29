"""Files that are written whole or not at all, and a short name for settings."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from cdlearn.runtime.errors import UserError


def write(path: Path, content: Callable[[BinaryIO], None], then: str = "give the command again") -> None:
    """Let ``content`` write the bytes of ``path``, whole or not at all.

    The bytes go to a file beside it, which takes the name only when it is complete and on the disk. So a full disk or a
    kill leaves the old file as it was. then: what to do when the trouble is fixed.

    Raises:
        UserError: if it cannot be written.
    """
    path = Path(path)
    part = None
    try:
        descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        with os.fdopen(descriptor, "wb") as file:
            content(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, 0o644)
        os.replace(part, path)
    except OSError as error:
        reason = error.strerror or error
        kept = "; the previous file is intact" if path.exists() else ""
        fix = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "fix that"
        raise UserError(f"cannot save {path} ({reason}){kept}; {fix}, then {then}") from error
    finally:
        if part:
            Path(part).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A small text file, whole or not at all; see :func:`write`."""
    write(path, lambda file: file.write(text.encode(errors="surrogateescape")))  # names of files are any bytes


def write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    """Rows as CSV with a header, whole or not at all; a column that a row lacks is left empty."""
    names = dict.fromkeys(name for row in rows for name in row)
    cells = [[f"{row[name]:.6g}" if name in row else "" for name in names] for row in rows]
    write_text(path, "".join(",".join(line) + "\n" for line in ([names, *cells] if rows else [])))


def digest(settings: dict) -> str:
    """A short name for ``settings``: equal settings give equal names, others differ."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
