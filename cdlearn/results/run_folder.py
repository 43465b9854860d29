"""The folder of a run: its name, that it is new, its config.json, and how to resume it."""

import contextlib
import json
import os
import platform
import shlex
import tempfile
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import torch
import torchvision

from cdlearn import checkpoint
from cdlearn.config import MACHINE, Config
from cdlearn.data import NAMES, ImageSet
from cdlearn.data.reading import Reading
from cdlearn.runtime.errors import UserError, shortened
from cdlearn.runtime.paths import expanded

PACKAGES = ("cdlearn", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "scikit-image", "pillow")
# Any of these makes a folder that of a run
FILES = ("config.json", "checkpoint.pt", "metrics.csv", "scores.json", "table.json")


def data_name(data: str) -> str:
    """What files made from a data set are called after: its name or that of its folder, at most 100 bytes long."""
    name = Path(os.path.abspath(data)).name or "images"
    if len(name.encode(errors="surrogateescape")) > 100:
        return f"{name.encode(errors='ignore')[:80].decode(errors='ignore')}-{checkpoint.digest({'name': name})}"
    return name


def default_out(config: Config) -> Path:
    """A name of its own for every data set, method, preset and seed."""
    return Path("runs") / f"{data_name(config.data)}-{config.method}-{config.preset_name}-s{config.seed}"


def folder_of(run: str | Path) -> Path:
    """The folder of a run that was named by it or by its checkpoint."""
    run = expanded(run)
    return run.parent if run.name == "checkpoint.pt" else run


def make_folder(folder: Path) -> Path:
    """Make ``folder`` where it is missing, and see that files can be made in it: before the work, not after it.

    Raises:
        UserError: naming the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        why = f"cannot write into the folder {shortened(str(folder))} ({error.strerror})"
        raise UserError(f"{why}; choose another --out, or start from elsewhere") from error
    return folder


def new_run(out: Path, chosen: bool) -> Path:
    """Claim a folder for a run. One that holds a run, or part of one, is never written into.

    A chosen name is then refused; else the next free number is found. Making config.json, which succeeds only once, is
    the claim: of several runs that start together each gets a folder of its own.

    Raises:
        UserError: naming the folder.
    """
    free, number = out, 1
    while (held := held_by(free)) or not claim(free):
        if chosen:
            whole = held in ("", "config.json")  # "": another process has just claimed it
            fix = f"go on with --resume {out}, or choose another --out" if whole else "choose another --out"
            raise UserError(f"{out} holds a run already ({held or 'config.json'}); {fix}")
        number += 1
        free = out.with_name(f"{out.name}-{number}")
    return free


def home_of(config: Config, home: Path, beginning: str = "") -> Path:
    """The folder below ``home`` of the run with these very settings: the one that is there, else a new one's name.

    Its name is ``beginning`` and a digest of what differs from the defaults, so that a setting added to Config changes
    no name. But names were made otherwise before, and a default may change: so the settings kept in a folder decide.
    """
    name = f"{beginning}{checkpoint.digest(config.differences())}"
    there = sorted(entry.name for entry in os.scandir(home) if entry.is_dir()) if home.is_dir() else []
    for other in sorted((each for each in there if each.startswith(beginning)), key=lambda each: each != name):
        if not other.startswith(".") and settings_kept(home / other) == config:
            return home / other
    number = 1
    while settings_kept(home / name):  # of another run
        number += 1
        name = f"{beginning}{checkpoint.digest(config.differences() | {'number': number})}"
    return home / name


def settings_kept(run: Path) -> Config | None:
    """The settings of a run by its config.json, else by its checkpoint; None where neither can be read."""
    try:
        return read_description(run / "config.json")["config"]
    except UserError:
        return checkpoint.settings(run / "checkpoint.pt")


def held_by(folder: Path) -> str:
    """The first file of a run in ``folder``, or nothing."""
    return next((name for name in FILES if os.path.lexists(folder / name)), "")


def claim(folder: Path) -> bool:
    """Whether this process, and no other, made the config.json of ``folder``; it is empty yet."""
    make_folder(folder)
    try:
        (folder / "config.json").open("x").close()
    except FileExistsError:
        return False
    return True


def describe(
    out: Path, config: Config, images: ImageSet, command: list[str], skip_bad: bool, weights: dict | None = None
) -> None:
    """config.json: everything needed to repeat the run. weights: of a pretrained start, its name and hash."""
    described = {
        "command": shlex.join(command),
        "config": config.as_dict(),
        "skip_bad": skip_bad,
        **({"weights": weights} if weights else {}),
        "images": len(images),
        "classes": list(images.classes),
        "reading": (images.reading or Reading(images.images.shape[-1])).as_dict(),
        "versions": versions(),
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads"
        + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""),
    }
    checkpoint.write_text(out / "config.json", json.dumps(described, indent=1) + "\n")


def versions() -> dict[str, str]:
    """Of Python, of cdlearn and of every package that results may depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):  # cdlearn, where its files were only copied
            found[name] = metadata.version(name)
    return found | {name: module.__version__ for name, module in (("torch", torch), ("torchvision", torchvision))}


def resumed(run: Path, given: dict, skip_bad: bool) -> tuple[Config, bool]:
    """The settings of a run to go on with, and whether it skips bad files.

    given: the settings asked for. Those of :data:`cdlearn.config.MACHINE` may differ from those the run began with, and
    so may the folder of the images, which may have moved: the checkpoint's fingerprint shows whether they are the same.

    Raises:
        UserError: where there is no such run, or other settings were asked for, showing both.
    """
    path = run / "config.json"
    if path.is_file() and not (run / "checkpoint.pt").exists():
        raise UserError(f"{run} was stopped before its first checkpoint; remove it and start again")
    described = read_description(path)
    config = described["config"]
    data = given.get("data", config.data)
    moved = config.data not in NAMES and data not in NAMES
    if moved and not expanded(data).is_dir():
        raise UserError(f"{run} learned from {data}, and there is no such folder now; pass --data FOLDER")
    asked = {"preset_name" if name == "preset" else name: value for name, value in given.items()}
    changed = [
        f"{'preset' if name == 'preset_name' else name} is {getattr(config, name)} there, {value} here"
        for name, value in asked.items()
        if getattr(config, name) != value and name not in MACHINE and not (name == "data" and moved)
    ]
    if changed:
        raise UserError(f"{run} was made with other settings ({'; '.join(changed)}); leave them out or start a new run")
    config = replace(config, **{name: value for name, value in asked.items() if name in (*MACHINE, "data")})
    return config, skip_bad or bool(described.get("skip_bad"))


def read_description(path: Path) -> dict:
    """config.json, with its settings as a Config. Raises UserError where it is missing or damaged."""
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(described, dict):
            raise UserError("there are no settings in it")
        return described | {"config": Config.from_dict(described.get("config"))}
    except FileNotFoundError as error:
        raise UserError(f"no run to resume in {path.parent}: config.json is missing") from error
    except (OSError, ValueError, RecursionError, UserError) as error:
        raise UserError(f"{path} is damaged ({error}); the run cannot go on") from error


def note_changes(out: Path, config: Config) -> None:
    """Print, and write into config.json, where a resumed run differs: device, compile, amp, folder."""
    path = out / "config.json"
    described = read_description(path)
    before, now = described["config"].as_dict(), config.as_dict()
    changes = {name: [before[name], now[name]] for name in (*MACHINE, "data") if before[name] != now[name]}
    if not changes:
        return
    others = ", ".join(f"{name} {new!r} instead of {old!r}" for name, (old, new) in changes.items() if name != "data")
    if "data" in changes:
        print(f"going on with the same images in {now['data']}, which were in {before['data']}")
    if others:
        print(f"going on with {others}: the last digits may differ from those of an uninterrupted run")
    described |= {"config": now, "changed on resume": [*described.get("changed on resume", []), changes]}
    checkpoint.write_text(path, json.dumps(described, indent=1) + "\n")
