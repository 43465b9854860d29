"""Partition Confidence Maximisation (PICA; Huang, Gong and Zhu, CVPR 2020): of all partitions, the most confident one.

A cluster is the column of its probabilities over a batch. If every image is assigned confidently to one cluster,
different columns have the cosine 0, and a column has the cosine 1 with itself in other views. So the matrix of the
columns' cosines (the partition uncertainty index) should be diagonal: a cross entropy for each row, whose target is the
diagonal. A second term keeps the clusters evenly used, because one cluster for all images would be confident as well.

Simplified: the second head, which finds seven times as many clusters and is not used afterwards, learns in the same
steps as the first (the original: in epochs of its own, in turns).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn.backbones import Backbone
from cdlearn.losses import at_least_float32
from cdlearn.methods.base import Method
from cdlearn.methods.cc import imbalance
from cdlearn.methods.views import forward_views, with_backbone
from cdlearn.runtime import distributed

EVEN = 2.0  # weight of the imbalance, as published
MORE = 7  # clusters of the second head for each of the first, as published for STL-10 (70 beside 10)


def uncertainty(log_p: Tensor, log_p1: Tensor) -> Tensor:
    """Cross entropy over the columns' cosines, whose targets are on the diagonal; in nats.

    log_p, log_p1: (N, K), log-softmax of the images and of their views -> scalar: log K when all columns are equal,
    log(1 + (K-1)/e) when no image is in two clusters. Each column is divided by its largest entry first, as in
    cc.cluster_contrast, so that a nearly empty cluster keeps its gradient.
    """
    columns = (F.normalize(torch.exp(each - each.amax(dim=0).detach()), dim=0) for each in (log_p, log_p1))
    cosines = torch.mm(next(columns).T, next(columns))
    return F.cross_entropy(cosines, torch.arange(len(cosines), device=cosines.device))


class PICA(Method):
    """h = f(x), p = softmax of a linear layer on h.

    Args:
        backbone: a module with ``.dim``.
        config: reads clusters, per_view_batch_norm.
    """

    needs_unaugmented = True
    needs_clusters = True

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.config, self.backbone = config, backbone
        self.clusters = nn.Linear(backbone.dim, config.clusters)
        self.more = nn.Linear(backbone.dim, MORE * config.clusters)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(M, 3, S, S) -> logits (M, clusters) and (M, MORE clusters)."""
        h = self.backbone(x)
        return self.clusters(h), self.more(h)

    def training_loss(self, x1: Tensor, x2: Tensor, x: Tensor) -> dict[str, Tensor]:
        """A view and the plain images, each (N, 3, S, S) -> ``loss`` and its terms; x2 is not used."""
        (few, many), (few1, many1) = forward_views(self, (x, x1), self.config.per_view_batch_norm)
        logits = distributed.gathered(few, few1, many, many1)
        with torch.autocast(x.device.type, enabled=False):
            log_p, log_p1, log_more, log_more1 = (at_least_float32(each).log_softmax(dim=1) for each in logits)
            terms = {"confidence": uncertainty(log_p, log_p1), "imbalance": imbalance(log_p)}
            terms |= {"more": uncertainty(log_more, log_more1) + EVEN * imbalance(log_more)}
        return {"loss": terms["confidence"] + EVEN * terms["imbalance"] + terms["more"]} | terms

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output`` p (N, clusters), rows that add up to 1."""
        return with_backbone(self.backbone(x), lambda h: self.clusters(h).softmax(dim=1))
