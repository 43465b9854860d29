"""Two processes on CPUs against one: the same losses, gradients and weights; torchrun as a user meets it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from test_train import options, tiny, tiny_images

from cdlearn import checkpoint, trainer
from cdlearn.methods import cluster_centres, per_image
from cdlearn.runtime import distributed
from cdlearn.runtime.errors import UserError

SEVERAL = {"small_views": 2, "small_size": 8, "grow": "8@0.1,12@0.2"}  # a size in each of the first three steps
CASES = {
    "cd": {},
    "cd, views normalised apart": {"per_view_batch_norm": True},
    "cd, one view plain": {"both_views": False, "blur": 0.5},
    "cd, modified heads": {"heads_similarity": "correlation", "feature_temperature": 0.2, "entropy_of": "mean"},
    "cd, several sizes": SEVERAL,
    "cd, several sizes, one view plain": SEVERAL | {"both_views": False, "per_view_batch_norm": True},
    "simclr": {"method": "simclr"},
    "simclr, several sizes": {"method": "simclr", **SEVERAL},
    "cc, several sizes": {"method": "cc", "clusters": 4, **SEVERAL},
    "byol, several sizes": {"method": "byol", "target_momentum": 0.5, **SEVERAL},
    "vicreg, several sizes": {"method": "vicreg", **SEVERAL},
    "fastsiam, several sizes": {"method": "fastsiam", **SEVERAL},
    "cc": {"method": "cc", "clusters": 4},
    "centres": {"method": "centres", "clusters": 4},
    "ae": {"method": "ae"},
    "dae": {"method": "dae"},
    "vae": {"method": "vae"},
    "byol": {"method": "byol", "target_momentum": 0.5},
    "vicreg": {"method": "vicreg"},
    "fastsiam": {"method": "fastsiam"},
    "fastsiam, one view plain": {"method": "fastsiam", "both_views": False},
    # one step per epoch: three epochs are the phases of most, and the first of jule's
    "decnn": {"method": "decnn", "batch_size": 48},
    "dcgan": {"method": "dcgan"},
    "jule": {"method": "jule", "clusters": 4, "batch_size": 48, "epochs": 8},
    "jule, K left": {"method": "jule", "clusters": 4, "batch_size": 48, "epochs": 3},
    "dec": {"method": "dec", "clusters": 4, "batch_size": 48},
    "dac": {"method": "dac", "clusters": 4, "batch_size": 48},
    "dccm": {"method": "dccm", "clusters": 4},
    "pica": {"method": "pica", "clusters": 4},
}


def three_steps(settings, double=True):
    """Terms, gradients and state after each of three steps, in float64, where sums in another order round the same."""
    with ExitStack() as stack:
        if double:
            made, sized = trainer.fresh_model, trainer.to_size
            stack.enter_context(mock.patch.object(trainer, "fresh_model", lambda config: made(config).double()))
            for module in (trainer, cluster_centres, per_image):
                stack.enter_context(mock.patch.object(module, "to_size", lambda *given: sized(*given).double()))
        under_test = trainer.Trainer(tiny(device="cpu", amp=not double, **settings), tiny_images())
        views = under_test.views
        under_test.views = lambda *given: [v.double() if double else v for v in views(*given)]
        under_test.prepare()
        found = []
        for _ in range(3):
            under_test.train_step()
            learned = {k: p.grad for k, p in under_test.model.named_parameters() if p.grad is not None}
            gradients = {f"gradient of {k}": gradient.clone() for k, gradient in learned.items()}
            terms = {k: v.clone() for k, v in under_test.sums.items()}
            found.append(terms | gradients | {k: v.clone() for k, v in under_test.model.state_dict().items()})
        return found


def one_rank(rank, folder):
    """What each of the two processes does."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        found = {name: three_steps(settings) for name, settings in CASES.items()}
        found["amp"] = three_steps({}, double=False)
        with pytest.raises(UserError, match="15 does not divide by the 2 processes; pass --batch-size 14 or 16"):
            trainer.Trainer(tiny(batch_size=15), tiny_images())
        torch.save(found, f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(one_rank, (folder,), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def assert_close(found, expected, relative):
    for step, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            if not value.numel():  # what is not known yet of every image
                assert not mine[name].numel()
                continue
            allowed = relative * value.abs().max().item() + 1e-9  # before a BatchNorm a bias's gradient is rounding
            assert (mine[name] - value).abs().max().item() <= allowed, f"{name} after step {step + 1}"


@pytest.mark.parametrize("name", CASES)
def test_two_processes_take_the_steps_of_one(of_ranks, name):
    expected = three_steps(CASES[name])
    for found in of_ranks:
        assert_close(found[name], expected, 1e-5)


def test_two_processes_in_bf16_stay_together(of_ranks):
    assert_close(of_ranks[0]["amp"], of_ranks[1]["amp"], 0)
    one, two = three_steps({}, double=False)[0], of_ranks[0]["amp"][0]
    assert two["loss"] == pytest.approx(one["loss"].item(), rel=0.01)


def test_without_a_group_nothing_changes():
    z = torch.randn(4, 3)
    assert distributed.gathered(z)[0] is z and distributed.averaged(z)[0] is z
    assert distributed.part(16) == slice(0, 16) and distributed.ranks() == 1 and distributed.rank() == 0
    model = trainer.fresh_model(tiny())
    kinds = [type(m) for m in model.modules()]
    assert [type(m) for m in distributed.synchronised(model, torch.device("cpu")).modules()] == kinds


def torchrun(*arguments, cwd, program="cdlearn.train"):
    """A run of two processes, not yet waited for."""
    target = [program] if program.endswith(".py") else ["-m", program]
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *target]
        + [str(a) for a in arguments],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_torchrun_stopped_and_resumed_leaves_one_complete_run(tmp_path):
    run = tmp_path / "run"
    process = torchrun(*options(epochs=20, out=run), cwd=tmp_path)
    while not (run / "checkpoint.pt").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert errors.count(f"go on with: torchrun --nproc_per_node=2 -m cdlearn.train --resume {run}") == 1
    state = checkpoint.read(run / "checkpoint.pt")
    assert 0 < state["step"] < 60 and not any("module" in name for name in state["model"])

    process = torchrun("--resume", run, cwd=tmp_path)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert printed.count("figures and scores are in") == 1
    assert {p.name for p in run.iterdir()} >= {"config.json", "metrics.csv", "scores.json", "losses.png", "heads.png"}
    assert len((run / "metrics.csv").read_text().splitlines()) == 21
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


FAILING = """
import os, time
from cdlearn import train, trainer
from cdlearn.runtime.errors import UserError
step = trainer.Trainer.train_step
def failing(self):
    if self.step == 2 and os.environ["RANK"] == "1":
        raise UserError("the cable is loose")
    return step(self)
trainer.Trainer.train_step = failing
raise SystemExit(train.main())
"""


def test_one_failing_rank_ends_all_with_its_message_once(tmp_path):
    (tmp_path / "failing.py").write_text(FAILING)
    began = time.monotonic()
    process = torchrun(*options(out=tmp_path / "run"), cwd=tmp_path, program="failing.py")
    printed, errors = process.communicate(timeout=40)
    assert process.returncode != 0 and errors.count("error: the cable is loose") == 1
    assert "RuntimeError" not in errors and "raw pixels" not in printed
    assert time.monotonic() - began < 25  # most of it for Python to start


def test_what_all_ranks_find_wrong_is_said_once(tmp_path):
    process = torchrun(*options(batch_size=15, out=tmp_path / "run"), cwd=tmp_path)
    _, errors = process.communicate(timeout=40)
    assert process.returncode != 0 and errors.count("error: ") == 1
    assert "batch size 15 does not divide by the 2 processes" in errors and not (tmp_path / "run").exists()
