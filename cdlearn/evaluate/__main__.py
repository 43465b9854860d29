"""``python -m cdlearn.evaluate RUN [--data NAME_OR_FOLDER]``: score a finished run, on its own images or on others."""

import json
import sys
from dataclasses import replace

import torch

from cdlearn import checkpoint
from cdlearn.data import folders, load
from cdlearn.data.fingerprints import is_of
from cdlearn.evaluate import extra_metrics
from cdlearn.results import scoring
from cdlearn.results.run_folder import data_name, folder_of
from cdlearn.runtime.commandline import Parser, folder, guarded
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: _evaluate(sys.argv[1:] if arguments is None else arguments))


def _evaluate(arguments: list[str]) -> None:
    made = Parser(
        prog="python -m cdlearn.evaluate",
        description="Score a run: its table, scores.json and figures, on its own images or on others.",
        allow_abbrev=False,
    )
    made.add_argument("run", type=folder, metavar="RUN", help="folder of the run")
    made.add_argument("--data", help="other images than the run's: a name or a folder")
    made.add_argument("--limit", type=int, help="this many of them")
    made.add_argument("--device", default="", help="cpu, cuda or mps")
    made.add_argument("--skip-bad", action="store_true", help="leave out images that cannot be read")
    made.add_argument(
        "--beside",
        action="store_true",
        help="score in other ways too: L2-normalised, averaged over 8 random crops, and without labels",
    )
    asked = made.parse_args(arguments)
    run = folder_of(asked.run)
    model, config = checkpoint.load_model(run)
    state = checkpoint.read(run / "checkpoint.pt")
    history = checkpoint.progress(state)[-1]
    model.to(pick_device(asked.device), memory_format=torch.channels_last)
    others = {name: getattr(asked, name) for name in ("data", "limit") if getattr(asked, name) is not None}
    wanted = replace(config, **({"limit": None} if "data" in others else {}) | others)
    wanted.check()
    shown, stored = sys.stderr.isatty(), config.stored
    reading = folders.reading_of(run, config)
    of = (wanted.data, config.size, wanted.limit, config.seed, asked.skip_bad)
    images = load(*of, progress=shown, stored=stored, reading=reading)
    own = is_of(state.get("images"), images.images)
    wanted = replace(config, data=wanted.data) if own else wanted
    if not own and not others:
        raise UserError(
            f"the images of {config.data} here are not those that {run} learned from; "
            f"start where the run was started, or pass --data {config.data} to score these"
        )
    name = "scores" if own else f"scores-{data_name(wanted.data)}" + (f"-limit{asked.limit}" if asked.limit else "")
    print(f"{run}, {len(history)} epochs, on {len(images):,} images of {wanted.data}", flush=True)
    scoring.close(model, wanted, images, run, history if own else [], name)
    print(f"\nthe scores are in {run / f'{name}.json'}, the figures beside them")
    if asked.beside:
        rows, path = extra_metrics.rows(model, images, wanted), run / f"{name.replace('scores', 'beside', 1)}.json"
        checkpoint.write_text(path, json.dumps(rows, indent=1) + "\n")
        print(
            f"\nbeside the published protocol, which scores features as they are (in {path}):\n"
            + extra_metrics.table(rows)
        )


if __name__ == "__main__":
    raise SystemExit(main())
