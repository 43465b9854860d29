"""What a GPU would be asked to do, without one: PyTorch's fake tensors have shape, type and device, but no numbers.

So an operation between the CPU and the GPU fails here as it would there, and so does whatever needs a number on the
way: on a GPU that would make the loop wait for the device in every step.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from cdlearn.augment import TwoViews, to_size
from cdlearn.config import Config
from cdlearn.methods import METHODS, build


@pytest.fixture
def fake():
    with FakeTensorMode() as mode:
        yield mode


def test_it_would_notice_a_wait_and_a_mixture(fake):
    x = torch.ones(3, device="cuda")
    with pytest.raises(DataDependentOutputException):
        int(x.sum())
    with pytest.raises(RuntimeError, match="cpu"):
        x + torch.ones(3)


@pytest.mark.parametrize("both", [True, False])
def test_views_of_a_gpu_stay_on_it(fake, both):
    images = torch.zeros(8, 3, 40, 48, dtype=torch.uint8, device="cuda")
    for view in TwoViews(32, blur=0.5, both=both)(images):
        assert view.shape == (8, 3, 32, 32) and view.device.type == "cuda" and view.dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backbone", ["tiny", "resnet18"])
def test_a_step_on_a_gpu_waits_for_nothing(fake, method, backbone):
    config = Config.preset("gpu", method=method, backbone=backbone, batch_size=8, heads=8, dim=8, clusters=4, data="x")
    with torch.device("cuda"):
        model = build(config).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    images = torch.zeros(8, 3, config.size, config.size, dtype=torch.uint8, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        terms = model.training_loss(*TwoViews.of(config)(images), to_size(images, config.size))
    for parameter in model.parameters():  # autograd itself asks the driver for the GPU, and there is none
        parameter.grad = torch.empty_like(parameter)
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    assert all(value.device.type == "cuda" for value in terms.values())
