"""Deep Comprehensive Correlation Mining (DCCM; Wu et al., ICCV 2019): pairs, labels and maps that should agree.

From the plain images it takes the network's most confident outputs: a graph of the pairs of nearly equal outputs, and a
label for each image whose largest probability exceeds 0.9. The augmented views have to give the same graph and the same
labels. And the output of an image should share information with its early maps: with those of its own and of another
image of its graph, more than with those of an image outside it (the triplet mutual information).

Simplified: graph and labels are chosen anew in every step, from the batch (the original: ten rounds over 1,000 images
with one choice). The early maps are averaged to 4 x 4 places, for time. The graph's pairs are those of one view with
the other. The weights of the terms are those of the authors' code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn.backbones import Backbone
from cdlearn.losses import at_least_float32
from cdlearn.methods.base import Method
from cdlearn.methods.cd import feature_heads
from cdlearn.methods.dac import TINY, cosines, pair_loss
from cdlearn.methods.views import forward_views, shrinking_parts, with_backbone, with_maps
from cdlearn.runtime import distributed

SAME, CONFIDENT = 0.95, 0.9  # least cosine of an edge of the graph; least probability of a label
LABELS, LOCAL = 5.0, 0.05  # weights of labels and mutual information; the graph has 1
PLACES = 4  # side of the early map that is compared with the output


def label_loss(p: Tensor, labels: Tensor, confident: Tensor) -> Tensor:
    """Binary cross entropy of each probability with the label, mean over clusters and images; uncertain images give 0.

    p: (N, K) probabilities; labels: (N,) int64; confident: (N,) bool -> scalar in nats.
    """
    right = F.one_hot(labels, p.shape[1]).bool()
    cost = -torch.where(right, torch.log(p + TINY), torch.log(1 - p + TINY))
    return (cost.mean(dim=1) * confident).mean()


def drawn_pairs(same: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each image another one of its graph (itself if there is none) and one outside it, drawn at random.

    same: (N, N) bool -> two (N,) int64, and (N,) bool: whether there is one outside.
    """
    itself = torch.eye(len(same), dtype=torch.bool, device=same.device)
    draws = torch.rand(same.shape, device=same.device) + 1  # 1 to 2, so that 0.5 is below all draws and 0 not drawn
    inside = (draws * (same & ~itself) + 0.5 * itself).argmax(dim=1)
    return inside, (draws * ~same).argmax(dim=1), (~same).any(dim=1)


class DCCM(Method):
    """h = f(x), p = softmax of two layers on h, each with BatchNorm; a discriminator of outputs and early maps.

    Args:
        backbone: a module with ``.dim``, one of cdlearn.backbones.
        config: reads clusters, hidden, size, per_view_batch_norm.
    """

    needs_unaugmented = True
    needs_clusters = True

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.config, self.backbone = config, backbone
        self.clusters = feature_heads(backbone.dim, config.hidden, config.clusters)  # as DAC's
        with torch.no_grad():  # in evaluation mode, which moves no statistics
            found = with_maps(
                backbone.eval(), torch.zeros(1, 3, config.size, config.size), shrinking_parts(backbone)[:1]
            )
        backbone.train()
        wide, hidden = found[1][0].shape[1] + config.clusters, config.hidden
        self.discriminator = nn.Sequential(
            nn.Linear(wide, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, hidden), nn.ReLU(inplace=True),
            nn.Linear(hidden, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(M, 3, S, S) -> logits (M, clusters), the early map (M, C PLACES^2)."""
        h, (early,) = with_maps(self.backbone, x, shrinking_parts(self.backbone)[:1])
        early = F.adaptive_avg_pool2d(at_least_float32(early), PLACES)
        return at_least_float32(self.clusters(h)), early.flatten(1)

    def scores(self, logits: Tensor, early: Tensor) -> Tensor:
        """(M, clusters), (M, C PLACES^2) -> (M, PLACES^2): above 0 where the place seems to be of such an image."""
        places = early.view(len(early), -1, PLACES**2).mT
        return self.discriminator(torch.cat([places, logits.unsqueeze(1).expand(-1, PLACES**2, -1)], dim=2)).squeeze(2)

    def local_loss(self, logits: Tensor, early: Tensor, same: Tensor) -> Tensor:
        """Minus the Jensen-Shannon bound of the mutual information, from an own, a related and a strange map each."""
        inside, outside, some = drawn_pairs(same)
        own, related, strange = (self.scores(logits, each) for each in (early, early[inside], early[outside]))
        close = (F.softplus(-own) + F.softplus(-related)).mean() / 2
        return close + (F.softplus(strange) * some.unsqueeze(1)).mean()

    def training_loss(self, x1: Tensor, x2: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Two views and the plain images, each (N, 3, S, S) -> ``loss`` and its three terms."""
        with torch.no_grad():
            plain = self.clusters(self.backbone(x.contiguous(memory_format=torch.channels_last)))
        (l1, m1), (l2, m2) = forward_views(self, (x1, x2), self.config.per_view_batch_norm)
        plain, l1, m1, l2, m2 = distributed.gathered(plain, l1, m1, l2, m2)
        with torch.autocast(x.device.type, enabled=False):
            plain, p1, p2 = (at_least_float32(each).softmax(dim=1) for each in (plain, l1, l2))
            same, (largest, labels) = cosines(plain, plain) >= SAME, plain.max(dim=1)
            graph = pair_loss(same, cosines(p1, p2), torch.ones_like(same))
            label = (label_loss(p1, labels, largest >= CONFIDENT) + label_loss(p2, labels, largest >= CONFIDENT)) / 2
            local = (self.local_loss(l1, m1, same) + self.local_loss(l2, m2, same)) / 2
        return {"loss": graph + LABELS * label + LOCAL * local, "graph": graph, "labels": label, "local": local}

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output`` p (N, clusters), rows that add up to 1."""
        return with_backbone(self.backbone(x), lambda h: self.clusters(h).softmax(dim=1))
