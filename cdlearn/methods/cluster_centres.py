"""The cluster-centre predictor of Sundareswaran et al. (arXiv 2109.12714): a reconstruction.

It follows the paper's abstract and the authors' published code; the rest of the paper was not at hand.
Published settings: Adam, constant lr 3e-4, batch 128, 224 px, 2000 epochs. Here the Config sets them.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn import k_means, losses
from cdlearn.augment import to_size
from cdlearn.backbones import Backbone
from cdlearn.methods.base import Method
from cdlearn.methods.cc import mlp
from cdlearn.methods.views import forward_views, with_backbone
from cdlearn.runtime import distributed, rng


def log_assignment(h: Tensor, centres: Tensor, alpha: float = 1.0) -> Tensor:
    """log q of Student's t: q_ij is proportional to (1 + |h_i - m_j|^2 / alpha)^(-(alpha + 1) / 2).

    h: (N, D), centres m: (K, D) -> (N, K), rows whose exponentials add up to 1. With logarithms, the
    Kullback-Leibler divergences stay finite without an eps (1e-8 in the published code).
    """
    distance = (h.unsqueeze(1) - centres).square().sum(dim=2)  # N x K x D in between: cdist has no gradient at 0
    return F.log_softmax(-(alpha + 1) / 2 * torch.log1p(distance / alpha), dim=1)


def log_target(log_q: Tensor) -> Tensor:
    """log p: p_ij is proportional to q_ij^2 / sum_i q_ij. The square makes rows surer; the sum favours small clusters.

    No gradient flows through it: q should move, p should not.

    log_q: (N, K) -> (N, K). The sum is over the batch; DEC, the origin of this target, sums over all images.
    """
    log_q = log_q.detach()
    return F.log_softmax(2 * log_q - torch.logsumexp(log_q, dim=0), dim=1)


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Mean over the rows of KL(p || q), in nats; p is what q should become. log_p, log_q: (N, K) -> scalar."""
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


class Centres(Method):
    """h = f(x), z = projector of h, q = how near h lies to each centre.

    The loss is the sum of three: contrastive (NT-Xent of the views' z), clustering (moves q of the plain image towards
    the surer p) and anchor (moves q of each view towards q of the plain image, which gets no gradient from it).

    Args:
        backbone: a module with ``.dim``.
        config: reads clusters, dim, hidden, instance_temperature, per_view_batch_norm; for ``prepare`` size,
            batch_size and seed.
    """

    needs_unaugmented = True
    needs_clusters = True

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.config, self.backbone = config, backbone
        self.projector = mlp(backbone.dim, config.hidden, config.dim)
        self.centres = nn.Parameter(torch.randn(config.clusters, backbone.dim))  # until ``prepare`` finds better ones

    @torch.no_grad()
    def prepare(self, images: Tensor) -> None:
        """Put the centres where K-means finds them among the embeddings of the untrained backbone.

        images: uint8 (N, 3, H, W). BatchNorm normalises by the batch, as in training. Its running statistics have seen
        nothing yet; with them the features would lie far from those of the first step.
        """
        untrained = copy.deepcopy(self.backbone).train()  # a copy, because this moves the running statistics
        config, device = self.config, self.centres.device
        shuffle = rng.generator(config.seed, "centres")  # folders come sorted, but batches should be mixed
        order = torch.randperm(len(images), generator=shuffle).to(images.device)
        parts = []
        for index in order.tensor_split(max(1, len(images) // config.batch_size)):
            x = to_size(images[index].to(device), config.size)
            parts.append(untrained(x.contiguous(memory_format=torch.channels_last)).float())
        h = torch.cat(parts).cpu().double().numpy()  # in double, rounding hides the order in which threads add up
        found = k_means.fitted(h, config.clusters, config.seed, starts=10)
        self.centres.copy_(torch.from_numpy(found.cluster_centers_))

    def training_loss(self, x1: Tensor, x2: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Two views and the plain images, each (N, 3, S, S) -> ``loss`` and its three terms."""
        parts = forward_views(self.backbone, (x, x1, x2), self.config.per_view_batch_norm)
        h, h1, h2 = (losses.at_least_float32(part) for part in parts)
        z1, z2 = distributed.gathered(self.projector(h1), self.projector(h2))
        contrastive = losses.instance_loss(z1, z2, self.config.instance_temperature)
        with torch.autocast(x.device.type, enabled=False):
            log_q, log_q1, log_q2 = (log_assignment(part, self.centres) for part in (h, h1, h2))
            log_q, log_q1, log_q2 = distributed.gathered(log_q, log_q1, log_q2)  # the target counts the whole batch
            clustering = divergence(log_target(log_q), log_q)
            anchor = divergence(log_q.detach(), log_q1) + divergence(log_q.detach(), log_q2)
        return {
            "loss": contrastive + clustering + anchor,
            "instance": contrastive,
            "clustering": clustering,
            "anchor": anchor,
        }

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output`` q (N, clusters), rows that add up to 1."""
        return with_backbone(self.backbone(x), lambda h: log_assignment(h, self.centres).exp())
