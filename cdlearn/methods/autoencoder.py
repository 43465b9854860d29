"""Autoencoders, which learn by rebuilding the image: plain (AE), denoising (DAE) and variational (VAE).

They are the class-prior-free rows of the paper's Tables 2 and 3. All three share one network: the backbone and a linear
layer make the code, and a mirror of transposed convolutions rebuilds the image. They use no views: as in the original
papers, they see each image as it is, only resized.

Simplified: the backbones average over the image, so the decoder gets no map of places and its pictures are blurred. The
DAE is trained whole, not layer by layer (Vincent et al., 2010). The VAE's pixels have one fixed spread.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn.backbones import Backbone
from cdlearn.losses import at_least_float32
from cdlearn.methods.base import Method
from cdlearn.methods.views import with_backbone
from cdlearn.runtime import distributed

MASKED = 0.25  # fraction of the values that the DAE hides, within the range that Vincent et al. (2010) tried
SPREAD = 0.1  # standard deviation of a pixel (range 1) around the VAE's output: how exact it has to be
# Log variance with which the VAE's code begins, a spread of 0.14. With a spread of 1 the noise drowns the means: on
# shapes the error stayed at 0.071 for 8 epochs; now it falls to 0.029
START = -4.0


def decoder(dim: int, size: int, channels: int) -> nn.Sequential:
    """(N, dim) -> logits (N, 3, S', S'), S' >= size; each step doubles the side and halves the channels."""
    steps = max(0, int(math.log2(size / 4)))  # from a map of 4 to 7 pixels a side
    side = math.ceil(size / 2**steps)
    width = min(channels, 512)
    layers: list[nn.Module] = [nn.Linear(dim, width * side * side), nn.Unflatten(1, (width, side, side))]
    for _ in range(steps):
        narrow = max(16, width // 2)
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.ConvTranspose2d(width, narrow, 4, 2, padding=1)]
        width = narrow
    return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Conv2d(width, 3, 3, padding=1))


def normal_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of N(mean, variance) from N(0, 1), added over the code, averaged over the images (Kingma and Welling, 2014).

    mean, log_variance: (N, dim) -> scalar in nats; 0 where the code carries no information about the image.
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1).mean()


class Autoencoder(Method):
    """h = f(x), code = linear(h), image = sigmoid(decoder(code)); the loss is the mean squared error per value.

    Args:
        backbone: a module with ``.dim``.
        config: reads dim (the length of the code) and size.
    """

    views_per_image = 1
    needs_unaugmented = True
    masked: float = 0.0  # fraction of the values of x that are set to 0 before encoding; all of x is to be rebuilt
    variational: bool = False

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.config, self.backbone = config, backbone
        self.code = nn.Linear(backbone.dim, config.dim * (2 if self.variational else 1))
        if self.variational:
            nn.init.constant_(self.code.bias[config.dim :], START)
        self.decoder = decoder(config.dim, config.size, backbone.dim)

    def encode(self, h: Tensor) -> tuple[Tensor, Tensor | None]:
        """h (N, backbone.dim) -> the code (N, dim) and None; for the VAE its mean and its log variance."""
        code = at_least_float32(self.code(h))
        if not self.variational:
            return code, None
        mean, log_variance = code.chunk(2, dim=1)
        return mean, log_variance

    def decode(self, code: Tensor) -> Tensor:
        """(N, dim) -> images (N, 3, size, size) in (0, 1)."""
        logits = self.decoder(code)[..., : self.config.size, : self.config.size]
        return torch.sigmoid(at_least_float32(logits))  # near 1, bf16 has steps of 1/256

    def reconstruct(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) -> the rebuilt images, from the code's mean and with nothing hidden."""
        return self.decode(self.encode(self.backbone(x))[0])

    def training_loss(self, x: Tensor) -> dict[str, Tensor]:
        """Plain images x (N, 3, S, S) -> ``loss`` and its terms."""
        seen = x * (distributed.random_like(torch.rand_like, x) >= self.masked) if self.masked else x
        code, log_variance = self.encode(self.backbone(seen.contiguous(memory_format=torch.channels_last)))
        if log_variance is None:
            (error,) = distributed.averaged(F.mse_loss(self.decode(code), x))
            return {"loss": error, "reconstruction": error}
        drawn = code + distributed.random_like(torch.randn_like, code) * torch.exp(0.5 * log_variance)
        error, nats = distributed.averaged(F.mse_loss(self.decode(drawn), x), normal_divergence(code, log_variance))
        # -ELBO = D error / (2 SPREAD^2) + nats + constant, with D values per image; divided here by D / (2 SPREAD^2)
        loss = error + 2 * SPREAD**2 / x[0].numel() * nats
        return {"loss": loss, "reconstruction": error, "divergence": nats}

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output``: the code (N, dim), for the VAE its mean."""
        return with_backbone(self.backbone(x), lambda h: self.encode(h)[0])


class DAE(Autoencoder):
    """The denoising autoencoder with masking noise (Vincent et al., 2010)."""

    masked = MASKED


class VAE(Autoencoder):
    """The variational autoencoder (Kingma and Welling, 2014).

    The code is drawn from a normal distribution, which is held near N(0, 1). The loss is the negative evidence lower
    bound, scaled so that the squared error has weight 1.
    """

    variational = True
