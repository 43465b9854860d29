"""SimCLR (Chen et al., 2020): the instance level alone. It is CD without the feature heads (Table 6)."""

from torch import Tensor

from cdlearn import losses
from cdlearn.backbones import Backbone
from cdlearn.methods.base import Method
from cdlearn.methods.cd import projector
from cdlearn.methods.views import forward_views, with_backbone
from cdlearn.runtime import distributed


class SimCLR(Method):
    """h = f(x), z = g(h). Reads dim, hidden, instance_temperature and per_view_batch_norm of the config."""

    multi_crop = True

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.config, self.backbone = config, backbone
        self.projector = projector(backbone.dim, config.hidden, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """(M, 3, S, S) -> z (M, dim)."""
        return self.projector(self.backbone(x))

    def training_loss(self, *views: Tensor, x: Tensor | None = None) -> dict[str, Tensor]:
        """Two large views (N, 3, S, S), and small ones, if any -> ``loss`` and its one term; x is not used."""
        z = distributed.gathered(*forward_views(self, views, self.config.per_view_batch_norm))
        loss = losses.over_pairs(losses.instance_loss, z, self.config.instance_temperature)
        return {"loss": loss, "instance": loss}

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output`` z (N, dim), as in Tables 6 and 9."""
        return with_backbone(self.backbone(x), self.projector)
