"""``python -m cdlearn.compare --table N [--data D] [--preset P] [--seeds S …]``: a table of the paper, run anew."""

import shlex
import sys
from pathlib import Path

import torch

from cdlearn.config import PRESET_SETTINGS, Config
from cdlearn.results import paper_tables, tables
from cdlearn.results.run_folder import data_name, make_folder
from cdlearn.runtime.commandline import folder, guarded, settings_parser
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import UserError
from cdlearn.runtime.options import LARGEST


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: _compare(sys.argv[1:] if arguments is None else arguments))


def _compare(arguments: list[str]) -> None:
    made = settings_parser(
        "compare",
        "Run a table of the paper and set the published values beside ours.",
        Config,
        PRESET_SETTINGS,
    )
    made.add_argument("--table", type=int, required=True, help="2 to 10")
    made.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], help="training seeds")
    made.add_argument("--out", type=folder, default=Path("figures"), help="folder for table-N-DATA.csv, .md and .png")
    made.add_argument("--seconds", type=float, help="train every row for about this time, instead of equal epochs")
    asked = vars(made.parse_args(arguments))
    number, seeds, out = (asked.pop(name) for name in ("table", "seeds", "out"))
    seconds = asked.pop("seconds", None)
    if seconds is not None and not 0 < seconds < LARGEST:
        raise UserError(f"--seconds {seconds:g}: must be positive")
    if seconds and {"epochs", "views"} & asked.keys():
        raise UserError("--seconds, --epochs and --views all say how long to train; give one of them")
    if "seed" in asked:
        raise UserError("a table is run over several seeds; pass --seeds instead of --seed")
    if "method" in asked:
        raise UserError("a table says itself which methods it compares; leave --method away")
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
