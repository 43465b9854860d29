"""``python -m cdlearn.evaluate RUN [--data NAME_OR_FOLDER]``: score a finished run, on its own images or on others."""

from cdlearn import commands

if __name__ == "__main__":
    commands.answer_early(commands.evaluate)

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from cdlearn import checkpoint
from cdlearn.config import Config
from cdlearn.data import ImageSet, folders, load
from cdlearn.data.fingerprints import is_of
from cdlearn.evaluate import extra_metrics
from cdlearn.results import scoring
from cdlearn.results.run_folder import data_name, folder_of
from cdlearn.runtime.commandline import guarded
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: _evaluate(sys.argv[1:] if arguments is None else arguments))


def _evaluate(arguments: list[str]) -> None:
    asked = commands.evaluate().parse_args(arguments)
    run = folder_of(asked.run)
    model, config = checkpoint.load_model(run)
    state = checkpoint.read(run / "checkpoint.pt")
    history = checkpoint.progress(state)[-1]
    model.to(pick_device(asked.device), memory_format=torch.channels_last)
    wanted = wanted_images(config, asked)
    shown, stored = sys.stderr.isatty(), config.stored
    reading = folders.reading_of(run, config)
    of = (wanted.data, config.size, wanted.limit, config.seed, asked.skip_bad)
    images = load(*of, progress=shown, stored=stored, reading=reading)
    own = replace(wanted, data=config.data) == config and is_of(state.get("images"), images.images)
    wanted = replace(config, data=wanted.data) if own else wanted
    if not own and asked.data is None and asked.limit is None:
        raise UserError(
            f"the images of {config.data} here are not those that {run} learned from; "
            f"start where the run was started, or pass --data {config.data} to score these"
        )
    name = "scores" if own else f"scores-{data_name(wanted.data)}" + (f"-limit{asked.limit}" if asked.limit else "")
    print(f"{run}, {len(history)} epochs, on {len(images):,} images of {wanted.data}", flush=True)
    scoring.close(model, wanted, images, run, history if own else [], name)
    print(f"\nthe scores are in {run / f'{name}.json'}, the figures beside them")
    if asked.beside:
        score_beside(model, images, wanted, run / f"{name.replace('scores', 'beside', 1)}.json")


def wanted_images(config: Config, asked: Namespace) -> Config:
    """The run's settings with the images that the command line asks for. Raises UserError where they cannot be."""
    if asked.data is not None:
        config = replace(config, data=asked.data, limit=None)
    if asked.limit is not None:
        config = replace(config, limit=asked.limit)
    config.check()
    return config


def score_beside(model: nn.Module, images: ImageSet, config: Config, path: Path) -> None:
    """Score in ways that the paper does not; print them and write them to ``path``."""
    rows = extra_metrics.rows(model, images, config)
    checkpoint.write_text(path, json.dumps(rows, indent=1) + "\n")
    print(f"\nbeside the published protocol, which scores features as they are (in {path}):")
    print(extra_metrics.format_rows(rows))


if __name__ == "__main__":
    raise SystemExit(main())
