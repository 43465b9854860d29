"""BYOL (Grill et al., 2020): one network predicts what a slowly following copy of itself makes of the other view.

There are no negatives. The copy, called the target, gets no gradient: after every step it moves a little towards the
trained network, the online one. A predictor that only the online network has keeps both from a constant output.

Simplified: Adam instead of LARS; ``hidden`` and ``dim`` set the widths, 4096 and 256 in the paper; both views are drawn
alike, without solarisation, and pass together unless ``per_view_batch_norm``.
"""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cdlearn.backbones import Backbone
from cdlearn.losses import at_least_float32
from cdlearn.methods.base import Method
from cdlearn.methods.cd import projector
from cdlearn.methods.views import forward_views, with_backbone
from cdlearn.runtime import distributed


def regression(prediction: Tensor, target: Tensor) -> Tensor:
    """Eq. 2: the mean squared distance of the normalised rows, 2 - 2 cosine: 0 for the same direction, 4 for opposite.

    prediction, target: (N, D) -> scalar. No gradient flows into the target.
    """
    with torch.autocast(prediction.device.type, enabled=False):
        prediction, target = at_least_float32(prediction), at_least_float32(target.detach())
        return 2 - 2 * F.cosine_similarity(prediction, target, dim=1).mean()


def regression_of_views(predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Twice the mean regression of a target by the prediction from any other view: of two views the published sum.

    predictions: (N, D) of every view; targets: (N, D) of the large ones, which come first -> scalar.
    """
    found = [
        regression(prediction, target)
        for place, prediction in enumerate(predictions)
        for other, target in enumerate(targets)
        if place != other
    ]
    return 2 * (sum(found, found[0].new_zeros(())) / len(found))


def momentum(step: int, steps: int, start: float) -> float:
    """How much of itself the target keeps in a step: it rises from ``start`` to 1 along half a cosine."""
    return 1 - (1 - start) * (math.cos(math.pi * step / steps) + 1) / 2


def without_gradient(network: nn.Module) -> nn.Module:
    """A copy of ``network`` with weights of its own that need no gradient."""
    own: dict = {id(weight): nn.Parameter(weight.detach().clone(), False) for weight in network.parameters()}
    own |= {id(buffer): buffer.clone() for buffer in network.buffers()}
    return copy.deepcopy(network, own)  # what is in ``own`` is taken from there: fake tensors cannot be copied deeply


class BYOL(Method):
    """The online network is predictor(projector(f)); the target is an average of its f and projector.

    What is evaluated is the target, so it has the names that every method has: ``backbone`` and ``projector``. (The
    paper evaluates the online f; the published K-means scores, in ProPos' table, are the target's.) The target's
    BatchNorms keep statistics of their own, from what passes through them in training.

    Args:
        backbone: a module with ``.dim``.
        config: reads dim, hidden, target_momentum and per_view_batch_norm.
    """

    multi_crop = True

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.config = config
        self.online = nn.Sequential(backbone, projector(backbone.dim, config.hidden, config.dim))
        self.predictor = projector(config.dim, config.hidden, config.dim)
        self.backbone, self.projector = without_gradient(self.online).children()

    def target(self, x: Tensor) -> Tensor:
        """(M, 3, S, S) -> z of the target (M, dim)."""
        return self.projector(self.backbone(x))

    def training_loss(self, *views: Tensor, x: Tensor | None = None) -> dict[str, Tensor]:
        """Two large views (N, 3, S, S), and small ones, if any -> ``loss`` and its one term; x is not used."""
        alone = self.config.per_view_batch_norm
        predictions = forward_views(lambda view: self.predictor(self.online(view)), views, alone)
        with torch.no_grad():
            targets = forward_views(self.target, views[: self.views_per_image], alone)
        (loss,) = distributed.averaged(regression_of_views(predictions, targets))
        return {"loss": loss, "prediction": loss}

    def after_step(self, step: int, steps: int) -> None:
        """Move the target towards the online network."""
        follow = get_ema_multi_avg_fn(momentum(step, steps, self.config.target_momentum))
        mine = [*self.backbone.parameters(), *self.projector.parameters()]
        follow(mine, list(self.online.parameters()), None)

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output`` z (N, dim), both of the target."""
        return with_backbone(self.backbone(x), self.projector)
