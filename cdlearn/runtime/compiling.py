"""torch.compile where it pays; where it fails, the plain function and one line that says so."""

import sys
from collections.abc import Callable

import torch
from torch import nn
from tqdm import tqdm

from cdlearn.runtime import distributed

BACKEND = "inductor"
# Compiling takes about a minute, and saves perhaps 15 ms of a step of ResNet-18 at 32 px, batch 512. Both are
# estimates until a GPU has been measured.
FEWEST_STEPS = 4000


def say(line: str) -> None:
    """One line on stderr, above a progress bar if there is one."""
    tqdm.write(line, file=sys.stderr)


def pays(wanted: bool, device: torch.device, steps: int) -> bool:
    """Whether to compile for this many steps. Says so when it was wanted, and is left out on a GPU."""
    if not wanted or device.type != "cuda":
        return False
    if steps < FEWEST_STEPS:
        say(f"note: {steps} steps would end before compiling has paid for itself; training without it")
        return False
    return True


def loss_pays() -> bool:
    """Whether the loss can be compiled as one graph; several processes only compile the views.

    With several processes every BatchNorm waits for the others (SyncBatchNorm), and so do the gathered embeddings:
    each would cut the graph in two, and the pieces are too small to gain from.
    """
    if distributed.ranks() > 1:
        say("note: with several processes only the views are compiled")
    return distributed.ranks() == 1


def compiled(function: Callable) -> Callable:
    """``function``, to be compiled when it is first called. Batches all have one shape, so shapes are constants."""
    return torch.compile(function, backend=BACKEND, dynamic=False)


def works(trial: Callable[[], None], model: nn.Module) -> bool:
    """Whether ``trial``, the first call of compiled functions, forward and backward, gets through; if not, says why.

    Afterwards the buffers of ``model``, as BatchNorm's statistics, are what they were, and it has no gradients.
    Whatever is raised counts as a failure of the compiler, because Dynamo, Inductor, Triton and the C++ compiler each
    raise their own kinds; but a full memory is raised again, as without the compiler the step needs even more of it.
    """
    before = [buffer.clone() for buffer in model.buffers()]
    try:
        trial()
        return True
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0][:200]
        say(f"warning: compiling failed ({type(error).__name__}: {reason}); training goes on without it, slower")
        return False
    finally:
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, value in zip(model.buffers(), before, strict=True):
                buffer.copy_(value)
