"""``python -m cdlearn.train``: train a method on any images, then score it beside its controls."""

import sys
import time

import torch

from cdlearn import checkpoint
from cdlearn.backbones import warn_about_stem
from cdlearn.config import PRESETS, Config
from cdlearn.data import load
from cdlearn.data.fingerprints import check_same
from cdlearn.data.reading import reading_in
from cdlearn.methods import METHODS
from cdlearn.results import scoring
from cdlearn.results.run_folder import default_out, describe, folder_of, new_run, note_changes, resumed
from cdlearn.runtime.commandline import Parser, folder, guarded, settings_parser
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import Interrupted, UserError
from cdlearn.runtime.torchrun import Launch
from cdlearn.trainer import check_count, fit


def parser() -> Parser:
    """The options of training."""
    made = settings_parser(
        "train", "Learn representations of images without labels.", Config, {"preset": PRESETS, "method": METHODS}
    )
    made.add_argument("--out", type=folder, help="folder of the run; runs/DATA-METHOD-PRESET-sSEED if not given")
    made.add_argument("--resume", type=folder, metavar="RUN", help="go on with a run that was interrupted")
    made.add_argument("--skip-bad", action="store_true", help="leave out images that cannot be read, and count them")
    return made


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    launch, given = Launch(), sys.argv[1:] if arguments is None else arguments
    return launch.end(guarded(lambda: launch.do(lambda: _train(given, launch), benign=Interrupted)))


def _train(arguments: list[str], launch: Launch) -> None:
    began = time.monotonic()
    given = vars(parser().parse_args(arguments))
    resume, skip_bad = given.pop("resume", None), given.pop("skip_bad", False)
    asked_out = given.pop("out", None)
    if "crop" in given:
        given["crop"] = tuple(given["crop"])
    out = None  # for ranks but the first of several
    if resume:
        if asked_out:
            raise UserError(f"--resume writes into {resume}; leave --out away")
        out = folder_of(resume)
        config, skip_bad = resumed(out, given, skip_bad)
    else:
        config = Config.preset(given.pop("preset", "gpu" if torch.cuda.is_available() else "laptop"), **given)
    with launch.one_at_a_time():
        shown, stored = sys.stderr.isatty(), config.stored
        of = (config.data, config.size, config.limit, config.seed, skip_bad)
        images = load(*of, progress=shown, stored=stored, reading=reading_in(out) if resume else None)
    config = config.for_images(images)
    check_count(config, len(images))
    pick_device(config.device)
    warn_about_stem(config.stem, config.size)
    if resume and launch.first:
        check_same(checkpoint.read(out / "checkpoint.pt"), images.images)
        note_changes(out, config)
    elif launch.first:
        out = new_run(asked_out or default_out(config), asked_out is not None)
        describe(out, config, images, [*launch.command.split(), "-m", "cdlearn.train", *arguments], skip_bad)
    epochs = config.epochs_for(len(images))
    print(f"{config.method} on {len(images):,} images of {config.data}, {epochs} epochs, {out}", flush=True)
    print("  " + ", ".join(f"{k} {v}" for k, v in config.as_dict().items() if k not in ("data", "method")), flush=True)
    try:
        monitor = scoring.knn_monitor(images, config) if launch.first else None
        model = fit(config, images, out, resume=bool(resume), progress=True, after_epoch=monitor)
        launch.leave()
        if not launch.first:
            return
        scoring.close(model, config, images, out, model.history)
    except (Interrupted, KeyboardInterrupt):
        kept = out and (out / "checkpoint.pt").exists()
        told = f"saved; go on with: {launch.command} -m cdlearn.train --resume {out}"
        print(f"\n{told if kept else f'stopped before anything was saved; remove {out}'}", file=sys.stderr)
        raise
    trained = sum(row["seconds"] for row in model.history)
    print(f"\ntrained {trained:.0f} s, {time.monotonic() - began:.0f} s in all; figures and scores are in {out}")
    if images.labels is None:
        print(f"nobody sorted these images; see all of them as the network does: python -m cdlearn.report {out}")


if __name__ == "__main__":
    raise SystemExit(main())
