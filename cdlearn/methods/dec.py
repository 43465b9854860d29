"""Deep Embedded Clustering (Xie, Girshick and Farhadi, ICML 2016): an autoencoder, then clusters that train themselves.

First half of the run: a denoising autoencoder. Then its decoder rests, K-means places K centres among the codes, and
the network learns from its own most confident assignments: q, how near a code lies to each centre (Student's t), is
moved towards p, which squares and rebalances q.

Simplified: the autoencoder is trained whole, not layer by layer, because the shared backbone has too many layers for
that. p is renewed once per epoch (the original: every few hundred steps), and training ends with the run, not when few
images still change cluster. Adam and its schedule run through both phases (the original: SGD). The code is as long as
those of the other autoencoders. (The original has 10 numbers. On swatches these hold colours, and no pattern: the
clusters' NMI was 0.019 after 12 epochs, with 128 numbers 0.340 after 8; seed 0. ``--dim 10`` gives the original's.)
"""

import torch
from torch import Tensor, nn

from cdlearn.backbones import Backbone
from cdlearn.losses import at_least_float32
from cdlearn.methods import per_image
from cdlearn.methods.autoencoder import MASKED, Autoencoder
from cdlearn.methods.cluster_centres import divergence, log_assignment, log_target
from cdlearn.methods.views import with_backbone
from cdlearn.runtime import distributed

PRETRAINING = 0.5  # fraction of the run in which the autoencoder learns alone
STARTS = 20  # of K-means, as published


class DEC(Autoencoder):
    """h = f(x), code = linear(h), q = how near the code lies to each centre.

    Args:
        backbone: a module with ``.dim``.
        config: reads clusters, dim (the length of the code), size, seed and amp.
    """

    needs_clusters = True
    has_unused_parameters = True  # the centres at first, the decoder later
    masked = MASKED
    least_epochs = (2, "K-means places the centres among the codes of an untrained network")

    def __init__(self, backbone: Backbone, config):
        super().__init__(backbone, config)
        self.centres = nn.Parameter(torch.randn(config.clusters, config.dim))  # until K-means finds better ones
        self.target = per_image.PerImage()  # log p (N, K) of every image
        self.clustering, self.batch = False, torch.zeros(0, dtype=torch.long)  # set before every step

    def log_q(self, x: Tensor) -> Tensor:
        """(M, 3, S, S) -> (M, K)."""
        code = self.encode(self.backbone(x.contiguous(memory_format=torch.channels_last)))[0]
        with torch.autocast(x.device.type, enabled=False):
            return log_assignment(at_least_float32(code), self.centres)

    @torch.no_grad()
    def begin_epoch(self, epoch: int, epochs: int, images: Tensor) -> None:
        """At the start of the second phase K-means places the centres; from then on each epoch renews the target."""
        start = per_image.begins(PRETRAINING, epochs)
        if epoch == start:
            codes = per_image.encoded(self, lambda x: self.encode(self.backbone(x))[0], images, self.config)
            self.centres.copy_(per_image.k_means(codes, len(self.centres), self.config.seed, STARTS)[0])
        if epoch >= start:
            self.target.of = log_target(per_image.encoded(self, self.log_q, images, self.config))

    def begin_step(self, epoch: int, epochs: int, index: Tensor) -> None:
        self.clustering, self.batch = epoch >= per_image.begins(PRETRAINING, epochs), index

    def training_loss(self, x: Tensor) -> dict[str, Tensor]:
        """Plain images x (N, 3, S, S) -> ``loss`` and its one term, that of the phase."""
        if not self.clustering:
            return super().training_loss(x)
        (loss,) = distributed.averaged(divergence(self.target.of[self.batch.to(x.device)], self.log_q(x)))
        return {"loss": loss, "clustering": loss}

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output`` q (N, clusters), rows that add up to 1."""
        return with_backbone(self.backbone(x), lambda h: log_assignment(self.encode(h)[0], self.centres).exp())
