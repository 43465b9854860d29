"""Contrastive Disentangling (Jiang et al., 2024): instances, feature heads and their entropy."""

import torch
from torch import Tensor, nn

from cdlearn import losses
from cdlearn.backbones import Backbone
from cdlearn.methods.base import Method
from cdlearn.methods.views import forward_views, with_backbone
from cdlearn.runtime import distributed


def projector(dim: int, hidden: int, out: int) -> nn.Sequential:
    """g of Section 3.1: (N, dim) -> (N, out)."""
    return nn.Sequential(
        nn.Linear(dim, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out)
    )


def feature_heads(dim: int, hidden: int, heads: int, batch_norm: bool = True) -> nn.Sequential:
    """The feature predictor without its sigmoid: z (N, dim) -> logits (N, heads).

    The BatchNorm before the sigmoid keeps the outputs of every head spread out; Table 4 removes it.
    """
    layers = [
        nn.Linear(dim, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, heads, bias=not batch_norm),
    ]
    return nn.Sequential(*layers, nn.BatchNorm1d(heads)) if batch_norm else nn.Sequential(*layers)


class CD(Method):
    """h = f(x), z = g(h), y = sigmoid(predictor(z)).

    Args:
        backbone: a module with ``.dim``.
        config: reads dim, hidden, heads, alpha, head_batch_norm, instance_temperature, feature_temperature,
            heads_similarity, entropy_of, per_view_batch_norm.
    """

    multi_crop, has_heads = True, True

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        if config.heads < 2:
            raise ValueError(f"heads is {config.heads}; CD contrasts heads with each other and needs at least 2")
        self.config, self.backbone = config, backbone
        self.projector = projector(backbone.dim, config.hidden, config.dim)
        self.heads = feature_heads(config.dim, config.hidden, config.heads, config.head_batch_norm)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(M, 3, S, S) -> z (M, dim), logits (M, heads)."""
        z = self.projector(self.backbone(x))
        return z, self.heads(z)

    def training_loss(self, *views: Tensor, x: Tensor | None = None) -> dict[str, Tensor]:
        """Two large views (N, 3, S, S), and small ones, if any -> ``loss`` and its terms; x is not used."""
        config = self.config
        z, logits = zip(*forward_views(self, views, config.per_view_batch_norm), strict=True)
        gathered = distributed.gathered(*z, *logits)
        z, logits = gathered[: len(views)], gathered[len(views) :]
        names = ("alpha", "instance_temperature", "feature_temperature", "heads_similarity", "entropy_of")
        return losses.cd_loss_of_views(z, logits, **{name: getattr(config, name) for name in names})

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output`` y (N, heads) in (0, 1)."""
        return with_backbone(self.backbone(x), lambda h: torch.sigmoid(self.heads(self.projector(h))))

    @torch.no_grad()
    def untrained_output(self, h: Tensor, reference: Tensor | None = None) -> Tensor:
        """The control of y: the outputs of untrained heads on the trained z.

        The heads are fresh, with weights from torch's random state. Their BatchNorm takes the moments of ``reference``,
        as after training: h of at least 2 images (M, backbone.dim), or None for these ones.
        h: (N, backbone.dim) -> (N, heads) in (0, 1).
        """
        config = self.config
        with h.device:
            fresh = feature_heads(config.dim, config.hidden, config.heads, config.head_batch_norm)
        for layer in fresh:
            if isinstance(layer, nn.BatchNorm1d):
                layer.momentum = 1.0  # the moments of this one batch
        fresh(self.projector(h if reference is None else reference))
        return torch.sigmoid(fresh.eval()(self.projector(h)))
