"""The commands attacked: nothing is lost in silence, nothing ends in a traceback."""

import json
import os
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, TextIOWrapper
from pathlib import Path
from threading import Barrier

import pytest
import torch
from PIL import Image

from cdlearn import checkpoint, compare, train, trainer
from cdlearn.config import Config
from cdlearn.evaluate import __main__ as evaluate_command
from cdlearn.results import paper_tables
from cdlearn.results.run_folder import data_name, new_run
from cdlearn.runtime.commandline import guarded
from cdlearn.runtime.errors import UserError
from cdlearn.runtime.signals import caught_signals

SETTINGS = {"preset": "smoke", "limit": 48, "size": 16, "batch-size": 16, "epochs": 2, "kmeans-seeds": 1}
TINY = [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "run"
    assert train.main([*TINY, "--out", str(run)]) == 0
    return run


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A finished run of one's own, named "run", in the working directory; scoring it again draws no figures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cdlearn.results.scoring.figures", lambda *arguments: {})
    return Path(shutil.copytree(finished, "run"))


@pytest.fixture
def refused(capsys):
    """Runs a command and returns the one line that it ends with."""

    def call(main, *arguments):
        capsys.readouterr()
        assert main([str(word) for word in arguments]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ") and len(error) < 400
        return error

    return call


def rewrite(run, **settings):
    described = json.loads((run / "config.json").read_text())
    described["config"] |= settings
    (run / "config.json").write_text(json.dumps(described))


def recheck(run, **entries):
    checkpoint.save(run / "checkpoint.pt", checkpoint.read(run / "checkpoint.pt") | entries)


# --- a run's folder


@pytest.mark.parametrize("chosen", [True, False])
def test_of_runs_that_start_together_each_gets_a_folder_of_its_own(tmp_path, chosen):
    together = Barrier(16)

    def one(_):
        together.wait()
        try:
            return new_run(tmp_path / "runs" / "run", chosen)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(one, range(16)))
    got = [folder for folder in found if isinstance(folder, Path)]
    assert len(got) == len(set(got)) == (1 if chosen else 16)
    assert all("holds a run already" in folder for folder in found if folder not in got)


@pytest.mark.parametrize("left", ["checkpoint.pt", "metrics.csv", "scores.json"])
def test_part_of_a_run_is_not_written_over(run, refused, left):
    for path in run.iterdir():
        if path.name != left:
            path.unlink()
    kept = (run / left).read_bytes()
    assert refused(train.main, *TINY, "--out", run) == (
        f"error: run holds a run already ({left}); choose another --out"
    )
    assert [path.name for path in run.iterdir()] == [left] and (run / left).read_bytes() == kept


def test_a_folder_where_a_file_should_be_is_named(tmp_path):
    (tmp_path / "metrics.csv").mkdir()
    with pytest.raises(UserError, match=r"cannot save .*metrics.csv \(Is a directory\)") as refused:
        checkpoint.write_text(tmp_path / "metrics.csv", "epoch\n")
    assert "free some space" not in str(refused.value)


def test_an_interruption_before_the_first_checkpoint_does_not_say_saved(tmp_path, monkeypatch, capsys):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "save", stopped)
    assert train.main([*TINY, "--out", str(tmp_path / "run")]) == 130
    assert "stopped before anything was saved" in capsys.readouterr().err


# --- what is printed


class Closed:
    """A pipe that nobody reads."""

    def __enter__(self):
        reading, writing = os.pipe()
        os.close(reading)
        self.stream = open(writing, "w")
        return self.stream

    def __exit__(self, *error):
        self.stream.close()


def test_a_reader_that_is_gone_costs_no_scores(tmp_path, monkeypatch):
    with Closed() as out, Closed() as errors, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", errors)
        status = train.main([*TINY, "--out", str(tmp_path / "run")])
    assert status == 0
    assert {"scores.json", "embedding.png"} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_a_terminal_without_the_signs_gets_plain_ones(run, monkeypatch):
    written = BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", TextIOWrapper(written, encoding="ascii"))
        assert evaluate_command.main([str(run)]) == 0
        printed = written.getvalue().decode()
    assert " +- 0.000" in printed and "?" not in printed


def test_scores_are_on_the_disk_before_they_are_printed(run, monkeypatch):
    (run / "scores.json").unlink()

    def never(scores):
        raise KeyboardInterrupt

    monkeypatch.setattr("cdlearn.results.scoring.table", never)
    assert evaluate_command.main([str(run)]) == 130
    assert "nmi" in json.loads((run / "scores.json").read_text())["output"]


# --- signals


@pytest.fixture
def hangup():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # pytest may itself run under nohup
    yield signal.SIGHUP
    signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_saves_the_run(tmp_path, monkeypatch, capsys, hangup):
    step = trainer.Trainer.train_step

    def closing(self):
        for _ in range(2):  # a shell and the kernel may both send it
            os.kill(os.getpid(), hangup)
        return step(self)

    monkeypatch.setattr(trainer.Trainer, "train_step", closing)
    assert train.main([*TINY, "--out", str(tmp_path / "run")]) == 128 + hangup
    assert checkpoint.read(tmp_path / "run" / "checkpoint.pt")["step"] == 1
    assert "saved; go on with" in capsys.readouterr().err


def test_nohup_is_respected(hangup):
    signal.signal(hangup, signal.SIG_IGN)
    with caught_signals() as caught:
        os.kill(os.getpid(), hangup)
    assert not caught


# --- settings


def test_views_decide_where_they_are_asked_for():
    assert Config.preset("smoke", views=5_000).epochs_for(500) == 5
    assert Config.preset("smoke").epochs == 2
    with pytest.raises(UserError, match="epochs and views both"):
        Config.preset("smoke", views=5_000, epochs=3)


def test_settings_without_a_newer_one_take_its_default_and_unknown_ones_are_refused():
    config = Config.preset("smoke")
    older = config.as_dict()
    del older["blur"], older["crop"]
    assert Config.from_dict(older | {"crop": list(config.crop)}) == config
    assert Config.from_dict(older).crop == Config().crop
    with pytest.raises(UserError, match="unknown setting 'colour'"):
        Config.from_dict(older | {"colour": 1})


DAMAGED = {"crop": [], "data": None, "device": 5, "size": 32.0, "limit": "x", "amp": "yes", "lr": None, "epochs": True}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_description_is_one_line(run, refused, name):
    rewrite(run, **{name: DAMAGED[name]})
    error = refused(train.main, "--resume", run)
    assert f"run/config.json is damaged ({name} " in error and ": must be " in error


@pytest.mark.parametrize("text", ["[]", "{}", '{"config": 5}', "", "\x00", "[" * 100_000])
def test_a_description_that_is_none_is_one_line(run, refused, text):
    (run / "config.json").write_text(text)
    assert "run/config.json is damaged" in refused(train.main, "--resume", run)


@pytest.mark.parametrize(
    "entries",
    [
        {"step": "a"},
        {"step": -3},
        {"step": 7},
        {"step": 6.0},
        {"seconds": float("nan")},
        {"sums": []},
        {"sums": {"loss": torch.zeros(2)}},
        {"history": [{}]},
        {"history": [{"epoch": 1, "loss": "low"}, {"epoch": 2}]},
        {"history": []},
        {"optimizer": []},
        {"model": 5},
        {"random": None},
    ],
    ids=str,
)
def test_a_damaged_checkpoint_is_one_line(run, refused, entries):
    recheck(run, **entries)
    error = refused(train.main, "--resume", run)
    assert "the checkpoint is damaged" in error or "the checkpoint does not fit this run" in error


def test_evaluate_names_a_damaged_checkpoint_too(run, refused):
    recheck(run, history=[{}])
    assert "its history cannot be" in refused(evaluate_command.main, run)
    recheck(run, config={"size": "x"})
    assert "size 'x': must be a whole number" in refused(evaluate_command.main, run)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--epochs", "9" * 400], "epochs is a number of 400 digits"),
        (["--limit", "9" * 400], "limit is a number of 400 digits"),
        (["--size", "200000"], "size 200000: must be between 1 and 10,000"),
        (["--data", ""], "data is empty"),
        (["--out", ""], "argument --out: a folder's name is missing"),
        (["--resume", ""], "argument --resume: a folder's name is missing"),
        (["--data", "a" * 300], ""),
        (["--data", "a" * 5_000], ""),
        (["--out", "a" * 300], "(File name too long)"),
        (["--out", "a/" * 2_500], "(File name too long)"),
        (["--resume", "a" * 5_000], ""),
    ],
    ids=lambda value: " ".join(value)[:24] if isinstance(value, list) else "",
)
def test_what_train_cannot_take_is_one_line(tmp_path, monkeypatch, refused, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert says in refused(train.main, *TINY[:2], *arguments)


def test_a_system_that_refuses_is_one_line(capsys):
    assert guarded(lambda: Path("a" * 5_000).stat()) == 2
    error = capsys.readouterr().err
    assert "(File name too long)" in error and error.count("\n") == 1 and len(error) < 250
    with pytest.raises(OSError):  # of no system call: a fault of ours, whose traceback is wanted
        guarded(lambda: (_ for _ in ()).throw(OSError("ours")))


# --- going on


def test_where_to_compute_may_change_and_is_said(run, capsys):
    recheck(run, step=3, history=checkpoint.read(run / "checkpoint.pt")["history"][:1])
    assert train.main(["--resume", "run/checkpoint.pt", "--no-amp", "--compile", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    for change in ("going on with device 'cpu' instead of ''", "amp False instead of True", "compile True instead of"):
        assert change in printed
    described = json.loads((run / "config.json").read_text())
    assert described["config"]["amp"] is False and len(described["changed on resume"]) == 1
    assert checkpoint.load_model(run)[1].compile
    capsys.readouterr()
    assert train.main(["--resume", "run"]) == 0
    assert "instead of" not in capsys.readouterr().out


def test_another_preset_is_refused_and_the_same_is_not(run, refused):
    assert "(preset is smoke there, laptop here)" in refused(train.main, "--resume", run, "--preset", "laptop")
    assert train.main(["--resume", "run", "--preset", "smoke"]) == 0


# --- evaluate


def colours(folder, count=12, start=0):
    """A folder of two classes of one-coloured images."""
    for number in range(count):
        (folder / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (start + 10 * number, 50, 90)).save(folder / "ab"[number % 2] / f"{number}.png")
    return str(folder)


def test_other_images_of_the_same_name_do_not_replace_a_runs_scores(tmp_path, monkeypatch, refused):
    for place, start in (("here", 0), ("there", 100)):
        colours(tmp_path / place / "pictures", start=start)
    monkeypatch.chdir(tmp_path / "here")
    settings = [
        "--preset",
        "smoke",
        "--size",
        "16",
        "--batch-size",
        "4",
        "--epochs",
        "1",
        "--kmeans-seeds",
        "1",
        "--data",
        "pictures",
        "--out",
        "run",
    ]
    assert train.main(settings) == 0
    run, scores = tmp_path / "here" / "run", (tmp_path / "here" / "run" / "scores.json").read_text()
    monkeypatch.chdir(tmp_path / "there")
    assert "are not those that" in refused(evaluate_command.main, run)
    assert evaluate_command.main([str(run), "--data", "pictures"]) == 0
    assert (run / "scores-pictures.json").exists() and (run / "scores.json").read_text() == scores
    monkeypatch.chdir(tmp_path / "here")
    (run / "scores.json").unlink()
    assert evaluate_command.main([str(run / "checkpoint.pt")]) == 0
    assert (run / "scores.json").read_text() == scores


def test_evaluate_does_not_overlook_what_it_is_told(run, tmp_path, refused):
    assert "limit 0" in refused(evaluate_command.main, run, "--limit", 0)
    assert "limit is a number of 400 digits" in refused(evaluate_command.main, run, "--limit", "9" * 400)
    assert "data is empty" in refused(evaluate_command.main, run, "--data", "")
    assert refused(evaluate_command.main, run, "--data", "a" * 5_000)
    assert refused(evaluate_command.main, "a" * 5_000)
    one = colours(tmp_path / "one", count=1)
    assert "1 image in" in refused(evaluate_command.main, run, "--data", one)
    assert not list(run.glob("scores-*"))
    before = (run / "scores.json").read_text()
    assert evaluate_command.main([str(run), "--limit", "20"]) == 0
    assert (run / "scores-patches-limit20.json").exists() and (run / "scores.json").read_text() == before


def test_a_score_that_is_not_a_number_is_null(run, monkeypatch):
    monkeypatch.setattr("cdlearn.results.scoring.spread", lambda features: float("nan"))
    assert evaluate_command.main([str(run)]) == 0
    assert json.loads((run / "scores.json").read_text(), parse_constant=pytest.fail)["output"]["spread"] is None


# --- compare


def test_compare_says_what_cannot_work_before_it_trains(tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paper_tables, "fit", lambda *arguments, **named: pytest.fail("trained"))
    Path("afile").touch()
    asked = ["--table", "2", *TINY]
    assert "cannot write into the folder afile" in refused(compare.main, *asked, "--out", "afile")
    assert "CD-128 of table 2 has batches of 128, and there are 48 images" in refused(compare.main, *asked)
    assert "--batch-size 48 or less" in refused(compare.main, "--table", 6, *TINY, "--batch-size", 64)
    assert "(File name too long)" in refused(compare.main, *asked, "--out", "a" * 300)
    Path("runs").touch()
    assert "cannot write into the folder runs/compare" in refused(compare.main, "--table", "6", *TINY)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("--data=/home/me/v1.1", "--data=path/to/v1.1"),
        ("/home/me/v1.1/", "path/to/v1.1"),
        ("--data", "--data"),
        ("shapes", "shapes"),
        ("--lr=0.1", "--lr=0.1"),
    ],
)
def test_the_command_in_a_table_hides_where_and_keeps_what(word, says):
    assert compare.shown(word) == says


def test_names_of_data_sets(tmp_path, monkeypatch):
    folder = tmp_path / "photos.v1"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert data_name(".") == data_name("../photos.v1/") == "photos.v1" and data_name("/") == "images"
    assert data_name("cifar100-20") == "cifar100-20"
    long = [data_name("ä" * 120 + end) for end in "ab"]
    assert long[0] != long[1] and all(len(name.encode()) <= 100 for name in long)
