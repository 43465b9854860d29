"""What methods with phases share: passes over all images, and what a run remembers of every image."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cdlearn import k_means as k_means_of
from cdlearn.augment import to_size
from cdlearn.losses import at_least_float32
from cdlearn.runtime.devices import autocast

BATCH = 512  # images that pass at once where no gradient is kept
FITTED = 10_000  # images that K-means is fitted on, at most; the others go to the nearest centre


def begins(fraction: float, epochs: int) -> int:
    """The epoch, counted from 0, at which a phase begins that leaves out this fraction of the run's epochs."""
    return int(fraction * epochs)


class PerImage(nn.Module):
    """What a run remembers of every image: ``of``, a buffer (N, ...), whose N a fresh model does not know yet.

    As a buffer it is saved, moved and shared between processes like any other. It takes the shape of what is loaded.
    """

    of: Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("of", torch.zeros(0))

    def _load_from_state_dict(self, state: dict, prefix: str, *others) -> None:
        saved = state.get(f"{prefix}of")
        if isinstance(saved, Tensor):
            self.of = torch.empty_like(saved, device=self.of.device)
        super()._load_from_state_dict(state, prefix, *others)


@torch.no_grad()
def encoded(model: nn.Module, encode: Callable[[Tensor], Tensor], images: Tensor, config) -> Tensor:
    """``encode`` of every image, in order, in evaluation mode: no image depends on the others of its batch.

    images: uint8 (N, 3, H, W); encode: (M, 3, S, S) -> (M, D). Returns (N, D) on the model's device, float32 at least.
    """
    device, training = next(model.parameters()).device, model.training
    model.eval()
    parts = []
    for part in images.split(BATCH):
        x = to_size(part.to(device), config.size).contiguous(memory_format=torch.channels_last)
        with autocast(device, config.amp):
            parts.append(at_least_float32(encode(x)))
    model.train(training)
    return torch.cat(parts)


def k_means(rows: Tensor, k: int, seed: int, starts: int) -> tuple[Tensor, Tensor]:
    """Rows (N, D) -> centres (k, D), as exact as the rows, and the number of the nearest centre (N,) int64."""
    given = rows.cpu().double().numpy()  # in double, rounding hides the order in which threads add up
    part = given[:: -(-len(given) // FITTED)] if len(given) >= k * -(-len(given) // FITTED) else given
    found = k_means_of.fitted(part, k, seed, starts)
    centres = torch.from_numpy(found.cluster_centers_).to(rows)
    return centres, torch.from_numpy(found.predict(given)).long().to(rows.device)
