"""Convolutions onto small maps against the library's, values and gradients."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cdlearn.backbones import backbone
from cdlearn.runtime import fast_small_convs
from cdlearn.runtime.fast_small_convs import SlicedConv, SmallMap, SmallMapConv, columns, with_small_maps


@pytest.mark.parametrize("wide", [1, 10_000])  # the forward pass as a product, and as the library's
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 3), (2, 5), (6, 6), (5, 7)])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1), (1, 2)])
@pytest.mark.parametrize("images", [3, 4, 6])  # each alone, all in one row, several rows of several
def test_value_and_gradients_are_those_of_conv2d(monkeypatch, wide, height, width, kernel, stride, images):
    monkeypatch.setattr(fast_small_convs, "WIDE", wide)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, 4, height, width, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.randn(5, 4, kernel, kernel, dtype=torch.float64, generator=generator, requires_grad=True)
    ours, library = SmallMap.apply(x, weight, stride), F.conv2d(x, weight, stride=stride, padding=kernel // 2)
    upstream = torch.randn(library.shape, dtype=torch.float64, generator=generator)
    assert torch.allclose(ours, library)
    for a, b in zip(*(torch.autograd.grad(y, (x, weight), upstream) for y in (ours, library)), strict=True):
        assert torch.allclose(a, b)


def test_columns_are_those_of_unfold():
    x = torch.randn(2, 3, 4, 5)
    unfolded = F.unfold(x, 3, padding=1).view(2, 3, 9, 20).permute(0, 3, 2, 1).reshape(40, 27)
    assert torch.equal(columns(x), unfolded)


def test_under_autocast_a_small_map_gives_bf16_like_the_library():
    layer = with_small_maps(nn.Conv2d(8, 128, 3, padding=1, bias=False))
    assert type(layer) is SmallMapConv
    x = torch.randn(2, 8, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        ours, library = layer(x), F.conv2d(x, layer.weight, padding=1)
        assert type(ours.grad_fn).__name__ == "SmallMapBackward"
        too_large, too_narrow = layer(torch.randn(2, 8, 9, 9)), with_small_maps(nn.Conv2d(8, 64, 1, bias=False))(x)
        assert all(type(y.grad_fn).__name__ == "ConvolutionBackward0" for y in (too_large, too_narrow))
    assert ours.dtype == library.dtype == torch.bfloat16
    assert torch.allclose(ours.float(), library.float(), atol=2e-2)
    assert torch.equal(layer(x), F.conv2d(x, layer.weight, padding=1))  # without autocast it is the library's


@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 1, 3), (3, 2, 6), (1, 2, 6)])
def test_wide_maps_in_bf16_are_those_of_float32(kernel, stride, side):
    """With 512 channels all but the weights' gradient is a product. bf16 keeps 8 bits, so errors are small."""
    torch.manual_seed(0)
    layer = with_small_maps(nn.Conv2d(64, 512, kernel, stride, padding=kernel // 2, bias=False))
    x = torch.randn(4, 64, side, side, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours = layer(x)
    library = F.conv2d(x, layer.weight, stride=stride, padding=kernel // 2)
    upstream = torch.randn_like(library)
    found = [ours.float(), *torch.autograd.grad(ours, (x, layer.weight), upstream.to(ours.dtype))]
    wanted = [library, *torch.autograd.grad(library, (x, layer.weight), upstream)]
    for mine, theirs in zip(found, wanted, strict=True):
        assert (mine - theirs).norm() < 0.01 * theirs.norm()


def test_a_resnet_keeps_its_weights_and_the_convolutions_that_do_not_fit():
    net = backbone("resnet18", "imagenet")
    kinds = {name: type(module) for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    assert kinds["layer4.1.conv2"] is kinds["layer4.0.conv1"] is kinds["layer4.0.downsample.0"] is SmallMapConv
    assert kinds["conv1"] is nn.Conv2d  # 7x7
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 3, padding=1))
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    after = with_small_maps(plain)
    assert type(after[0]) is SmallMapConv and type(after[1]) is nn.Conv2d  # the latter has a bias
    assert all(torch.equal(before[name], value) for name, value in after.state_dict().items())


# Before strided 1x1 convolutions were sliced, this died of memory corruption or gave wrong gradients.
NARROW = """
import sys, torch
from cdlearn.backbones import TinyResNet, backbone

for width in range(4, 17, int(sys.argv[2])):
    for net in (backbone("tiny", "small", width), TinyResNet(width, "imagenet")):
        net.to(memory_format=torch.channels_last)
        x = torch.rand(4, 3, int(sys.argv[1]), int(sys.argv[1])).contiguous(memory_format=torch.channels_last)
        net(x).square().sum().backward()
        assert all(p.grad.isfinite().all() for p in net.parameters())
print("done")
"""


@pytest.mark.parametrize(("size", "every"), [(96, 1), (224, 3)])
def test_narrow_networks_train_at_any_size(size, every):
    """In a process of its own, which the library's fault would take down."""
    done = subprocess.run([sys.executable, "-c", NARROW, str(size), str(every)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-500:]


@pytest.mark.parametrize("name", ["tiny", "resnet18", "resnet50"])
def test_no_network_holds_a_strided_pointwise_convolution(name):
    seen = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function in (F.conv2d, torch.conv2d):
                strides = (kwargs or {}).get("stride", args[3] if len(args) > 3 else 1)
                seen.append((args[1].shape[-1], strides[0] if isinstance(strides, tuple) else strides))
            return function(*args, **(kwargs or {}))

    net = backbone(name).eval()
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride != (1, 1):
            assert isinstance(module, SlicedConv)
    with Watch(), torch.no_grad():
        net(torch.rand(1, 3, 32, 32))
    assert seen and (1, 2) not in seen and (1, 1) in seen


@pytest.mark.parametrize(("bias", "groups", "stride", "sides"), [(True, 1, 2, (7, 8)), (False, 2, 3, (9, 10))])
def test_a_sliced_convolution_is_the_strided_one(bias, groups, stride, sides):
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 6, 1, stride, bias=bias, groups=groups)
    sliced = SlicedConv(4, 6, 1, stride, bias=bias, groups=groups)
    sliced.load_state_dict(plain.state_dict())
    x = torch.randn(2, 4, *sides, requires_grad=True)
    found, wanted = sliced(x), plain(x)
    assert torch.allclose(found, wanted, atol=1e-6)
    upstream = torch.randn_like(wanted)
    ours = torch.autograd.grad(found, (x, sliced.weight), upstream)
    library = torch.autograd.grad(wanted, (x, plain.weight), upstream)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, library, strict=True))
