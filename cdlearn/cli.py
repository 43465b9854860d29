"""The command lines: options made from the settings, errors in one line."""

import argparse
import json
import platform
import re
import shlex
import signal
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import torch
import torchvision

from cdlearn import checkpoint, report
from cdlearn.backbones import warn_about_stem
from cdlearn.config import PRESETS, Config
from cdlearn.data import ImageSet, load
from cdlearn.devices import pick_device
from cdlearn.errors import UserError, did_you_mean
from cdlearn.launch import Launch
from cdlearn.methods import METHODS
from cdlearn.train import Interrupted, check_count, fit


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest known option."""

    def error(self, message: str):
        for word in re.findall(r"--[\w-]+", message) if "unrecognized" in message else []:
            message = f"unknown option {word}{did_you_mean(word, self._option_string_actions)}"
            break
        raise UserError(f"{message}; see --help")


def parser() -> Parser:
    """The options of training."""
    made = settings_parser("train", "Learn representations of images without labels.")
    made.add_argument("--out", type=Path, help="folder of the run; runs/DATA-METHOD-PRESET-sSEED if not given")
    made.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run that was interrupted")
    made.add_argument("--skip-bad", action="store_true", help="leave out images that cannot be read, and count them")
    return made


def settings_parser(module: str, description: str) -> Parser:
    """One option a setting; only those given appear in the result."""
    made = Parser(
        prog=f"python -m cdlearn.{module}",
        description=description,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument("--preset", help=f"{', '.join(PRESETS)}; gpu where there is one, else laptop")
    for field in fields(Config):
        option = "--" + field.name.replace("_", "-")
        if field.name == "rung":
            continue
        if field.type is bool:
            made.add_argument(option, action=argparse.BooleanOptionalAction)
        elif field.name == "crop":
            made.add_argument(option, nargs=2, type=float, metavar=("LOW", "HIGH"))
        elif field.name == "method":
            made.add_argument(option, help=", ".join(METHODS))
        else:
            made.add_argument(option, type=field.type if isinstance(field.type, type) else int)
    return made


def guarded(work) -> int:
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


def train(arguments: list[str] | None = None) -> int:
    """``python -m cdlearn.train``."""
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
        out = resume.parent if resume.name == "checkpoint.pt" else resume
        config, skip_bad = resumed(out, given, skip_bad)
    else:
        config = Config.preset(given.pop("preset", "gpu" if torch.cuda.is_available() else "laptop"), **given)
    with launch.one_at_a_time():
        images = load(config.data, config.size, config.limit, config.seed, skip_bad, progress=sys.stderr.isatty())
    config = config.for_images(images)
    check_count(config, len(images))
    pick_device(config.device)
    warn_about_stem(config.stem, config.size)
    if not resume and launch.first:
        out = new_run(asked_out or default_out(config), asked_out is not None)
        describe(out, config, images, [*launch.command.split(), "-m", "cdlearn.train", *arguments], skip_bad)
    epochs = config.epochs_for(len(images))
    print(f"{config.method} on {len(images):,} images of {config.data}, {epochs} epochs, {out}", flush=True)
    print("  " + ", ".join(f"{k} {v}" for k, v in config.as_dict().items() if k not in ("data", "method")), flush=True)
    try:
        monitor = report.knn_monitor(images, config) if launch.first else None
        model = fit(config, images, out, resume=bool(resume), progress=True, after_epoch=monitor)
        launch.leave()
        if not launch.first:
            return
        report.close(model, config, images, out, model.history)
    except (Interrupted, KeyboardInterrupt):
        print(f"\nsaved; go on with: {launch.command} -m cdlearn.train --resume {out}", file=sys.stderr)
        raise
    trained = sum(row["seconds"] for row in model.history)
    print(f"\ntrained {trained:.0f} s, {time.monotonic() - began:.0f} s in all; figures and scores are in {out}")


def default_out(config: Config) -> Path:
    """A name of its own for every data set, method, preset and seed."""
    data = Path(config.data).name or "images"
    return Path("runs") / f"{data}-{config.method}-{config.rung}-s{config.seed}"


def new_run(out: Path, chosen: bool) -> Path:
    """Make the folder of a run. One that holds a run is never written into: a chosen name is refused, else a new found.

    Raises:
        UserError: naming the folder.
    """
    if chosen and (out / "config.json").exists():
        raise UserError(f"{out} holds a run already; go on with --resume {out}, or choose another --out")
    free, number = out, 2
    while (free / "config.json").exists():
        free, number = out.with_name(f"{out.name}-{number}"), number + 1
    try:
        free.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {free} ({error.strerror}); choose another --out") from error
    return free


def describe(out: Path, config: Config, images: ImageSet, command: list[str], skip_bad: bool) -> None:
    """config.json: everything needed to repeat the run."""
    described = {
        "command": shlex.join(command),
        "config": config.as_dict(),
        "skip_bad": skip_bad,
        "images": len(images),
        "classes": list(images.classes),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        },
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads"
        + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""),
    }
    checkpoint.write_text(out / "config.json", json.dumps(described, indent=1) + "\n")


def resumed(run: Path, given: dict, skip_bad: bool) -> tuple[Config, bool]:
    """The settings of a run to go on with. Raises UserError where other settings were asked for, showing both."""
    try:
        described = json.loads((run / "config.json").read_text())
        config = Config.from_dict(described["config"])
        config.check()
    except FileNotFoundError as error:
        raise UserError(f"no run to resume in {run}: config.json is missing") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{run / 'config.json'} is damaged ({error}); the run cannot go on") from error
    if not (run / "checkpoint.pt").exists():
        raise UserError(f"{run} was stopped before its first checkpoint; remove it and start again")
    changed = [
        f"{k} is {getattr(config, k)} there, {v} here"
        for k, v in given.items()
        if getattr(config, k) != v and k != "device"
    ]
    if changed:
        raise UserError(f"{run} was made with other settings ({'; '.join(changed)}); leave them out or start a new run")
    config = replace(config, device=given.get("device", config.device))
    return config, skip_bad or described.get("skip_bad", False)


def evaluate(arguments: list[str] | None = None) -> int:
    """``python -m cdlearn.evaluate RUN``."""
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
    images = load(data, config.size, limit, config.seed, asked.skip_bad, progress=sys.stderr.isatty())
    state = checkpoint.read(asked.run / "checkpoint.pt")
    name = "scores" if data == config.data and limit == config.limit else f"scores-{Path(data).name}"
    print(f"{asked.run}, {state['epoch']} epochs, on {len(images):,} images of {data}", flush=True)
    report.close(model, config, images, asked.run, state["history"] if name == "scores" else [], name)


def compare(arguments: list[str] | None = None) -> int:
    """``python -m cdlearn.compare``."""
    return guarded(lambda: _compare(sys.argv[1:] if arguments is None else arguments))


def _compare(arguments: list[str]) -> None:
    from cdlearn import compare, tables

    made = settings_parser("compare", "Run a table of the paper and set the published values beside ours.")
    made.add_argument("--table", type=int, required=True, help="2 to 10")
    made.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], help="training seeds")
    made.add_argument("--out", type=Path, default=Path("figures"), help="folder for table-N-DATA.csv, .md and .png")
    asked = vars(made.parse_args(arguments))
    number, seeds, out = (asked.pop(name) for name in ("table", "seeds", "out"))
    if "seed" in asked:
        raise UserError("a table is run over several seeds; pass --seeds instead of --seed")
    if "method" in asked:
        raise UserError("a table says itself which methods it compares; leave --method away")
    if "crop" in asked:
        asked["crop"] = tuple(asked["crop"])
    compare.published(number)
    preset = asked.pop("preset", "gpu" if torch.cuda.is_available() else "laptop")
    found = compare.rows(number, preset, tuple(seeds), **asked)
    data = Path(asked.get("data", "shapes")).name
    shown = [word if "/" not in word else f"path/to/{Path(word).name}" for word in arguments]
    note = f"Measured with `{shlex.join(['python', '-m', 'cdlearn.compare', *shown])}`; mean ± std over training seeds."
    for path in tables.write(found, number, data, note, out):
        print(path)
    print("\n" + tables.markdown(found, number, note))
