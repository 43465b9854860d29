"""What a GPU would be asked to do, without one: PyTorch's fake tensors have shape, type and device, but no numbers.

So an operation between the CPU and the GPU fails here as it would there, and so does whatever needs a number on the
way: on a GPU that would make the loop wait for the device in every step. Tried so are views, losses and the update; not
the backward pass, which asks the driver for a device, nor the Trainer's own lines around them.
"""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from cdlearn.augment import TwoViews, to_size
from cdlearn.config import Config
from cdlearn.methods import METHODS, build

needs_cuda_build = pytest.mark.skipif(torch.version.cuda is None, reason="this PyTorch was built without CUDA")


@pytest.mark.parametrize("method", ["cd", "simclr", "cc"])
def test_the_compiled_loss_has_the_same_value_and_gradients(method):
    """The gpu preset compiles the loss: here by the same tracing, but without the device's own code generator."""
    config = Config.preset("smoke", method=method, batch_size=8, clusters=4, data="x")
    model = build(config).train()
    views = torch.rand(2, 8, 3, config.size, config.size, generator=torch.Generator().manual_seed(0))

    def gradients(loss):
        model.zero_grad()
        loss["loss"].backward()
        return [loss["loss"].detach(), *(p.grad.clone() for p in model.parameters())]

    plain = gradients(model.training_loss(*views, views[0]))
    backend = CompileCounterWithBackend("aot_eager")
    compiled = gradients(torch.compile(model.training_loss, backend=backend)(*views, views[0]))
    assert backend.frame_count <= 3  # what several processes gather is left out of the graph: it breaks in two there
    assert backend.op_count > 50
    for mine, theirs in zip(compiled, plain, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


@pytest.fixture
def fake():
    with FakeTensorMode() as mode:
        yield mode


@needs_cuda_build
def test_it_would_notice_a_wait_and_a_mixture(fake):
    x = torch.ones(3, device="cuda")
    with pytest.raises(DataDependentOutputException):
        int(x.sum())
    with pytest.raises(RuntimeError, match="cpu"):
        x + torch.ones(3)


@needs_cuda_build
@pytest.mark.parametrize("both", [True, False])
def test_views_of_a_gpu_stay_on_it(fake, both):
    images = torch.zeros(8, 3, 40, 48, dtype=torch.uint8, device="cuda")
    for view in TwoViews(32, blur=0.5, both=both)(images):
        assert view.shape == (8, 3, 32, 32) and view.device.type == "cuda" and view.dtype == torch.float32


@needs_cuda_build
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backbone", ["tiny", "resnet18"])
def test_loss_and_update_on_a_gpu_wait_for_nothing(fake, method, backbone):
    config = Config.preset("gpu", method=method, backbone=backbone, batch_size=8, heads=8, dim=8, clusters=4, data="x")
    with torch.device("cuda"):
        model = build(config).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    images = torch.zeros(8, 3, config.size, config.size, dtype=torch.uint8, device="cuda")
    terms = model.training_loss(*TwoViews.of(config)(images), to_size(images, config.size))
    for parameter in model.parameters():  # autograd itself asks the driver for the GPU, and there is none
        parameter.grad = torch.empty_like(parameter)
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    assert all(value.device.type == "cuda" for value in terms.values())
