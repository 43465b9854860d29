"""Signals that ask to stop, noted so that a run can be saved before it does."""

import contextlib
import signal
from collections.abc import Iterator

from cdlearn.runtime import distributed

STOPS = ("SIGINT", "SIGTERM")
# A lost connection; the warning that Slurm and others send before the time is up (sbatch --signal=USR1@60); the limit
# of processor time, whose signal returns every second. Windows has none of these.
WARNINGS = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")


def watched() -> list[int]:
    """The signals to note: of the warnings only those that nobody ignores, as nohup does, or handles already."""
    there = [getattr(signal, name) for name in WARNINGS if hasattr(signal, name)]
    return [getattr(signal, name) for name in STOPS] + [n for n in there if signal.getsignal(n) == signal.SIG_DFL]


@contextlib.contextmanager
def caught_signals() -> Iterator[list[int]]:
    """A list that collects the signals that ask to stop, so that they do not stop the program; a second one does.

    A warning often comes more than once: a second one stops nothing. Under torchrun a second signal is torchrun's
    answer to the first, so it does not stop the program; torchrun kills whatever still runs after 30 seconds.
    """
    caught: list[int] = []
    stops = [getattr(signal, name) for name in STOPS]

    def note(number, frame):
        if caught and number in stops and distributed.ranks() == 1:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        before = {number: signal.signal(number, note) for number in watched()}
    except ValueError:  # not in the main thread: signals stay where they are
        before = {}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
