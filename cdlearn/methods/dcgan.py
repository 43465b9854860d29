"""Deep convolutional GAN (DCGAN; Radford, Metz and Chintala, ICLR 2016): a generator and a discriminator.

The generator makes images from noise. The discriminator, here the shared backbone and a linear layer, has to tell them
from real ones, and each learns from the other. The discriminator is kept: to see what the generator gets wrong,
it must represent what images are like. Its features are the maps of all its stages, max-pooled, side by side.

Simplified: both players take their steps at once, with the run's one Adam (the original: in turns, and Adam with beta1
0.5), because the Trainer has one loss and one step. The maps are pooled over the whole image, not to 4 x 4 places, so
that K-means sees hundreds of features and not thousands.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from cdlearn.backbones import Backbone
from cdlearn.losses import at_least_float32
from cdlearn.methods.autoencoder import decoder
from cdlearn.methods.base import Method
from cdlearn.methods.views import shrinking_parts, with_backbone, with_maps
from cdlearn.runtime import distributed


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross entropy of the discriminator: real images are to score above 0, generated ones below.

    real, fake: (N, 1) logits -> scalar in nats; 2 ln 2 when it cannot tell them apart.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Binary cross entropy of the generator: generated images are to score above 0. fake: (N, 1) logits -> scalar.

    Minus log D(fake) instead of log(1 - D(fake)), because that still has a gradient when no generated image deceives.
    """
    return F.softplus(-fake).mean()


class DCGAN(Method):
    """The discriminator is linear(f(x)), the generator a chain of transposed convolutions from noise to an image.

    Args:
        backbone: a module with ``.dim``, one of cdlearn.backbones.
        config: reads dim (the length of the noise) and size.
    """

    views_per_image = 1
    needs_unaugmented = True

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.config, self.backbone = config, backbone
        self.discriminator = nn.Linear(backbone.dim, 1)
        self.generator = decoder(config.dim, config.size, backbone.dim)

    def forward(self, x: Tensor) -> Tensor:
        """(M, 3, S, S) -> logits (M, 1): how real the images look."""
        return at_least_float32(self.discriminator(self.backbone(x)))

    def score(self, x: Tensor, learns: bool) -> Tensor:
        """The same for generated images: BatchNorm's running statistics stay those of real images.

        learns: whether the discriminator gets a gradient; without it only what made x does.
        """
        own = {name: value if learns else value.detach() for name, value in self.named_parameters()}
        return functional_call(self, own | {name: value.clone() for name, value in self.named_buffers()}, x)

    def generate(self, noise: Tensor) -> Tensor:
        """(M, dim) -> images (M, 3, size, size) in (0, 1)."""
        made = torch.sigmoid(at_least_float32(self.generator(noise)[..., : self.config.size, : self.config.size]))
        return made.contiguous(memory_format=torch.channels_last)

    def training_loss(self, x: Tensor) -> dict[str, Tensor]:
        """Plain images x (N, 3, S, S) -> ``loss`` and one term for each player.

        Neither term has a gradient in the other's weights, so minimising the sum is playing the game.
        """
        made = self.generate(distributed.random_like(torch.randn_like, x.new_zeros(len(x), self.config.dim)))
        real, fake = self(x.contiguous(memory_format=torch.channels_last)), self.score(made.detach(), learns=True)
        discriminator, generator = distributed.averaged(
            discriminator_loss(real, fake), generator_loss(self.score(made, learns=False))
        )
        return {"loss": discriminator + generator, "discriminator": discriminator, "generator": generator}

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim), ``output``: the largest value of each map of each stage."""
        h, maps = with_maps(self.backbone, x, shrinking_parts(self.backbone))
        return with_backbone(h, lambda h: torch.cat([part.float().amax(dim=(2, 3)) for part in maps], dim=1))
