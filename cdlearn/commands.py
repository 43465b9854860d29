"""The command line of each command, apart from the command, so that --help does not wait until torch is loaded."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from cdlearn.config import Config
from cdlearn.presets import PRESET_SETTINGS
from cdlearn.runtime.commandline import Parser, command_parser, folder, guarded, settings_parser
from cdlearn.runtime.paths import expanded

STAGES = ("backbone", "output")  # of a run's features
SHARED = {  # what several commands take
    "run": dict(type=folder, metavar="RUN", help="folder of the run, or its checkpoint.pt"),
    "--data": dict(metavar="NAME", help="other images than the run's: a folder, or the name of a data set"),
    "--limit": dict(type=int, metavar="N", help="take this many images, drawn with the run's seed (default: all)"),
    "--device": dict(default="", metavar="NAME", help="cpu, cuda, cuda:1, … or mps (default: a GPU if there is one)"),
    "--skip-bad": dict(action="store_true", help="leave out images that cannot be read, and count them"),
}


def run_parser(module: str, description: str, *names: str) -> Parser:
    """The parser of a command that looks at a finished run; ``names`` are those of SHARED that it takes beside RUN."""
    made = command_parser(module, description, usage="RUN [options]")
    for name in ("run", *names):
        made.add_argument(name, **SHARED[name])
    return made


def train() -> Parser:
    """The options of ``python -m cdlearn.train``; only those given appear in the result."""
    made = settings_parser("train", "Learn representations of images without labels.", Config, PRESET_SETTINGS)
    made.add_argument(
        "--out", type=folder, metavar="RUN", help="folder of the run (default: runs/DATA-METHOD-PRESET-sSEED)"
    )
    made.add_argument(
        "--resume",
        type=folder,
        metavar="RUN",
        help="go on with an interrupted run; only the machine settings may differ from then",
    )
    made.add_argument("--skip-bad", **SHARED["--skip-bad"])
    return made


def compare() -> Parser:
    """The options of ``python -m cdlearn.compare``; of the settings, only those given appear in the result."""
    about = "Run a table of the paper and set the published values beside ours."
    made = settings_parser("compare", about, Config, PRESET_SETTINGS)
    made.add_argument("--table", type=int, required=True, metavar="N", help="number of the table, 2 to 10; required")
    made.add_argument(
        "--seeds", type=int, nargs="+", metavar="N", default=[42, 43, 44], help="training seeds (default: 42 43 44)"
    )
    made.add_argument(
        "--out",
        type=folder,
        metavar="DIR",
        default=Path("figures"),
        help="folder for table-N-DATA.csv, .md and .png (default: figures)",
    )
    made.add_argument(
        "--seconds", type=float, metavar="X", help="train every row for about this time, instead of equal epochs"
    )
    return made


def evaluate() -> Parser:
    """The options of ``python -m cdlearn.evaluate``."""
    about = "Score a run: its table, scores.json and figures, on its own images or on others."
    made = run_parser("evaluate", about, "--data", "--limit", "--device", "--skip-bad")
    made.add_argument(
        "--beside",
        action="store_true",
        help="score in other ways too: L2-normalised, averaged over 8 random crops, and without labels",
    )
    return made


def report() -> Parser:
    """The options of ``python -m cdlearn.report``."""
    about = "One page on all images of a folder, as a run sees them: map, heads, clusters, near-duplicates."
    usage = "RUN [options]\n       python -m cdlearn.report --features FILE --data FOLDER [options]"
    made = command_parser("report", about, usage=usage)
    for name in ("run", "--data", "--limit", "--device"):
        made.add_argument(name, **SHARED[name] | ({"nargs": "?"} if name == "run" else {}))
    made.add_argument(
        "--features",
        type=expanded,
        metavar="FILE",
        help="features of another network instead of a run: .npy, .npz or .parquet, N x D, a row for each image of "
        "--data in the order of their sorted paths",
    )
    made.add_argument(
        "--out", type=expanded, metavar="FILE", help="the page (default: RUN/report.html, or FILE-report.html)"
    )
    made.add_argument(
        "--stage",
        metavar="NAME",
        help=f"features to measure distances between: {', '.join(STAGES)} (default: {STAGES[0]})",
    )
    made.add_argument("--link", action="store_true", help="let the page link to the original files, where they are now")
    made.add_argument(
        "--since", type=folder, metavar="RUN", help="a run with an earlier report: what is new since then"
    )
    made.add_argument("--label-studio", metavar="PREFIX", help="also write a CSV of tasks; PREFIX + file = its address")
    return made


def export() -> Parser:
    """The options of ``python -m cdlearn.export``."""
    about = "The backbone of a run for use without cdlearn: safetensors, torch.export and, if asked for, ONNX."
    made = run_parser("export", about)
    made.add_argument("--out", type=folder, metavar="DIR", help="folder for the files (default: RUN/export)")
    made.add_argument("--onnx", action="store_true", help="write backbone.onnx, too (needs onnx and onnxscript)")
    return made


def answer_early(parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Answer --help and a misspelt option at once, and end; a line without fault goes on to the command.

    Several processes of torchrun leave it to the command, of which one speaks for all.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        status = guarded(lambda: parser().parse_args())
        if status:
            sys.exit(status)
