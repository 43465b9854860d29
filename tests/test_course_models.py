"""Models that notebooks share: two processes that want the same one at once, and runs that were cut short."""

import os
import subprocess
import sys

import pytest
import torch

from cdlearn import checkpoint, course

SMALL = dict(data="shapes", limit=24, size=16, epochs=2, batch_size=8)
OTHER = """
import pathlib, sys
from cdlearn import course
course.HOME = pathlib.Path(sys.argv[1])
model, _, _ = course.trained(data="shapes", limit=24, size=16, epochs=2, batch_size=8)
print(len(model.history), sum(float(p.abs().sum()) for p in model.parameters()))
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "HOME", tmp_path)
    return tmp_path / "runs" / "course"


def only(home):
    assert [path.name[0] != "." for path in home.iterdir()] == [True], "one finished run and nothing half done"
    return next(home.iterdir())


def test_processes_that_train_the_same_model_at_once_all_get_it(home, tmp_path):
    environment = os.environ | {"CDLEARN_PRESET": "smoke"}
    command = [sys.executable, "-c", OTHER, str(tmp_path)]
    piped = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    running = [subprocess.Popen(command, **piped) for _ in range(3)]
    said = [process.communicate(timeout=200) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert len({out for out, _ in said}) == 1 and said[0][0].startswith("2 "), said
    assert (only(home) / "done").exists()


def test_another_process_sees_no_half_run(home, monkeypatch):
    seen, fit = [], course.fit

    def watched(config, images, out, **named):
        def look(trainer):
            seen.extend(path for path in home.iterdir() if (path / "done").exists() or path.name[0] != ".")

        return fit(config, images, out, after_epoch=look, **named)

    monkeypatch.setattr(course, "fit", watched)
    model, _, _ = course.trained(**SMALL)
    assert seen == [] and (only(home) / "done").exists()
    again, _, _ = course.trained(**SMALL)
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))


def test_what_was_left_unfinished_is_replaced_and_what_fails_leaves_nothing(home, monkeypatch):
    course.trained(**SMALL)
    run = only(home)
    (run / "done").unlink()
    (run / "checkpoint.pt").write_bytes(b"half")
    model, _, _ = course.trained(**SMALL)
    assert checkpoint.read(only(home) / "checkpoint.pt")["epoch"] == 2 and len(model.history) == 2
    (run / "done").unlink()
    monkeypatch.setattr(course, "fit", lambda *given, **named: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        course.trained(**SMALL)
    assert only(home) == run


def test_the_first_to_finish_is_kept(home, monkeypatch):
    course.trained(**SMALL)
    run, fit = only(home), course.fit
    before = (run / "checkpoint.pt").stat().st_mtime_ns
    (run / "done").unlink()

    def late(*given, **named):
        model = fit(*given, **named)
        (run / "done").touch()  # another process finishes meanwhile
        return model

    monkeypatch.setattr(course, "fit", late)
    course.trained(**SMALL)
    assert (only(home) / "checkpoint.pt").stat().st_mtime_ns == before
