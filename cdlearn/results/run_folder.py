"""The folder of a run: its name, that it is new, what it says of itself, and how to go on with it."""

import json
import platform
import shlex
from dataclasses import replace
from pathlib import Path

import torch
import torchvision

from cdlearn import checkpoint
from cdlearn.config import Config
from cdlearn.data import ImageSet
from cdlearn.runtime.errors import UserError


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
