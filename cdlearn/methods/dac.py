"""Deep Adaptive Clustering (Chang et al., ICCV 2017): is this pair of images of one cluster or of two?

The output l of an image is a softmax over the clusters, divided by its length. The cosine l_i . l_j of two plain images
labels the pair: of one cluster above an upper threshold, of two below a lower one, not used in between. The
network then has to predict the same for the pair's augmented views. The thresholds start far apart, so that only clear
pairs count, and move towards each other until every pair is used. No image needs a label; pairs make the clusters.

Simplified: a pair is chosen anew in every step, from the batch (the original: ten rounds over 1,000 images with one
choice). lambda, which moves the thresholds, rises so that they meet in the last epoch, however long the run; the
original adds a fixed step per epoch. The loss is the mean over the chosen pairs, not their sum, so that the learning
rate does not depend on their number.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cdlearn.backbones import Backbone
from cdlearn.losses import at_least_float32
from cdlearn.methods.base import Method
from cdlearn.methods.cd import feature_heads
from cdlearn.methods.views import forward_views, with_backbone
from cdlearn.runtime import distributed

TINY = 1e-6  # added before the logarithm, so that one confidently wrong pair does not outweigh all others
UPPER, LOWER = 0.95, 0.455  # the thresholds at lambda = 0 ...
RISE, FALL = 0.1, 1.0  # ... how much lambda raises the lower and lowers the upper one ...
LAST = (UPPER - LOWER) / (RISE + FALL)  # ... and where they meet: lambda = 0.45, both at 0.5


def cosines(p1: Tensor, p2: Tensor) -> Tensor:
    """(N, K), (M, K), rows of probabilities -> (N, M) in [0, 1]; 1 only for two one-hot rows of the same cluster."""
    return F.normalize(p1, dim=1) @ F.normalize(p2, dim=1).T


def pair_loss(same: Tensor, found: Tensor, used: Tensor) -> Tensor:
    """Mean binary cross entropy over the pairs that are used, in nats; 0 where none is.

    same: (N, M), whether the pair is of one cluster; found: (N, M) cosines in [0, 1]; used: (N, M) bool.
    """
    cost = -torch.where(same, torch.log(found + TINY), torch.log(1 - found + TINY))
    return (cost * used).sum() / used.sum().clamp(min=1)


class DAC(Method):
    """h = f(x), p = softmax of two layers on h, each with BatchNorm, as in the authors' code.

    Args:
        backbone: a module with ``.dim``.
        config: reads clusters, hidden, per_view_batch_norm.
    """

    relaxed: Tensor
    needs_unaugmented = True
    needs_clusters = True
    least_epochs = (2, "the thresholds never move, so that only the clearest pairs count")

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.config, self.backbone = config, backbone
        # without BatchNorm before the softmax all outputs start nearly equal, and every pair counts as one cluster
        self.clusters = feature_heads(backbone.dim, config.hidden, config.clusters)
        self.register_buffer("relaxed", torch.zeros(()))  # lambda

    def forward(self, x: Tensor) -> Tensor:
        """(M, 3, S, S) -> p (M, clusters), rows that add up to 1."""
        return at_least_float32(self.clusters(self.backbone(x))).softmax(dim=1)

    def begin_epoch(self, epoch: int, epochs: int, images: Tensor) -> None:
        """Move the thresholds."""
        self.relaxed.fill_(LAST * epoch / max(1, epochs - 1))

    def training_loss(self, x1: Tensor, x2: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Two views and plain images, each (N, 3, S, S) -> ``loss``, ``pairs`` (the same), ``used`` (a fraction)."""
        with torch.no_grad():
            plain = self(x.contiguous(memory_format=torch.channels_last))
        p1, p2 = forward_views(self, (x1, x2), self.config.per_view_batch_norm)
        plain, p1, p2 = distributed.gathered(plain, p1, p2)
        with torch.autocast(x.device.type, enabled=False):
            known = cosines(plain, plain)
            same = known >= UPPER - FALL * self.relaxed
            used = same | (known < LOWER + RISE * self.relaxed)
            loss = pair_loss(same, cosines(p1, p2), used)
        return {"loss": loss, "pairs": loss, "used": used.to(loss).mean()}

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output`` p (N, clusters), rows that add up to 1."""
        return with_backbone(self.backbone(x), lambda h: self.clusters(h).softmax(dim=1))
