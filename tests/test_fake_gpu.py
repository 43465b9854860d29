"""What a GPU would be asked to do, without one: PyTorch's fake tensors have shape, type and device, but no numbers.

So an operation between the CPU and the GPU fails here as it would there, and so does whatever needs a number on the
way: on a GPU that would make the loop wait for the device in every step. The Trainer's own step is taken so, with its
autocast and its update; of the backward pass alone only the result is made up, because autograd asks the driver for a
device. Then embedding, the monitor and the closing stages. What the Trainer compiles is compiled on the CPU: by the
same tracing, but without the device's own code generator.
"""

import contextlib

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cdlearn import trainer
from cdlearn.augment import TwoViews
from cdlearn.config import Config
from cdlearn.evaluate import embed
from cdlearn.methods import METHODS, build
from cdlearn.results import scoring
from cdlearn.runtime import compiling, devices, distributed, rng

needs_cuda_build = pytest.mark.skipif(torch.version.cuda is None, reason="this PyTorch was built without CUDA")
CUDA, CPU = torch.device("cuda"), torch.device("cpu")
SMALL = {"size": 16, "batch_size": 8, "heads": 8, "dim": 8, "clusters": 4, "data": "x", "epochs": 2}


def some_images(n=32):
    return torch.randint(0, 256, (n, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


# ---------------------------------------------------------------------------------------------------- compiling


@pytest.fixture
def counted(monkeypatch):
    """Compiling on this CPU, by a backend that counts graphs."""
    torch._dynamo.reset()
    backend = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(compiling, "BACKEND", backend)
    monkeypatch.setattr(compiling, "pays", lambda *given: True)
    return backend


@pytest.fixture
def plain_views(monkeypatch):
    """Only the loss is compiled: on a CPU the views are made in another way than on a GPU, from parts."""
    compiled = trainer.Trainer.compile

    def network_only(self):
        views = self.views.apply_part
        compiled(self)
        self.views.apply_part = views

    monkeypatch.setattr(trainer.Trainer, "compile", network_only)


@pytest.mark.parametrize("method", ["cd", "simclr", "cc", "vae", "byol"])
def test_what_the_trainer_compiles_is_one_graph_with_the_plain_ones_result(counted, plain_views, method):
    amp = method in ("cd", "vae")  # in bf16 the compiled step rounds elsewhere
    config = Config.preset("smoke", method=method, **SMALL, compile=True, amp=amp)
    compiled = trainer.Trainer(config, some_images())
    compiled.prepare()
    found = [compiled.train_step() for _ in range(3)]
    assert counted.frame_count == 1 and counted.op_count > 50
    if method == "vae":  # compiled, its noise is drawn in another order
        return
    counted.frame_count = 0
    plain = trainer.Trainer(config, some_images())
    torch.testing.assert_close(found, [plain.train_step() for _ in range(3)], rtol=0.1 if amp else 1e-3, atol=1e-3)
    assert counted.frame_count == 0


@pytest.mark.parametrize("method", ["cd", "byol", "fastsiam"])
def test_every_size_is_one_graph_made_before_the_first_step(counted, plain_views, method):
    sizes = {"small_views": 2, "small_size": 8, "grow": "8@0.3,12@0.6"}  # of 8 steps; at 8 px all views are of one size
    config = Config.preset("smoke", method=method, **SMALL, **sizes, compile=True, amp=False)
    compiled, plain = (trainer.Trainer(config, some_images()) for _ in range(2))
    compiled.prepare()
    assert counted.frame_count == 3
    found = [compiled.train_step() for _ in range(8)]
    assert counted.frame_count == 3
    plain.model.train()
    torch.testing.assert_close(found, [plain.train_step() for _ in range(8)], rtol=1e-2, atol=1e-2)


def test_the_compiled_views_are_one_graph_for_every_size(counted):
    sizes = {"small_views": 2, "small_size": 8, "grow": "12@0.5"}
    made = trainer.Trainer(Config.preset("smoke", **SMALL, **sizes, compile=True), some_images())
    images, of = some_images(16), {}
    for size in (16, 12, 8):
        of[size] = made.views.draw(16, 20, 20, CPU, torch.Generator().manual_seed(1), size)
    plain = {size: made.views.apply_part(images, draws, size) for size, draws in of.items()}
    made.compile()
    for _ in range(2):
        for size, draws in of.items():
            torch.testing.assert_close(made.views.apply_part(images, draws, size), plain[size])
    assert counted.frame_count == 3


@pytest.mark.parametrize("settings", [{}, {"blur": 0.5}, {"both_views": False}])
def test_the_compiled_views_are_one_graph_and_the_same_views(counted, settings):
    made = trainer.Trainer(Config.preset("smoke", **SMALL, **settings, compile=True), some_images())
    images = some_images(8)
    draws = made.views.draw(8, 20, 20, CPU, torch.Generator().manual_seed(1))
    plain = made.views.apply_part(images, draws, 16)
    made.compile()
    for _ in range(2):
        torch.testing.assert_close(made.views.apply_part(images, draws, 16), plain)
    assert counted.frame_count == 1


def failing_backward(graph, inputs):
    """A compiler that runs forward passes and fails at backward ones, after BatchNorm's statistics have moved."""
    from torch._dynamo.backends.common import aot_autograd

    def fails(*given):
        raise AssertionError("this kernel is too wide\nand much more")

    return aot_autograd(fw_compiler=lambda g, i: g.forward, bw_compiler=fails)(graph, inputs)


def failing_forward(graph, inputs):
    raise AssertionError("this kernel is too wide\nand much more")


@pytest.mark.parametrize("backend", [failing_forward, failing_backward])
def test_a_failed_compiler_leaves_no_trace_but_one_line(counted, plain_views, monkeypatch, capsys, backend):
    plain = trainer.Trainer(Config.preset("smoke", **SMALL, compile=True), some_images())
    monkeypatch.setattr(compiling, "BACKEND", backend)
    unlucky = trainer.Trainer(Config.preset("smoke", **SMALL, compile=True), some_images())
    unlucky.prepare()
    for _ in range(3):
        assert torch.equal(unlucky.train_step(), plain.train_step())
    for mine, theirs in zip(unlucky.model.state_dict().values(), plain.model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    errors = capsys.readouterr().err
    assert errors.count("compiling failed") == 1 and errors.count("\n") == 1 and "training goes on" in errors


def test_a_full_memory_is_no_failure_of_the_compiler():
    def full():
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        compiling.works(full, torch.nn.Identity())


def test_compiling_is_left_out_where_it_cannot_pay(capsys, monkeypatch):
    assert not compiling.pays(True, CPU, 10**6) and not compiling.pays(False, CUDA, 10**6)
    assert compiling.pays(True, CUDA, 20_000) and compiling.loss_pays() and capsys.readouterr().err == ""
    assert not compiling.pays(True, CUDA, 1_600)
    assert "1600 steps" in capsys.readouterr().err
    monkeypatch.setattr(distributed, "ranks", lambda: 2)
    assert not compiling.loss_pays() and "only the views" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------- a fake GPU


class NoDoubles(TorchDispatchMode):
    """Apple's GPUs have no float64, and others are slow at it."""

    def __torch_dispatch__(self, function, types, given=(), named=None):
        found = function(*given, **(named or {}))
        for value in tree_leaves(found):
            if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
                assert value.device.type == "cpu", f"{function} makes float64 on the {value.device.type}"
        return found


@pytest.fixture
def fake():
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, NoDoubles():
        yield mode


@pytest.fixture
def as_on_cuda(fake, monkeypatch):
    """The Trainer takes the fake GPU for a real one; what only the driver knows is answered for it.

    Models are made where they belong, because PyTorch cannot move fake ones.
    """

    def made_on_cuda(config):
        with CUDA:
            return build(config)

    def to(model, device, memory_format=None):
        assert torch.device(device).type == "cuda" == next(model.parameters()).device.type
        return model

    monkeypatch.setattr(torch.nn.Module, "to", to)
    for module in (trainer, scoring):
        monkeypatch.setattr(module, "fresh_model", made_on_cuda)
    monkeypatch.setattr(trainer, "pick_device", lambda name="": CUDA)
    monkeypatch.setattr(trainer, "tune", lambda device: None)
    monkeypatch.setattr(devices, "fast_bf16", lambda device: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(FakeTensorMode, "avoid_device_init", True)  # else it would believe that, too
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **given: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (2**33, 2**34))
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": None)
    monkeypatch.setattr(rng, "set_stream", lambda generator, *stream: None)
    monkeypatch.setattr(rng, "generator", lambda *stream, **named: None)
    monkeypatch.setattr(rng, "drawing", lambda *given: contextlib.nullcontext())

    def backward(loss):
        assert loss.requires_grad and loss.device.type == "cuda"
        for group in optimizers:
            for parameter in filter(lambda p: p.requires_grad, group.param_groups[0]["params"]):
                parameter.grad = torch.empty_like(parameter)

    optimizers, adam = [], torch.optim.AdamW
    monkeypatch.setattr(
        torch.optim, "AdamW", lambda *given, **named: optimizers.append(adam(*given, **named)) or optimizers[-1]
    )
    monkeypatch.setattr(torch.Tensor, "backward", backward)


@needs_cuda_build
def test_it_would_notice_a_wait_a_mixture_and_a_double(fake):
    x = torch.ones(3, device="cuda")
    with pytest.raises(DataDependentOutputException):
        int(x.sum())
    with pytest.raises(RuntimeError, match="cpu"):
        x + torch.ones(3)
    with pytest.raises(AssertionError, match="float64"):
        x.double()


@needs_cuda_build
@pytest.mark.parametrize("both", [True, False])
def test_views_of_a_gpu_stay_on_it(fake, both):
    images = torch.zeros(8, 3, 40, 48, dtype=torch.uint8, device="cuda")
    for view in TwoViews(32, blur=0.5, both=both)(images):
        assert view.shape == (8, 3, 32, 32) and view.device.type == "cuda" and view.dtype == torch.float32


@needs_cuda_build
@pytest.mark.parametrize(("method", "backbone"), [*((method, "tiny") for method in METHODS), ("cd", "resnet18")])
def test_a_step_on_a_gpu_waits_for_nothing(as_on_cuda, method, backbone):
    # of so many epochs, the first is in no phase that looks at all images before it, which waits
    small = SMALL | {"size": 32, "epochs": 100}
    config = Config.preset("gpu", method=method, backbone=backbone, **small, compile=False)
    made = trainer.Trainer(config, torch.zeros(24, 3, 40, 40, dtype=torch.uint8))
    assert made.images.device.type == "cuda" and next(made.model.parameters()).device.type == "cuda"
    made.step = 1  # before the first, the centres are put in their place, which waits once
    finite = torch.ones((), dtype=torch.bool, device="cuda")
    for _ in range(2):
        finite = finite & torch.isfinite(made.train_step())
    assert finite.device.type == "cuda" and {value.device.type for value in made.sums.values()} == {"cuda"}
    assert next(iter(made.sums.values())).dtype == torch.float32


@needs_cuda_build
def test_the_step_on_a_gpu_is_in_bf16(as_on_cuda):
    """Else the test before it would show nothing about what is really computed."""
    made = trainer.Trainer(Config.preset("gpu", **SMALL, compile=False), torch.zeros(8, 3, 20, 20, dtype=torch.uint8))
    seen = []
    made.model.heads[0].register_forward_hook(lambda module, given, found: seen.append(found.dtype))
    made.train_step()
    assert seen == [torch.bfloat16]


@needs_cuda_build
@pytest.mark.parametrize("method", METHODS)
def test_embedding_and_closing_on_a_gpu_mix_no_devices(as_on_cuda, method):
    config = Config.preset("gpu", method=method, backbone="tiny", **SMALL)
    images = torch.zeros(12, 3, 20, 20, dtype=torch.uint8)
    model = trainer.fresh_model(config).to("cuda", memory_format=torch.channels_last)
    for stage in (embed(model, images, 16), embed(model, images.cuda(), 16), scoring.stages(model, config, images)):
        for values in stage.values():
            assert values.device.type == "cpu" and values.dtype == torch.float32 and len(values) == 12
