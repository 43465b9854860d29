"""What every command line shares: options made from the settings, and troubles said in one line."""

import argparse
import re
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields

import torch

from cdlearn.runtime.errors import Interrupted, UserError, did_you_mean


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest known option."""

    def error(self, message: str):
        for word in re.findall(r"--[\w-]+", message) if "unrecognized" in message else []:
            message = f"unknown option {word}{did_you_mean(word, self._option_string_actions)}"
            break
        raise UserError(f"{message}; see --help")


def settings_parser(module: str, description: str, settings: type, known: dict[str, Iterable[str]]) -> Parser:
    """One option per setting; only those given appear in the result.

    module: the command, such as "train". settings: a dataclass; its field ``rung`` is the option ``--preset``.
    known: for some options, the names to show in the help.
    """
    made = Parser(
        prog=f"python -m cdlearn.{module}",
        description=description,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument("--preset", help=f"{', '.join(known['preset'])}; gpu where there is one, else laptop")
    for field in fields(settings):
        option = "--" + field.name.replace("_", "-")
        if field.name == "rung":
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
    """Run ``work`` and turn every trouble a user can mend into one line and an exit status."""
    try:
        work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as error:
        return 128 + error.signal_number
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (MemoryError, RuntimeError) as error:  # of a GPU, of numpy, of torch on a CPU; the last is a RuntimeError
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "allocate memory" not in str(error):
            raise
        print("error: the memory is full; try a smaller --batch-size, --size or --backbone", file=sys.stderr)
        return 2
    return 0
