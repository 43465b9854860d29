"""``python -m cdlearn.train``: train a method on any images, then score it beside its controls."""

from cdlearn import commands

if __name__ == "__main__":
    commands.answer_early(commands.train)

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cdlearn import checkpoint, pretrained
from cdlearn.backbones import warn_about_stem
from cdlearn.config import Config
from cdlearn.data import ImageSet, load
from cdlearn.data.fingerprints import check_same
from cdlearn.data.reading import reading_in
from cdlearn.pretrained import Weights
from cdlearn.results import scoring
from cdlearn.results.run_folder import default_out, describe, folder_of, new_run, note_changes, resumed
from cdlearn.runtime.commandline import guarded
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import Interrupted, UserError
from cdlearn.runtime.torchrun import Launch
from cdlearn.trainer import check_count, fit


@dataclass
class Task:
    """What the command line asks for.

    out: the folder of the run, None for one named by its settings. free: the settings that were not asked for, which
    pretrained weights may decide. start: these, once they are read.
    """

    config: Config
    out: Path | None
    resume: bool
    skip_bad: bool
    free: frozenset[str] = frozenset()
    start: Weights | None = None


def asked_for(given: dict) -> Task:
    """The task of the options ``given``. Raises UserError where they cannot be, or contradict the run to resume."""
    resume, out, skip_bad = given.pop("resume", None), given.pop("out", None), given.pop("skip_bad", False)
    if resume is None:
        preset = given.pop("preset", "gpu" if torch.cuda.is_available() else "laptop")
        config = Config.preset(preset, **given)
        return Task(config, out, False, skip_bad, frozenset(config.as_dict()) - set(given))
    if out:
        raise UserError(f"--resume writes into {resume}; omit --out")
    out = folder_of(resume)
    config, skip_bad = resumed(out, given, skip_bad)
    return Task(config, out, True, skip_bad)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    launch, given = Launch(), sys.argv[1:] if arguments is None else arguments
    return launch.end(guarded(lambda: launch.do(lambda: _train(given, launch), benign=Interrupted)))


def _train(arguments: list[str], launch: Launch) -> None:
    began = time.monotonic()
    task = asked_for(vars(commands.train().parse_args(arguments)))
    config, images = opened(task, launch)
    if task.start and launch.first:
        print(task.start.said(config.stem))
    out = folder_for(task, config, images, [*launch.command.split(), "-m", "cdlearn.train", *arguments], launch)
    epochs = config.epochs_for(len(images))
    print(f"{config.method} on {len(images):,} images of {config.data}, {epochs} epochs, {out}", flush=True)
    print("  " + ", ".join(f"{k} {v}" for k, v in config.as_dict().items() if k not in ("data", "method")), flush=True)
    try:
        monitor = scoring.knn_monitor(images, config) if launch.first else None
        if task.start and launch.first and epochs and not config.freeze:
            scoring.keep_start(task.start, config, images, out)
        model = fit(config, images, out, task.resume, progress=True, after_epoch=monitor, start=task.start)
        launch.leave()
        if not launch.first:
            return
        scoring.close(model, config, images, out, model.history)
    except (Interrupted, KeyboardInterrupt):
        kept = out and (out / "checkpoint.pt").exists()
        saved = f"saved; go on with: {launch.command} -m cdlearn.train --resume {out}"
        print(f"\n{saved if kept else f'stopped before anything was saved; remove {out}'}", file=sys.stderr)
        raise
    trained = sum(row["seconds"] for row in model.history)
    if not epochs:
        print("nothing was trained: the output is that of untrained heads")
    print(f"\ntrained {trained:.0f} s, {time.monotonic() - began:.0f} s in all; figures and scores are in {out}")
    if images.labels is None:
        print(f"these images have no labels; see all of them as the network does: python -m cdlearn.report {out}")


def opened(task: Task, launch: Launch) -> tuple[Config, ImageSet]:
    """The images of a task, and its settings, complete; everything that cannot work is found here, before a folder.

    Raises:
        UserError: naming the file or setting at fault.
    """
    with launch.one_at_a_time():
        config = started(task)
        shown, stored = sys.stderr.isatty(), config.stored
        reading = reading_in(task.out) if task.resume else None
        of = (config.data, config.size, config.limit, config.seed, task.skip_bad)
        images = load(*of, progress=shown, stored=stored, reading=reading)
    config = config.for_images(images)
    check_count(config, len(images))
    pick_device(config.device)
    warn_about_stem(config.stem, config.size)
    return config, images


def started(task: Task) -> Config:
    """Read the pretrained weights of a new run, if it has any; its settings with what they decide.

    ImageNet's weights are those of a ResNet-18 where no other backbone is asked for.
    """
    config = task.config
    if not config.weights or task.resume:
        return config
    if config.weights == pretrained.IMAGENET and config.backbone == "tiny" and "backbone" in task.free:
        config = replace(config, backbone="resnet18")
    task.start = pretrained.read(config.weights, config.backbone)
    return task.start.settled(config, task.free)


def folder_for(task: Task, config: Config, images: ImageSet, command: list[str], launch: Launch) -> Path | None:
    """The folder of the run, with its config.json; None for the ranks of several that do not write."""
    if not launch.first:
        return task.out
    if task.resume:
        check_same(checkpoint.read(task.out / "checkpoint.pt"), images.images)
        note_changes(task.out, config)
        return task.out
    out = new_run(task.out or default_out(config), chosen=task.out is not None)
    describe(out, config, images, command, task.skip_bad, task.start.described(config) if task.start else {})
    return out


if __name__ == "__main__":
    raise SystemExit(main())
