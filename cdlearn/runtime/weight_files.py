"""Files of weights that others made: read as tensors only, whatever they are wrapped in."""

import argparse
import hashlib
import pickle
import re
import warnings
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from cdlearn.runtime.errors import UserError

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "backbone", "encoder")
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".th")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors of a file by name, and what else is said beside them: a safetensors file's notes, or a dict's rest.

    Raises:
        UserError: for a file that is missing, damaged, of another kind, holds no tensors, or would run code.
    """
    if not path.is_file():
        raise UserError(f"no file or run at {path}; --weights takes imagenet, a file of weights or the folder of a run")
    if path.suffix == ".safetensors":
        return from_safetensors(path)
    if path.suffix not in PICKLES:
        raise UserError(f"{path} is no file of weights; --weights takes .safetensors, .pt or .pth")
    state, rest = unwrapped(from_pickle(path))
    if not state:
        raise UserError(f"{path} holds no weights by name; save the state_dict() of the network alone")
    return state, rest


def from_safetensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """See :func:`read`."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            notes = file.metadata() or {}
        return safetensors.torch.load_file(path), notes
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); copy or download it again") from error


def from_pickle(path: Path) -> object:
    """What torch.save wrote, if it is tensors, numbers and strings, and options as argparse keeps them.

    Raises:
        UserError: for whatever else there is in it, by name.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of TorchScript, which is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+) was not", str(error))
        if not found:
            raise UserError(f"{path} is damaged, or no file of torch.save; copy or download it again") from error
        raise UserError(
            f"{path} is refused: it holds {found[1]}, so loading it could run code; where it was made, save the "
            "state_dict() alone"
        ) from error
    except Exception as error:  # a damaged zip, a foreign pickle, TorchScript: each raises its own kind
        script = "TorchScript" in str(error)
        fix = "save the state_dict() of the network" if script else "copy or download it again"
        what = "is a TorchScript program" if script else f"is damaged ({type(error).__name__})"
        raise UserError(f"{path} {what}; {fix}") from error


def unwrapped(found: object) -> tuple[dict[str, Tensor], dict]:
    """The tensors in a dict, and what lies beside them; where they are wrapped, those of the first known wrapper."""
    rest: dict = {}
    while isinstance(found, dict):
        inner = next((found[name] for name in WRAPPERS if isinstance(found.get(name), dict)), None)
        if inner is None:
            tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
            return tensors, rest | {name: value for name, value in found.items() if name not in tensors}
        rest |= {name: value for name, value in found.items() if value is not inner}
        found = inner
    return {}, rest
