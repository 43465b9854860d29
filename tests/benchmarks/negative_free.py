"""BYOL with one of its parts taken away, for experiments.py negative-free.

All arms start from equal weights, and both views pass every network together, so an arm differs in its one part only.
BYOL and the arm without a predictor are evaluated by the target, as BYOL is here; the two without a target by the
network that is trained.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn.config import Config
from cdlearn.losses import at_least_float32
from cdlearn.methods.byol import BYOL
from cdlearn.methods.views import forward_views, with_backbone


class Siamese(BYOL):
    """BYOL without the target: both views pass the online network. With the stop-gradient it is SimSiam."""

    stop = True

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(M, 3, S, S) -> prediction and z, each (M, dim)."""
        z = self.online(x)
        return self.predictor(z), z

    def training_loss(self, x1: Tensor, x2: Tensor, x: Tensor | None = None) -> dict[str, Tensor]:
        (q1, z1), (q2, z2) = forward_views(self, (x1, x2), self.config.per_view_batch_norm)
        loss = 0
        for guess, goal in ((q1, z2), (q2, z1)):
            goal = goal.detach() if self.stop else goal
            with torch.autocast(goal.device.type, enabled=False):
                pair = (at_least_float32(of) for of in (guess, goal))
                loss = loss + 2 - 2 * F.cosine_similarity(*pair, dim=1).mean()
        return {"loss": loss, "prediction": loss}

    def after_step(self, step: int, steps: int) -> None:
        """There is no target to move."""

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        return with_backbone(self.online[0](x), self.online[1])


class NoStop(Siamese):
    """The gradient flows into what is predicted as well."""

    stop = False


class NoPredictor(BYOL):
    """The online network has to match the target directly."""

    def __init__(self, network: nn.Module, config: Config):
        super().__init__(network, config)
        self.predictor = nn.Identity()
