"""One process at a time in a folder, where the file system has locks."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # Windows, whose locks filelock asks for in another way, and all of whose file systems have them
    fcntl = None  # type: ignore[assignment]  # typed as a module
HELD = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)  # another process has the lock; any other error means: no locks
ASK_AGAIN = 10.0  # seconds after which a process that waits asks again whether there are locks


def has_locks(path: Path) -> bool:
    """Whether files beside ``path`` can be locked. Asked before filelock, whose versions wait for ever or fail."""
    if fcntl is None:
        return True
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except OSError as error:
        return error.errno in HELD
    finally:
        os.close(descriptor)
    return True


@contextlib.contextmanager
def locked(path: Path, waiting: str = "") -> Iterator[bool]:
    """Hold the lock ``path``, which the system takes back from a process that dies; yields False where there is none.

    waiting: printed once where another process holds it. Without it nothing is waited for.

    Raises:
        Timeout: where another holds it and ``waiting`` is empty.
        OSError: where ``path`` cannot be made.
    """
    lock, held, said = FileLock(path), False, False
    while not held and has_locks(path):
        try:
            lock.acquire(timeout=ASK_AGAIN if said else 0)
            held = True
        except Timeout:  # it is an OSError
            if not waiting:
                raise
            if not said:
                print(waiting, flush=True)
            said = True
        except (NotImplementedError, OSError):  # this version of filelock asks in yet another way
            break
    try:
        yield held
    finally:
        if held:
            lock.release()
