"""``python -m cdlearn.compare --table N [--data D] [--preset P] [--seeds S …]``: a table of the paper, run anew."""

from cdlearn import commands

if __name__ == "__main__":
    commands.answer_early(commands.compare)

import shlex
import sys

import torch

from cdlearn.config import Config
from cdlearn.results import paper_tables, tables
from cdlearn.results.run_folder import data_name, make_folder
from cdlearn.runtime.commandline import guarded
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import UserError
from cdlearn.runtime.options import LARGEST


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: _compare(sys.argv[1:] if arguments is None else arguments))


def _compare(arguments: list[str]) -> None:
    asked = vars(commands.compare().parse_args(arguments))
    number, seeds, out = (asked.pop(name) for name in ("table", "seeds", "out"))
    seconds = asked.pop("seconds", None)
    if seconds is not None and not 0 < seconds < LARGEST:
        raise UserError(f"--seconds {seconds:g}: must be positive")
    if seconds and {"epochs", "views"} & asked.keys():
        raise UserError("--seconds, --epochs and --views all say how long to train; give one of them")
    if "seed" in asked:
        raise UserError("a table is run over several seeds; pass --seeds instead of --seed")
    if "method" in asked:
        raise UserError("a table names the methods that it compares; omit --method")
    paper_tables.published(number)
    make_folder(out)
    preset = asked.pop("preset", "gpu" if torch.cuda.is_available() else "laptop")
    found = paper_tables.rows(number, preset, tuple(seeds), seconds=seconds, **asked)
    command = shlex.join(["python", "-m", "cdlearn.compare", *map(shown, arguments)])
    note = f"Measured with `{command}`; mean ± std over training seeds."
    if seconds:
        clock = "of one processor" if pick_device(asked.get("device", "")).type == "cpu" else "on the GPU"
        note += f" Each run trained for about {seconds:g} s {clock}; its epochs follow from a short trial of its speed."
    for path in tables.write(found, number, asked.get("data", Config.data), note, out):
        print(path)
    print("\n" + tables.markdown(found, number, note))


def shown(word: str) -> str:
    """A word of the command line for a table that others read: of a path only the last name is their business."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}path/to/{data_name(value)}" if "/" in value else word


if __name__ == "__main__":
    raise SystemExit(main())
