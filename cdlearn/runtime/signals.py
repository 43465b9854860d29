"""Ctrl-C, SIGTERM and SIGHUP, noted so that a run can be saved before it stops."""

import contextlib
import signal
from collections.abc import Iterator

from cdlearn.runtime import distributed


@contextlib.contextmanager
def caught_signals() -> Iterator[list[int]]:
    """A list that collects SIGINT, SIGTERM and SIGHUP, so that they do not stop the program; a second one stops it.

    SIGHUP comes when a terminal is closed or a connection is lost, often twice: a second one stops nothing. Under
    nohup it stays ignored. Under torchrun a second signal is torchrun's answer to the first, so it does not stop the
    program; torchrun kills whatever still runs after 30 seconds.
    """
    caught: list[int] = []
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    watched = [signal.SIGINT, signal.SIGTERM]
    if hangup and signal.getsignal(hangup) != signal.SIG_IGN:
        watched.append(hangup)

    def note(number, frame):
        if caught and number != hangup and distributed.ranks() == 1:
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
