"""Contrastive Clustering (Li et al., AAAI 2021): rows are instances, columns are clusters.

Like CD, it contrasts columns. Unlike CD, it must be given the number of clusters: its columns are a softmax, so an
image can belong to one cluster only. Each of CD's heads is a sigmoid of its own.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn import losses
from cdlearn.backbones import Backbone
from cdlearn.methods.base import Method
from cdlearn.methods.views import forward_views, with_backbone
from cdlearn.runtime import distributed


def mlp(dim: int, hidden: int, out: int) -> nn.Sequential:
    """CC's heads, without BatchNorm: (N, dim) -> (N, out)."""
    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out))


def cluster_contrast(log_p1: Tensor, log_p2: Tensor, temperature: float = 1.0) -> Tensor:
    """NT-Xent over the 2K columns: a cluster should hold the same images in both views and differ from all others.

    log_p1, log_p2: (N, K) log-softmax of the two views -> scalar in nats; ln(2K-1) when all columns are equal.

    Each column is divided by its largest entry first, which leaves its cosines as they are. Otherwise a nearly empty
    cluster (1e-30 for every image) and its gradient would vanish in the eps of the normalisation.
    """
    y1, y2 = (torch.exp(log_p - log_p.amax(dim=0).detach()) for log_p in (log_p1, log_p2))
    return losses.nt_xent(y1.T, y2.T, temperature)


def imbalance(log_p: Tensor) -> Tensor:
    """log K - H(P), P the mean softmax of the batch: 0 when all clusters are used equally, log K when only one is used.

    log_p: (N, K) log-softmax -> scalar in nats. It starts from log P, because P log P and its gradient are 0 * -inf
    for a column whose probabilities have all become 0.
    """
    log_mean = torch.logsumexp(log_p, dim=0) - math.log(len(log_p))
    return math.log(log_p.shape[1]) + (log_mean.exp() * log_mean).sum()


class CC(Method):
    """h = f(x), z = instance head of h, p = softmax of the cluster head of h.

    Simplified: the published heads are as wide as h; here ``hidden`` sets the width.

    Args:
        backbone: a module with ``.dim``.
        config: reads clusters, dim, hidden, instance_temperature, feature_temperature (of the columns) and
            per_view_batch_norm.
    """

    multi_crop, needs_clusters = True, True

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.config, self.backbone = config, backbone
        self.projector = mlp(backbone.dim, config.hidden, config.dim)
        self.clusters = mlp(backbone.dim, config.hidden, config.clusters)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(M, 3, S, S) -> z (M, dim), cluster logits (M, clusters)."""
        h = self.backbone(x)
        return self.projector(h), self.clusters(h)

    def training_loss(self, *views: Tensor, x: Tensor | None = None) -> dict[str, Tensor]:
        """Two large views (N, 3, S, S), and small ones, if any -> ``loss`` and its terms; x is not used."""
        config, count = self.config, len(views)
        z, logits = zip(*forward_views(self, views, config.per_view_batch_norm), strict=True)
        gathered = distributed.gathered(*z, *logits)
        with torch.autocast(views[0].device.type, enabled=False):
            log_p = [F.log_softmax(losses.at_least_float32(each), dim=1) for each in gathered[count:]]
            instance = losses.over_pairs(losses.instance_loss, gathered[:count], config.instance_temperature)
            cluster = losses.over_pairs(cluster_contrast, log_p, config.feature_temperature)
            uneven = sum(map(imbalance, log_p), log_p[0].new_zeros(()))
            uneven = 2 * (uneven / count)  # of two views their sum, as published
        return {"loss": instance + cluster + uneven, "instance": instance, "cluster": cluster, "imbalance": uneven}

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output`` p (N, clusters), rows that add up to 1."""
        return with_backbone(self.backbone(x), lambda h: self.clusters(h).softmax(dim=1))
