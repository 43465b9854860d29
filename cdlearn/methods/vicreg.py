"""VICReg (Bardes et al., 2022): views alike, columns spread out, no two columns alike.

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

from cdlearn.losses import at_least_float32
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


def vicreg_loss(z1: Tensor, z2: Tensor) -> dict[str, Tensor]:
    """z1, z2 (N, D) of the two views -> ``loss``, ``invariance``, ``variance`` and ``covariance``.

    The arithmetic is done in float32 at least. Raises ValueError for a single image, which has no variance.
    """
    if len(z1) < 2:
        raise ValueError("VICReg needs at least 2 images: a single one has no variance")
    with torch.autocast(z1.device.type, enabled=False):
        z1, z2 = at_least_float32(z1), at_least_float32(z2)
        invariance = F.mse_loss(z1, z2)
        variance = (variance_loss(z1) + variance_loss(z2)) / 2
        redundant = covariance(z1) + covariance(z2)
        loss = INVARIANCE * invariance + VARIANCE * variance + COVARIANCE * redundant
    return {"loss": loss, "invariance": invariance, "variance": variance, "covariance": redundant}


class VICReg(Method):
    """h = f(x), z = expander(h). Reads dim, hidden and per_view_batch_norm of the config."""

    def __init__(self, backbone: nn.Module, config):
        super().__init__()
        self.config, self.backbone = config, backbone
        self.expander = expander(backbone.dim, config.hidden, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """(M, 3, S, S) -> z (M, dim)."""
        return self.expander(self.backbone(x))

    def training_loss(self, x1: Tensor, x2: Tensor, x: Tensor | None = None) -> dict[str, Tensor]:
        """Two views (N, 3, S, S) -> ``loss`` and its three terms; x, the plain images, is not used."""
        z1, z2 = forward_views(self, (x1, x2), self.config.per_view_batch_norm)
        return vicreg_loss(*distributed.gathered(z1, z2))

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim), which the paper evaluates, and ``output`` z (N, dim)."""
        return with_backbone(self.backbone(x), self.expander)
