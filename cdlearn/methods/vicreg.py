"""VICReg (Bardes et al., 2022): similar views, columns that vary, no two columns correlated.

No image is compared with another one. There are three terms on z, the output of the expander. *Invariance* brings the
two views of an image together. *Variance* keeps every column's standard deviation at 1 or above, so that not all images
end in one point. *Covariance* keeps the columns from saying the same.

Where the paper and its published code differ, this follows the code, which made the published numbers: the squared
distance is averaged over the columns, and the variance over the two views. Simplified: Adam instead of LARS; ``hidden``
and ``dim`` set the widths of the expander, 8192 each in the paper.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn.backbones import Backbone
from cdlearn.losses import at_least_float32, over_pairs
from cdlearn.methods.base import Method
from cdlearn.methods.views import forward_views, with_backbone
from cdlearn.runtime import distributed

INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0  # the weights of the three terms, as published
SMALLEST = 1e-4  # added to a variance: the root of 0 has no gradient


def expander(dim: int, hidden: int, out: int) -> nn.Sequential:
    """(N, dim) -> (N, out)."""
    layers: list[nn.Module] = []
    for width in (dim, hidden):
        layers += [nn.Linear(width, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(hidden, out, bias=False))


def variance_loss(z: Tensor) -> Tensor:
    """How far the columns' standard deviations fall short of 1, on average: (N, D) -> scalar, 0 to 1."""
    return F.relu(1 - torch.sqrt(z.var(dim=0) + SMALLEST)).mean()


def covariance(z: Tensor) -> Tensor:
    """The squared covariances of every two columns, added up and divided by the number of columns: (N, D) -> scalar."""
    centred = z - z.mean(dim=0)
    squares = (centred.T @ centred / (len(z) - 1)).square()
    return (squares.sum() - squares.diagonal().sum()) / z.shape[1]


def vicreg_loss(*z: Tensor) -> dict[str, Tensor]:
    """z (N, D) of each view, two large ones first -> ``loss``, ``invariance``, ``variance`` and ``covariance``.

    The invariance is averaged over the pairs of losses.over_pairs, the other two over all views; the covariance counts
    twice, because of two views the published loss has the sum. The arithmetic is done in float32 at least. Raises
    ValueError for a single image, which has no variance.
    """
    if len(z[0]) < 2:
        raise ValueError("VICReg needs at least 2 images: a single one has no variance")
    with torch.autocast(z[0].device.type, enabled=False):
        z = tuple(at_least_float32(each) for each in z)
        invariance = over_pairs(F.mse_loss, z)
        variance = sum(map(variance_loss, z), z[0].new_zeros(())) / len(z)
        redundant = 2 * (sum(map(covariance, z), z[0].new_zeros(())) / len(z))
        loss = INVARIANCE * invariance + VARIANCE * variance + COVARIANCE * redundant
    return {"loss": loss, "invariance": invariance, "variance": variance, "covariance": redundant}


class VICReg(Method):
    """h = f(x), z = expander(h). Reads dim, hidden and per_view_batch_norm of the config."""

    multi_crop = True

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.config, self.backbone = config, backbone
        self.expander = expander(backbone.dim, config.hidden, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """(M, 3, S, S) -> z (M, dim)."""
        return self.expander(self.backbone(x))

    def training_loss(self, *views: Tensor, x: Tensor | None = None) -> dict[str, Tensor]:
        """Two large views (N, 3, S, S), and small ones, if any -> ``loss`` and its three terms; x is not used."""
        return vicreg_loss(*distributed.gathered(*forward_views(self, views, self.config.per_view_batch_norm)))

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim), which the paper evaluates, and ``output`` z (N, dim)."""
        return with_backbone(self.backbone(x), self.expander)
