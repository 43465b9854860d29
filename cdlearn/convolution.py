"""3x3 convolutions of very small maps as matrix products: for CPUs that multiply bf16 matrices in hardware.

The library's convolution works row by row, and the rows of the last blocks of a ResNet are 3 or 4 pixels long; there it
reaches a tenth of what a matrix product of the same size does (256 images of 512 x 3 x 3 on two AMX cores: forward 21
against 6 ms, gradient of the weights 68 against 9).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST = 5  # side in pixels up to which the weights' gradient is faster as a product; at 6 they are even
WIDE = 512  # channels from which the forward pass and the gradient of x are, too


def columns(x: Tensor) -> Tensor:
    """The 3x3 neighbourhood of every pixel, zeros beyond the edge: (N, C, H, W) -> (N H W, 9 C)."""
    n, c, h, w = x.shape
    padded = x.new_zeros(n, h + 2, w + 2, c)
    padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    row = (w + 2) * c
    near = padded.as_strided((n, h, w, 3, 3 * c), ((h + 2) * row, row, c, row, 1))
    return near.reshape(n * h * w, 9 * c)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """conv2d(x, weight, padding=1), from columns where that is faster; the result is channels_last."""
    n, c, h, w = x.shape
    if c < WIDE:
        return F.conv2d(x, weight, padding=1)
    flat = columns(x) @ weight.permute(2, 3, 1, 0).reshape(-1, len(weight))
    return flat.view(n, h, w, -1).permute(0, 3, 1, 2)


class SmallMap(torch.autograd.Function):
    """conv2d with a 3x3 kernel, stride 1, padding 1: (N, C, H, W), (D, C, 3, 3) -> (N, D, H, W)."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:  # each pixel is reached from where it reached to: the kernel turned by half a turn
            of_x = product(gradient, weight.transpose(0, 1).flip(2, 3))
        if ctx.needs_input_grad[1]:
            flat = gradient.permute(0, 2, 3, 1).reshape(-1, gradient.shape[1])
            of_weight = (flat.T @ columns(x)).view(len(weight), 3, 3, -1).permute(0, 3, 1, 2)
        return of_x, of_weight


class Conv3x3(nn.Conv2d):
    """nn.Conv2d(in, out, 3, padding=1, bias=False), quicker on small maps in bf16 on a CPU."""

    def __init__(self, channels: int, out: int):
        super().__init__(channels, out, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and max(x.shape[-2:]) <= LARGEST:
            dtype = torch.get_autocast_dtype("cpu")
            return SmallMap.apply(x.to(dtype), self.weight.to(dtype))
        return F.conv2d(x, self.weight, padding=1)


def with_small_maps(net: nn.Module) -> nn.Module:
    """``net`` with every convolution that Conv3x3 can stand for replaced by one of the same weights."""
    for name, module in net.named_children():
        plain = type(module) is nn.Conv2d and module.bias is None and module.groups == 1
        geometry = (module.kernel_size, module.stride, module.padding, module.dilation) if plain else None
        if geometry == ((3, 3), (1, 1), (1, 1), (1, 1)):
            made = Conv3x3(module.in_channels, module.out_channels)
            made.weight = module.weight
            setattr(net, name, made)
        else:
            with_small_maps(module)
    return net
