"""``python -m cdlearn.evaluate RUN [--data NAME_OR_FOLDER]``: score a finished run, on its own images or on others."""

import sys
from pathlib import Path

import torch

from cdlearn import checkpoint
from cdlearn.data import load
from cdlearn.results import closing
from cdlearn.runtime.commandline import Parser, guarded
from cdlearn.runtime.devices import pick_device


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: _evaluate(sys.argv[1:] if arguments is None else arguments))


def _evaluate(arguments: list[str]) -> None:
    made = Parser(
        prog="python -m cdlearn.evaluate",
        description="Score a run: its table, scores.json and figures, on its own images or on others.",
        allow_abbrev=False,
    )
    made.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    made.add_argument("--data", help="other images than the run's: a name or a folder")
    made.add_argument("--limit", type=int, help="this many of them")
    made.add_argument("--device", default="", help="cpu or cuda")
    made.add_argument("--skip-bad", action="store_true", help="leave out images that cannot be read")
    asked = made.parse_args(arguments)
    model, config = checkpoint.load_model(asked.run)
    model.to(pick_device(asked.device), memory_format=torch.channels_last)
    data, limit = asked.data or config.data, asked.limit or (None if asked.data else config.limit)
    shown, stored = sys.stderr.isatty(), config.stored
    images = load(data, config.size, limit, config.seed, asked.skip_bad, progress=shown, stored=stored)
    state = checkpoint.read(asked.run / "checkpoint.pt")
    name = "scores" if data == config.data and limit == config.limit else f"scores-{Path(data).name}"
    print(f"{asked.run}, {state['epoch']} epochs, on {len(images):,} images of {data}", flush=True)
    closing.close(model, config, images, asked.run, state["history"] if name == "scores" else [], name)


if __name__ == "__main__":
    raise SystemExit(main())
