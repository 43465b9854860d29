"""Ctrl-C and SIGTERM, noted so that a run can be saved before it stops."""

import contextlib
import signal
from collections.abc import Iterator

from cdlearn.runtime import distributed


@contextlib.contextmanager
def caught_signals() -> Iterator[list[int]]:
    """A list that fills with SIGINT and SIGTERM instead of their stopping the program; a second one stops it.

    Not so under torchrun: there the second is torchrun's answer to the first, and torchrun kills after 30 seconds
    whatever has not ended.
    """
    caught: list[int] = []
    watched = (signal.SIGINT, signal.SIGTERM)

    def note(number, frame):
        if caught and distributed.ranks() == 1:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        before = {number: signal.signal(number, note) for number in watched}
    except ValueError:  # not in the main thread: signals stay where they are
        before = {}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
