"""Faster convolutions onto small maps, for CPUs that multiply bf16 matrices in hardware.

The library's convolution works row by row. In the last blocks of a ResNet rows are only 3 to 8 pixels long, and the
library takes up to six times as long as with long rows or a matrix product. Three remedies, each used where it is
fastest: images side by side in one long row, for the gradient of a 3x3 kernel; one product of all columns, for very
many channels; and a plain product for 1x1. 256 images on two AMX cores, in ms: gradient of the weights, 128 channels,
4 px, 4.5 to 1.5; 256, 8 px, 22 to 15; 256 at 6 px to 512 at 3 px, 35 to 6; 512 channels at 3 px, forward 21 to 6.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST = 8  # pixels, the longest side of a map for which the weights' gradient is faster here
CHANNELS = 128  # the fewest channels of such a map
WIDE = 512  # the fewest channels for which the forward pass and the gradient of x are faster as products ...
LARGEST_WIDE = 6  # ... and the longest side for that with a 3x3 kernel
TOGETHER = 16  # images side by side


def side_by_side(x: Tensor, count: int, gap: int) -> Tensor:
    """Join every ``count`` images into a long one, with ``gap`` columns of zeros after each to keep them apart.

    (N, C, H, W) -> (N / count, C, H, count (W + gap)), channels_last.
    """
    n, c, h, w = x.shape
    long = x.new_zeros(n // count, h, count, w + gap, c)
    long[:, :, :, :w] = x.permute(0, 2, 3, 1).reshape(n // count, count, h, w, c).transpose(1, 2)
    return long.view(n // count, h, count * (w + gap), c).permute(0, 3, 1, 2)


def library_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, of_x: bool) -> Tensor:
    """conv2d's own gradient, of x or of the weights."""
    pad = [weight.shape[-1] // 2] * 2
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [stride] * 2, pad, [1, 1], False, [0, 0], 1, [of_x, not of_x, False]
    )[0 if of_x else 1]


def columns(x: Tensor, kernel: int = 3, stride: int = 1) -> Tensor:
    """What the kernel sees at each place of the map, zeros beyond the edge: (N, C, H, W) -> (N H' W', kernel^2 C).

    kernel is 1 or 3, its padding 0 or 1.
    """
    n, c, h, w = x.shape
    if kernel == 1:
        return x.permute(0, 2, 3, 1)[:, ::stride, ::stride].reshape(-1, c)
    padded = x.new_zeros(n, h + 2, w + 2, c)
    padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    row = (w + 2) * c
    size = (n, (h - 1) // stride + 1, (w - 1) // stride + 1, 3, 3 * c)
    return padded.as_strided(size, ((h + 2) * row, stride * row, stride * c, row, 1)).reshape(-1, 9 * c)


def product(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """conv2d(x, weight, stride, padding) as one product of all columns; the result is channels_last."""
    (n, _, h, w), kernel = x.shape, weight.shape[-1]
    flat = columns(x, kernel, stride) @ weight.permute(2, 3, 1, 0).reshape(-1, len(weight))
    return flat.view(n, (h - 1) // stride + 1, (w - 1) // stride + 1, -1).permute(0, 3, 1, 2)


def spread(gradient: Tensor, weight: Tensor, stride: int, shape: torch.Size) -> Tensor:
    """The gradient of x: each place of the map adds its share to every place of x that it saw."""
    (n, c, h, w), (_, _, high, wide), kernel = shape, gradient.shape, weight.shape[-1]
    flat = gradient.permute(0, 2, 3, 1).reshape(-1, len(weight)) @ weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
    seen, edge = flat.view(n, high, wide, kernel, kernel, c), kernel // 2
    x = gradient.new_zeros(n, h + 2 * edge, w + 2 * edge, c)
    for i in range(kernel):
        for j in range(kernel):
            x[:, i : i + stride * high : stride, j : j + stride * wide : stride][:, :high, :wide] += seen[:, :, :, i, j]
    return x[:, edge : edge + h, edge : edge + w].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def by_product(weight: Tensor, side: int) -> bool:
    """Whether the forward pass and the gradient of x are faster as products; ``side``: the map's longest side."""
    return len(weight) >= WIDE and (weight.shape[-1] == 1 or side <= LARGEST_WIDE)


class SmallMap(torch.autograd.Function):
    """conv2d with kernel k, 1 or 3; only the stride changes the size: (N, C, H, W), (D, C, k, k) -> (N, D, H', W')."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        if by_product(weight, (max(x.shape[-2:]) - 1) // stride + 1):
            return product(x, weight, stride)
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        stride, kernel = ctx.stride, weight.shape[-1]
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            if kernel > 1 and not by_product(weight, max(gradient.shape[-2:])):
                of_x = library_gradient(gradient, x, weight, stride, of_x=True)
            elif stride == 1:  # the same product, with the kernel rotated by 180 degrees
                of_x = product(gradient, weight.transpose(0, 1).flip(2, 3))
            else:
                of_x = spread(gradient, weight, stride, x.shape)
        if ctx.needs_input_grad[1]:
            if kernel == 1:
                flat = gradient.permute(0, 2, 3, 1).reshape(-1, len(weight))
                of_weight = (flat.T @ columns(x, 1, stride)).view_as(weight)
            else:  # the gradient is 0 in the gaps, so what the kernel sees across them does not count
                count, odd = math.gcd(len(x), TOGETHER), x.shape[-1] % stride
                if count > 1:
                    gradient, x = side_by_side(gradient, count, 1), side_by_side(x, count, stride + odd)
                of_weight = library_gradient(gradient, x, weight, stride, of_x=False)
        return of_x, of_weight, None


class SlicedConv(nn.Conv2d):
    """nn.Conv2d of which one with a 1x1 kernel and a stride takes every stride-th pixel first, then a stride of 1.

    The result is the same. But oneDNN writes past the end of a buffer in the weights' gradient of a strided 1x1
    convolution in channels_last with fewer channels than fill a vector (16, or 8 with AVX2), on even maps of 48 px and
    more: the process dies, or its numbers are wrong. Only the class differs, so any weights of nn.Conv2d fit.

    A pool of one pixel takes them: like x[:, :, ::2, ::2], but its gradient stays channels_last. Bit for bit the same
    training steps in 0.97 to 1.02 of the time (tiny and resnet18 at 32 px; slicing itself took up to 1.12 of it on
    tiny; tests/benchmarks/sliced.py).
    """

    def pointwise(self) -> int:
        """The stride of a convolution whose kernel is 1x1; 1 for every other kernel."""
        plain = self.kernel_size == (1, 1) and self.padding == (0, 0) and self.stride[0] == self.stride[1]
        return self.stride[0] if plain else 1

    def forward(self, x: Tensor) -> Tensor:
        step = self.pointwise()
        if step == 1:
            return super().forward(x)
        return F.conv2d(F.avg_pool2d(x, 1, step), self.weight, self.bias, groups=self.groups)


class SmallMapConv(SlicedConv):
    """nn.Conv2d without bias, kernel 1 or 3, padding to match; faster onto small maps in bf16 on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        step = self.pointwise()
        small = (max(x.shape[-2:]) - 1) // self.stride[0] < LARGEST
        if small and self.out_channels >= CHANNELS and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            seen = F.avg_pool2d(x, 1, step) if step > 1 else x
            return SmallMap.apply(seen.to(dtype), self.weight.to(dtype), self.stride[0] // step)
        return super().forward(x)


def with_small_maps(net: nn.Module) -> nn.Module:
    """Turn every convolution of ``net`` that SmallMapConv can replace into one; all weights stay where they are."""
    for module in net.modules():
        if (
            type(module) in (nn.Conv2d, SlicedConv)
            and module.bias is None
            and module.groups == 1
            and module.dilation == (1, 1)
        ):
            if module.padding_mode != "zeros":
                continue
            shape = (module.kernel_size, module.padding)
            if shape in (((1, 1), (0, 0)), ((3, 3), (1, 1))) and module.stride in ((1, 1), (2, 2)):
                module.__class__ = SmallMapConv  # it adds no attribute, so a new class is enough
    return net
