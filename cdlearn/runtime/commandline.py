"""What every command line shares: options made from the settings, and errors in one line."""

import argparse
import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TextIO

import torch

from cdlearn.runtime.errors import Interrupted, UserError, did_you_mean, shortened

PLAIN = str.maketrans({"±": "+-", "×": "x", "–": "-", "…": "...", "²": "2", "→": "->", "█": "#"})


class Lasting:
    """A text stream that never ends the program.

    A character that the terminal lacks is written in plain ones. When nobody reads the stream any more (``| head -1``,
    a closed window, a full disk), the program goes on in silence: hours of training are worth more than a line.
    """

    def __init__(self, stream: TextIO | None):
        self.stream = stream or io.StringIO()  # None: the program was started with the stream closed

    def write(self, text: str) -> int:
        with self.silenced():
            try:
                self.stream.write(text)
            except UnicodeEncodeError:
                known = self.stream.encoding
                self.stream.write(text.translate(PLAIN).encode(known, "replace").decode(known))
        return len(text)

    def flush(self) -> None:
        with self.silenced():
            self.stream.flush()

    @contextlib.contextmanager
    def silenced(self) -> Iterator[None]:
        """After a failed write, drop all further output, including the rest of the buffer."""
        try:
            yield
        except OSError:
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self.stream.fileno())

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


def folder(text: str) -> Path:
    """For argparse: a folder's name. An empty one is refused, because it would mean the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("a folder's name is missing")
    return Path(text)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest known option."""

    def error(self, message: str):
        for word in re.findall(r"--[\w-]+", message) if "unrecognized" in message else []:
            message = f"unknown option {word}{did_you_mean(word, self._option_string_actions)}"
            break
        raise UserError(f"{message}; see --help")


def settings_parser(module: str, description: str, settings: type, known: dict[str, Iterable[str]]) -> Parser:
    """One option per setting; only those given appear in the result.

    module: the command, such as "train". settings: a dataclass; its field ``preset_name`` is the option ``--preset``.
    known: for some options, the names to show in the help.
    """
    made = Parser(
        prog=f"python -m cdlearn.{module}",
        description=description,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument("--preset", help=f"{', '.join(known['preset'])}; default: gpu if there is one, else laptop")
    for field in fields(settings):
        option = "--" + field.name.replace("_", "-")
        if field.name == "preset_name":
            continue
        if field.type is bool:
            made.add_argument(option, action=argparse.BooleanOptionalAction)
        elif field.name == "crop":
            made.add_argument(option, nargs=2, type=float, metavar=("LOW", "HIGH"))
        elif field.name in known:
            made.add_argument(option, help=", ".join(known[field.name]))
        else:
            made.add_argument(option, type=field.type if isinstance(field.type, type) else int)
    return made


def guarded(work: Callable[[], None]) -> int:
    """Run ``work``; every error that a user can mend becomes one line and an exit status."""
    out, errors = Lasting(sys.stdout), Lasting(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            return status(work)
        finally:
            out.flush()
            errors.flush()


def status(work: Callable[[], None]) -> int:
    """See :func:`guarded`."""
    try:
        work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as error:
        return 128 + error.signal_number
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (MemoryError, RuntimeError) as error:  # from a GPU, numpy, or torch on a CPU, which raises a RuntimeError
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "allocate memory" not in str(error):
            raise
        print("error: the memory is full; try a smaller --batch-size, --size or --backbone", file=sys.stderr)
        return 2
    except OSError as error:  # a name that is too long, no permission, a disk that fails
        if not error.strerror:
            raise
        name = shortened(str(error.filename or "a file"))
        why = f"cannot use {name} ({error.strerror}); check its name, its disk and who may use it"
        print(f"error: {why}", file=sys.stderr)
        return 2
    return 0
