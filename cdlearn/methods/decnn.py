"""Deconvolutional networks (DeCNN; Zeiler et al., CVPR 2010): images as sums of few filters, layer upon layer.

A layer explains its input as the sum of maps convolved with filters, and wants the maps to be mostly 0: it minimises
half the squared error plus L1_WEIGHT times the sum of the maps' absolute values. There is no encoder. The maps of an
image are found by descent on this cost, and the filters learn with the maps held still. The maps are the input of the
next layer, which begins to learn when the layer below has finished. As in the original, images are grey, with the mean
and the contrast taken out.

Simplified: the shared backbone gives only its width, because a network without an encoder cannot be it. Maps have a
quarter of their input's places, they are found in a fixed number of steps (the original: all places, and a series of
ever harder subproblems), and mean and contrast are those of the image, not of each neighbourhood; all three for time.
There are two layers, because images of 32 px have no room for a third.

On swatches grey images without contrast, cut into local parts, are all it takes: K-means on the maps finds the four
patterns (NMI 1.000), but so it does before any filter has learned (three seeds). Table 2 has a row for that.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn.augment import luma
from cdlearn.backbones import Backbone
from cdlearn.methods.base import Method
from cdlearn.methods.views import with_backbone
from cdlearn.runtime import distributed

LAYERS = 2
L1_WEIGHT = 0.5  # weight of the L1 penalty on the maps, where the inputs have a mean square of 1
STEPS = 10  # in which maps are found
SIDE, STRIDE = 6, 2  # pixels: of a filter, and from place to place


def rebuilt(maps: Tensor, filters: Tensor) -> Tensor:
    """Maps (N, D, H, W) convolved with filters (D, C, SIDE, SIDE) and added up: (N, C, STRIDE H, STRIDE W)."""
    return F.conv_transpose2d(maps, filters, stride=STRIDE, padding=(SIDE - STRIDE) // 2)


def costs(x: Tensor, maps: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """Half the squared error and the L1 penalty on the maps, both per value of x: (N, C, H, W) -> two scalars."""
    return 0.5 * (rebuilt(maps, filters) - x).square().mean(), L1_WEIGHT * maps.abs().sum() / x.numel()


def steepest(filters: Tensor) -> Tensor:
    """A bound on how fast the gradient of the squared error in the maps can change, so that 1 / bound is a safe step.

    Of the filters at all places only every (SIDE / STRIDE)-th along each axis do not overlap. So the bound is the
    number of such groups times the largest eigenvalue of the filters' products G, for which (sum of the eigenvalues'
    eighth powers)^(1/8) stands here: at most D^(1/8) times too large, and without a GPU having to wait.
    """
    products = filters.flatten(1) @ filters.flatten(1).T
    size = products.norm()
    square = (products / size) @ (products / size)
    return (SIDE // STRIDE) ** 2 * size * (square @ square).norm() ** 0.25


@torch.no_grad()
def inferred(x: Tensor, filters: Tensor, steps: int = STEPS) -> Tensor:
    """The sparse maps of x, (N, C, H, W) -> (N, D, H / STRIDE, W / STRIDE), by FISTA (Beck and Teboulle, 2009).

    Each step goes down the gradient of the error and then towards 0 by a fixed amount (ISTA), from a point that is
    ahead in the direction of the last step, which takes the square root of the number of steps.
    """
    pace = 1 / steepest(filters)
    maps = ahead = x.new_zeros(len(x), len(filters), x.shape[2] // STRIDE, x.shape[3] // STRIDE)
    speed = 1.0
    for _ in range(steps):
        error = rebuilt(ahead, filters) - x
        lower = ahead - pace * F.conv2d(error, filters, stride=STRIDE, padding=(SIDE - STRIDE) // 2)
        found = lower.sign() * F.relu(lower.abs() - pace * L1_WEIGHT)
        speed, before = (1 + (1 + 4 * speed**2) ** 0.5) / 2, speed
        maps, ahead = found, found + (before - 1) / speed * (found - maps)
    return maps


def unit(x: Tensor) -> Tensor:
    """(N, C, H, W) divided by the root of each image's mean square; an empty image stays 0."""
    return x / x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-3)


class Layers(nn.Module):
    """Layers of sparse maps: x (N, 3, S, S) -> the mean absolute value of each map of the last, (N, dim)."""

    def __init__(self, dim: int):
        super().__init__()
        self.dim, self.architecture = dim, "decnn"  # what an export calls it
        wide = [1, *(max(1, dim // 4**step) for step in reversed(range(LAYERS)))]
        self.filters = nn.ParameterList(torch.randn(d, c, SIDE, SIDE) for c, d in pairwise(wide))

    def kernels(self, layer: int) -> Tensor:
        """The filters of a layer, each of unit norm: longer filters would make their maps cheap."""
        return F.normalize(self.filters[layer].flatten(1), dim=1).view_as(self.filters[layer])

    def inputs(self, x: Tensor, last: int = LAYERS) -> list[Tensor]:
        """(N, 3, S, S) -> what layers 0 to ``last`` explain; the input of layer LAYERS is what the last one found."""
        grey, over = luma(x), STRIDE**LAYERS
        centred = grey - grey.mean(dim=(2, 3), keepdim=True)
        found = [unit(F.pad(centred, (0, -x.shape[-1] % over, 0, -x.shape[-2] % over)))]
        for layer in range(last):
            found.append(unit(inferred(found[-1], self.kernels(layer))))
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.inputs(x)[-1].abs().mean(dim=(2, 3))


class DeCNN(Method):
    """A layer learns in its own part of the run, from what the finished layers below it find.

    Args:
        backbone: a module with ``.dim``, which becomes the number of the last layer's maps; not used otherwise.
        config: not read.
    """

    views_per_image = 1
    needs_unaugmented = True
    uses_backbone = False
    has_unused_parameters = True  # the filters of all layers but one
    least_epochs = (LAYERS, "the filters of the last layers never learn")

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.backbone = Layers(backbone.dim)
        self.layer = 0  # the one that learns; set before every step

    def begin_step(self, epoch: int, epochs: int, index: Tensor) -> None:
        self.layer = LAYERS * epoch // epochs

    def training_loss(self, x: Tensor) -> dict[str, Tensor]:
        """Plain images x (N, 3, S, S) -> ``loss`` and its two terms, of the layer that learns."""
        seen, filters = self.backbone.inputs(x, self.layer)[-1], self.backbone.kernels(self.layer)
        error, penalty = distributed.averaged(*costs(seen, inferred(seen, filters.detach()), filters))
        return {"loss": error + penalty, "reconstruction": error, "penalty": penalty}

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone``, of the last layer (N, dim), and ``output``: of all layers, side by side."""
        found = [part.float().abs().mean(dim=(2, 3)) for part in self.backbone.inputs(x)[1:]]
        return with_backbone(found[-1], lambda h: torch.cat(found, dim=1))
