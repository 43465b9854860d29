"""What every command line shares: options made from the settings, and errors in one line."""

import argparse
import contextlib
import functools
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, TextIO

from cdlearn.runtime.errors import Interrupted, UserError, did_you_mean, shortened
from cdlearn.runtime.options import KINDS, option_of
from cdlearn.runtime.paths import expanded

PLAIN = str.maketrans({"±": "+-", "×": "x", "–": "-", "…": "...", "²": "2", "→": "->", "█": "#"})
EPILOG = (
    "A preset that differs from the default is named beside it. With patches, shapes and motifs come a crop, a hue and "
    "a length of their own. Every run prints all of its settings and keeps them in config.json."
)


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
    return expanded(text)


class Together(argparse.Action):
    """Several numbers as a tuple, as the settings have them."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, tuple(values))


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest known option."""

    def error(self, message: str):
        for word in re.findall(r"--[\w-]+", message) if "unrecognized" in message else []:
            message = f"unknown option {word}{did_you_mean(word, self._option_string_actions)}"
            break
        raise UserError(f"{message}; see --help")


def command_parser(module: str, description: str, usage: str = "[options]", **more) -> Parser:
    """The parser of ``python -m cdlearn.MODULE``, without its options."""
    shape = functools.partial(argparse.HelpFormatter, max_help_position=30)
    prog = f"python -m cdlearn.{module}"
    return Parser(prog, f"{prog} {usage}", description, formatter_class=shape, allow_abbrev=False, **more)


def settings_parser(module: str, description: str, settings: type, presets: dict[str, dict]) -> Parser:
    """One option per setting, grouped, with all that --help says of it; only those given appear in the result.

    module: the command, such as "train". settings: a dataclass of :func:`cdlearn.runtime.options.option`; its field
    ``preset_name`` is the option ``--preset``. presets: name -> what the preset sets otherwise than the defaults.
    """
    made = command_parser(module, description, epilog=EPILOG, argument_default=argparse.SUPPRESS)
    headings = {}
    for setting in fields(settings):
        known = option_of(setting)
        if setting.name == "preset_name":
            preset = f"{known.help} (default: gpu if there is one, else laptop)"
            made.add_argument("--preset", metavar="NAME", help=preset)
            continue
        if known.group not in headings:
            headings[known.group] = made.add_argument_group(known.group)
        values = {preset: changed[setting.name] for preset, changed in presets.items() if setting.name in changed}
        headings[known.group].add_argument(
            "--" + setting.name.replace("_", "-"), help=explained(setting, values).replace("%", "%%"), **reader(setting)
        )
    return made


def reader(setting: Field) -> dict:
    """What argparse has to know to read a setting."""
    metavar = KINDS[setting.type].metavar
    if setting.type is bool:
        return {"action": argparse.BooleanOptionalAction}
    if isinstance(metavar, tuple):
        return {"action": Together, "nargs": len(metavar), "type": float, "metavar": metavar}
    return {"type": setting.type if isinstance(setting.type, type) else int, "metavar": metavar}


def explained(setting: Field, presets: dict[str, Any]) -> str:
    """The help of a setting: what it is, its choices or its range, and its default, also that of each preset."""
    known, unset = option_of(setting), KINDS[setting.type].unset

    def word(value: Any) -> str:
        if known.unset and value == unset:
            return known.unset
        if isinstance(value, bool):
            return "on" if value else "off"
        return (
            " ".join(map(str, value)) if isinstance(value, tuple) else value if isinstance(value, str) else f"{value:,}"
        )

    default = ", ".join([f"default: {word(setting.default)}", *(f"{name}: {word(of)}" for name, of in presets.items())])
    other = f"{unset}: {known.unset}" if known.unset and unset not in ("", None, setting.default) else ""
    return f"{known.help} ({'; '.join(filter(None, (', '.join(known.choices), known.range(), other, default)))})"


def guarded(work: Callable[[], None]) -> int:
    """Run ``work``; every error that a user can fix becomes one line and an exit status."""
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
        full = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's, not loaded here
        if not full and "allocate memory" not in str(error):
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
