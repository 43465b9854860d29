"""Checkpoints that describe themselves, load as weights only, and are never half written."""

import io
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from cdlearn.config import Config
from cdlearn.methods import build
from cdlearn.runtime.errors import UserError
from cdlearn.runtime.files import digest, write, write_rows, write_text  # noqa: F401 (names of this room)
from cdlearn.runtime.older_runs import with_new_names
from cdlearn.runtime.paths import expanded

FORMAT = "cdlearn checkpoint 1"


def save(path: Path, state: dict) -> None:
    """Write ``state`` (tensors, numbers, strings, lists and dicts of them); see :func:`write`."""
    buffer = io.BytesIO()  # torch.save hides why a write failed, so it writes to memory first
    torch.save({"format": FORMAT, **state}, buffer)
    write(path, lambda file: file.write(buffer.getbuffer()), f"--resume {Path(path).parent}")


def read(path: Path) -> dict:
    """The state that :func:`save` wrote, on the CPU.

    Raises:
        UserError: for a missing or damaged file, one that is not ours, or one that would run code on loading.
    """
    path = expanded(path)
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}; is the folder a run of cdlearn.train?")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged zip, foreign pickle, unsafe globals: each raises its own kind
        raise UserError(f"{path} is refused: damaged, or not made by cdlearn ({type(error).__name__})") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(f"{path} is refused: not a {FORMAT}")
    return with_new_names(state)


def settings(path: Path) -> Config | None:
    """The settings that a checkpoint was made with, without reading its weights; None where they cannot be read."""
    try:
        return Config.from_dict(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["config"])
    except Exception:  # see read
        return None


def progress(state: dict) -> tuple[int, float, dict[str, Tensor], list[dict[str, float]]]:
    """How far a checkpoint is: step, seconds of the epoch at hand, sums of its loss terms, a row per finished epoch.

    Raises:
        UserError: where these cannot be, as in a file that something else wrote.
    """
    step, seconds, sums, history = (state.get(name) for name in ("step", "seconds", "sums", "history"))
    rows = history if isinstance(history, list) and all(isinstance(row, dict) for row in history) else [{}]
    sound = {
        "step": type(step) is int and step >= 0,
        "seconds": type(seconds) in (int, float) and 0 <= seconds < math.inf,
        "sums": isinstance(sums, dict) and all(isinstance(v, Tensor) and v.shape == () for v in sums.values()),
        "history": [row.get("epoch") for row in rows] == list(range(1, len(rows) + 1))
        and all(type(value) in (int, float) for row in rows for value in row.values()),
    }
    for name, fine in sound.items():
        if not fine:
            raise UserError(f"the checkpoint is damaged: its {name} cannot be")
    return step, seconds, sums, history


def all_finite(model: nn.Module) -> bool:
    """Whether every weight and every buffer is: BatchNorm's variances can be infinite where no weight is."""
    return bool(torch.stack([value.isfinite().all() for value in model.state_dict().values()]).all())


def load_model(run: str | Path):
    """The trained model of a run (folder or checkpoint file), in evaluation mode, and its Config.

    Returns:
        (model, config): ``model.represent(x)`` gives ``backbone`` and ``output``.
    """
    path = expanded(run)
    state = read(path / "checkpoint.pt" if path.is_dir() or not path.suffix else path)
    try:
        config = Config.from_dict(state.get("config"))
        model = build(config)
        model.load_state_dict(state["model"])
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError, UserError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is refused: its settings and weights do not fit together ({reason})") from error
    return model.eval(), config
