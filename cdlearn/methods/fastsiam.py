"""FastSiam (Pototzky et al., 2022): SimSiam (Chen and He, 2021) with four views instead of two.

A predictor guesses z of one view from another view, and no gradient flows into what is guessed. SimSiam guesses z of
one other view. FastSiam guesses the mean z of the three others, a steadier target: it is made for small batches and few
epochs.

The mean is taken before normalising, as in lightly's implementation; the paper itself was not at hand. Simplified: Adam
instead of SGD; ``hidden`` and ``dim`` set the widths, 2048 each in SimSiam; the predictor's learning rate falls like
all others; all views pass together unless ``per_view_batch_norm``.
"""

from collections.abc import Sequence
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn.backbones import Backbone
from cdlearn.losses import at_least_float32
from cdlearn.methods.base import Method
from cdlearn.methods.cd import projector
from cdlearn.methods.vicreg import expander
from cdlearn.methods.views import forward_views, with_backbone
from cdlearn.runtime import distributed


def prediction_of_others(predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """The negative cosine of each view's prediction and the mean target of all other views, averaged over the views.

    predictions: (N, D) of every view; targets: (N, D) of the large ones, which come first -> scalar, -1 to 1. No
    gradient flows into the targets. With two views this is SimSiam's loss. Raises ValueError for a single view.
    """
    if len(targets) < 2:
        raise ValueError("FastSiam needs at least 2 views: a single one has no others to predict")
    with torch.autocast(predictions[0].device.type, enabled=False):
        targets = [at_least_float32(target.detach()) for target in targets]
        total, none = sum(targets, torch.zeros_like(targets[0])), torch.zeros_like(targets[0])
        likeness = [
            F.cosine_similarity(at_least_float32(prediction), total - own, dim=1).mean()  # the length is no matter
            for prediction, own in zip_longest(predictions, targets, fillvalue=none)
        ]
        return -torch.stack(likeness).mean()


class FastSiam(Method):
    """h = f(x), z = projector(h), p = predictor(z). Reads dim, hidden and per_view_batch_norm of the config."""

    views_per_image = 4
    multi_crop = True

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.config, self.backbone = config, backbone
        self.projector = nn.Sequential(
            *expander(backbone.dim, config.hidden, config.dim), nn.BatchNorm1d(config.dim, affine=False)
        )
        self.predictor = projector(config.dim, max(1, config.dim // 4), config.dim)  # a bottleneck, as in SimSiam

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(M, 3, S, S) -> p and z, each (M, dim)."""
        z = self.projector(self.backbone(x))
        return self.predictor(z), z

    def training_loss(self, *views: Tensor, x: Tensor | None = None) -> dict[str, Tensor]:
        """Four large views (N, 3, S, S), and small ones, if any -> ``loss`` and its one term; x is not used."""
        found = forward_views(self, views, self.config.per_view_batch_norm)
        predictions, targets = zip(*found, strict=True)
        (loss,) = distributed.averaged(prediction_of_others(predictions, targets[: self.views_per_image]))
        return {"loss": loss, "negative cosine": loss}

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output`` z (N, dim)."""
        return with_backbone(self.backbone(x), self.projector)
