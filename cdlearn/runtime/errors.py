"""Errors that a user can fix, printed in one line without a traceback, and a stop that the user asked for."""

import difflib
import signal
from collections.abc import Iterable

SHOWN = 80  # characters of a file's name in a message


class UserError(Exception):
    """One line that names the culprit (file, setting, step) and the fix. The command line prints it and exits 2."""


class Interrupted(Exception):
    """A signal asked to stop, and the run was saved. ``signal_number`` says which."""

    def __init__(self, signal_number: int):
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """', did you mean X?' for the known word nearest to ``word``, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f", did you mean {near[0]}?" if near else ""


def shortened(name: str) -> str:
    """A name of any length for a message of one line: the beginning and the end of a long one."""
    return name if len(name) <= SHOWN else f"{name[: SHOWN // 2]}…{name[-SHOWN // 2 :]}"
