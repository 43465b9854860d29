"""What is asked of the machine."""

import platform
import subprocess
import sys

import pytest
import torch
from test_train import tiny, tiny_images

from cdlearn import course, trainer
from cdlearn.runtime import devices
from cdlearn.runtime.errors import UserError

HELD = """
import torch
from cdlearn.runtime.devices import keep_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
if {keep}:
    keep_memory()
before = resident()
block = torch.ones(50_000_000)
del block
print((resident() - before) / 200_000_000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked to keep what is freed")
@pytest.mark.parametrize(("keep", "low", "high"), [(False, -0.1, 0.1), (True, 0.9, 1.1)])
def test_freed_memory_is_kept_where_that_is_asked_for(keep, low, high):
    found = subprocess.run([sys.executable, "-c", HELD.format(keep=keep)], capture_output=True, text=True, check=True)
    assert low < float(found.stdout) < high


def test_devices_that_are_not_there_are_named():
    assert devices.pick_device("cpu").type == "cpu"
    for name, says in (("cuda:7", "torch sees"), ("mps", "no such Apple GPU"), ("mps:1", "no such Apple GPU")):
        with pytest.raises(UserError, match=f"device {name}: .*{says}.*--device cpu"):
            devices.pick_device(name)
    for name in ("tpu", "cuda:", "cuda:x", "cdua"):
        with pytest.raises(UserError, match=f"unknown device '{name}'.*there are cpu, cuda, mps"):
            devices.pick_device(name)


def test_an_apple_gpu_is_taken_only_where_it_is_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.pick_device("mps").type == "mps" and devices.pick_device("").type == "cpu"
    assert not devices.fast_bf16(torch.device("mps"))
    devices.tune(torch.device("mps"))
    assert capsys.readouterr().err.count("\n") == 1


def test_a_gpu_is_tuned_once_for_the_process(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    before = torch.get_float32_matmul_precision()
    try:
        devices.tune(torch.device("cuda"))
        assert torch.backends.cudnn.benchmark and torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_run_goes_on_with_another_device_precision_or_compiler():
    whole = trainer.Trainer(tiny(amp=True), tiny_images())
    whole.train_step()
    other = trainer.Trainer(tiny(amp=False, compile=True, device="cpu"), tiny_images())
    other.restore(whole.state())
    assert other.step == 1 and torch.isfinite(other.train_step())


def test_models_of_a_notebook_are_on_its_device_fresh_or_from_the_cache(tmp_path, monkeypatch):
    """Meta is a device that every machine has, and that computes nothing."""
    monkeypatch.setattr(course, "HOME", tmp_path)
    settings = dict(limit=48, size=16, batch_size=16, epochs=1)
    course.trained(**settings)
    for module in (course, trainer):
        monkeypatch.setattr(module, "pick_device", lambda name="": torch.device("meta"))
    cached, config, _ = course.trained(**settings)
    assert {value.device.type for value in cached.state_dict().values()} == {"meta"} and cached.history
    assert {value.device.type for value in trainer.fresh_model(config).state_dict().values()} == {"meta"}
