"""On a real GPU: compiled training against plain, resuming, embedding, closing. Skipped where there is none.

The other tests do not see a GPU (conftest.py). The first test here opens a process that does, and runs the rest in it.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cdlearn import checkpoint, course, trainer
from cdlearn.config import Config
from cdlearn.data.shapes import make_shapes
from cdlearn.evaluate import embed
from cdlearn.results import scoring
from cdlearn.runtime import compiling, prefetch

SEES = bool(os.environ.get("CDLEARN_TEST_GPU"))
on_gpu = pytest.mark.skipif(not (SEES and torch.cuda.is_available()), reason="CUDA is hidden from this process")
SMALL = {"size": 16, "batch_size": 32, "limit": 128, "epochs": 3, "kmeans_seeds": 1, "device": "cuda", "heads": 16}


def driver() -> bool:
    """Whether this PyTorch was built for CUDA and its driver is installed; nothing of it is started."""
    if torch.version.cuda is None:
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


@pytest.mark.skipif(SEES, reason="this is that process")
@pytest.mark.skipif(not driver(), reason="no CUDA driver here")
def test_in_a_process_that_sees_the_gpu():
    seen = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"} | {"CDLEARN_TEST_GPU": "1"}
    if os.environ["CDLEARN_GPUS"] != "all":
        seen["CUDA_VISIBLE_DEVICES"] = os.environ["CDLEARN_GPUS"]
    seen.pop("PYTEST_XDIST_WORKER", None)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", __file__]
    found = subprocess.run(command, env=seen, cwd=Path(__file__).parent, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    if " passed" not in found.stdout:
        pytest.skip("there is a CUDA driver, but no GPU for it")


def small(**settings) -> Config:
    return Config.preset("smoke", **SMALL | settings)


@pytest.fixture
def images():
    return make_shapes(128, 16)


@pytest.fixture
def compiles(monkeypatch):
    monkeypatch.setattr(compiling, "FEWEST_STEPS", 0)


@on_gpu
@pytest.mark.parametrize("method", ["cd", "simclr", "vae"])
def test_compiled_steps_are_the_plain_ones(images, compiles, method, capsys):
    """In float32; the VAE draws its noise otherwise when compiled, so only its first error is nearly the same."""
    found = [
        trainer.fit(small(method=method, amp=False, compile=compile), images).history[:] for compile in (False, True)
    ]
    assert "compiling failed" not in capsys.readouterr().err
    for plain, compiled in zip(*found, strict=True):
        assert compiled["loss"] == pytest.approx(plain["loss"], rel=0.02)


@on_gpu
def test_one_graph_of_loss_and_views(images, compiles):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    made = trainer.Trainer(small(compile=True), images.images)
    made.prepare()
    for _ in range(4):
        assert torch.isfinite(made.train_step())
    counted = torch._dynamo.utils.counters
    assert counted["stats"]["unique_graphs"] == 2 and not counted["graph_break"]


@on_gpu
def test_a_run_goes_on_compiled_or_not(images, compiles, tmp_path):
    whole = trainer.fit(small(epochs=4, cosine=False), images).history[-1]["loss"]
    trainer.fit(small(epochs=4, cosine=False), images, tmp_path)
    state = checkpoint.read(tmp_path / "checkpoint.pt")
    assert state["step"] == 16
    for settings in ({"compile": True}, {"amp": False}, {"device": "cpu"}):
        again = trainer.Trainer(small(epochs=4, cosine=False, **settings), images.images)
        again.restore(state)
        assert again.step == 16 and torch.isfinite(again.train_step())
    assert state["history"][-1]["loss"] == pytest.approx(whole, rel=0.05)


@on_gpu
def test_mapped_images_give_the_same_batches(images, monkeypatch):
    """As if they did not fit: gathered ahead by a thread, into pinned memory."""
    resident = trainer.Trainer(small(), images.images)
    monkeypatch.setattr(prefetch, "SHARE", 0.0)
    mapped = trainer.Trainer(small(), images.images)
    assert mapped.batches.ahead and not resident.batches.ahead
    for step in range(12):
        batches = [t.batches(t.index(step), t.index(step + 1)).cpu() for t in (resident, mapped)]
        assert torch.equal(*batches)


@on_gpu
def test_embedding_and_closing(images, tmp_path, capsys):
    config = small()
    model = trainer.fit(config, images, tmp_path)
    assert next(model.parameters()).device.type == "cuda"
    loaded, _ = checkpoint.load_model(tmp_path)
    here, there = embed(loaded, images.images, 16, amp=False), embed(model, images.images, 16, amp=False)
    for stage, values in there.items():
        torch.testing.assert_close(values, here[stage], rtol=0.02, atol=0.01)
    scores = scoring.close(model, config, images, tmp_path, model.history)
    assert set(scoring.STAGES) <= set(scores) and (tmp_path / "embedding.png").exists()


@on_gpu
def test_a_notebooks_model_is_on_the_gpu_fresh_or_not(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "HOME", tmp_path)
    for _ in range(2):
        model, _, _ = course.trained(**SMALL)
        assert next(model.parameters()).device.type == "cuda"


@on_gpu
def test_checkpoints_come_by_the_minute(images, tmp_path, monkeypatch):
    """Not after each epoch of more than ten seconds, as on a CPU: writing 140 MB each time would cost a few percent."""
    saved, now = [], [0.0]
    monkeypatch.setattr(trainer, "save", lambda made, out: saved.append(made.step))
    monkeypatch.setattr(trainer.time, "monotonic", lambda: now[0])
    step = trainer.Trainer.train_step
    monkeypatch.setattr(trainer.Trainer, "train_step", lambda made: now.__setitem__(0, now[0] + 5) or step(made))
    made = trainer.Trainer(small(epochs=10), images.images)  # 40 steps of 5 s, 4 an epoch
    trainer.run(made, tmp_path, False, None, [])
    assert 2 <= len(saved) <= 4 and saved[-1] == 40
