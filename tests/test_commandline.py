"""The commands attacked: nothing is lost in silence, nothing ends in a traceback."""

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, TextIOWrapper
from pathlib import Path
from threading import Barrier

import numpy as np
import PIL
import pytest
import sklearn
import torch
from PIL import Image

import cdlearn
from cdlearn import checkpoint, commands, compare, export, report, train, trainer
from cdlearn.analysis import STAGES
from cdlearn.config import NAMES, Config
from cdlearn.data import folder_named, load
from cdlearn.evaluate import __main__ as evaluate_command
from cdlearn.results import paper_tables, tables
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


WARNINGS = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU]


@pytest.fixture(params=WARNINGS, ids=lambda number: number.name)
def warning(request):
    """A signal that warns: of a closed terminal, of a batch system, of the limit of processor time."""
    before = signal.signal(request.param, signal.SIG_DFL)  # pytest may itself run under nohup
    yield request.param
    signal.signal(request.param, before)


def test_a_warning_saves_the_run_however_often_it_comes(tmp_path, monkeypatch, capsys, warning):
    step = trainer.Trainer.train_step

    def warned(self):
        for _ in range(2):  # a shell and the kernel may both send it
            os.kill(os.getpid(), warning)
        return step(self)

    monkeypatch.setattr(trainer.Trainer, "train_step", warned)
    assert train.main([*TINY, "--out", str(tmp_path / "run")]) == 128 + warning
    assert checkpoint.read(tmp_path / "run" / "checkpoint.pt")["step"] == 1
    assert "saved; go on with" in capsys.readouterr().err
    assert signal.getsignal(warning) == signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_asks_to_stop_after_a_warning_is_obeyed_at_once(warning, number):
    with caught_signals() as caught, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), warning)
        os.kill(os.getpid(), number)
    assert caught == [warning]


def test_a_warning_that_is_ignored_or_somebody_elses_stays_so(warning):
    seen = []
    for handler in (signal.SIG_IGN, lambda number, frame: seen.append(number)):
        signal.signal(warning, handler)
        with caught_signals() as caught:
            os.kill(os.getpid(), warning)
        assert not caught and signal.getsignal(warning) == handler
    assert seen == [warning]


def test_systems_without_these_signals_do_without(monkeypatch):
    for number in WARNINGS:
        monkeypatch.delattr(signal, number.name)
    with caught_signals() as caught:
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught == [signal.SIGTERM]


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


# --- what a run says of itself


def test_the_versions_of_all_that_results_depend_on_are_kept(run):
    versions = json.loads((run / "config.json").read_text())["versions"]
    assert versions.pop("python") == sys.version.split()[0]
    wanted = {"cdlearn", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "scikit-image", "pillow"}
    assert set(versions) == wanted
    assert (versions["torch"], versions["numpy"]) == (torch.__version__, np.__version__)
    assert versions["pillow"] == PIL.__version__ and versions["scikit-learn"] == sklearn.__version__


@pytest.mark.parametrize("command", ["train", "compare", "report", "export", "evaluate"])
@pytest.mark.parametrize("words", [["--help"], ["--seeed", "3"]], ids=" ".join)
def test_help_and_a_misspelt_option_do_not_wait_for_torch(command, words):
    call = [sys.executable, "-X", "importtime", "-m", f"cdlearn.{command}", *words]
    done = subprocess.run(call, capture_output=True, text=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "cdlearn.commands" in loaded and not loaded & {"torch", "numpy", "sklearn", "matplotlib"}
    if words == ["--help"]:
        assert done.returncode == 0 and done.stdout.startswith(f"usage: python -m cdlearn.{command} ")
    else:
        assert done.returncode == 2 and "error: " in done.stderr.splitlines()[-1]


def test_the_stages_that_the_help_names_are_those_of_a_run():
    assert commands.STAGES == STAGES


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


# --- paths


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The home folder of these tests, not the working directory."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_every_path_on_the_command_line_may_begin_at_home(run, home, monkeypatch):
    row = tables.Row("a", "output", {}, 0, {"CIFAR-10": dict.fromkeys(tables.METRICS, (0.5, None))})
    monkeypatch.setattr(paper_tables, "rows", lambda *arguments, **named: [row])
    pictures = colours(home / "pictures")
    settings = ["--preset=smoke", "--size=16", "--batch-size=4", "--epochs=1", "--kmeans-seeds=1"]
    assert train.main([*settings, "--data=~/pictures", "--out=~/made"]) == 0
    assert {path.name for path in (home / "made").iterdir()} > {"config.json", "checkpoint.pt", "scores.json"}
    assert train.main(["--resume=~/made"]) == 0
    (home / "made" / "scores.json").unlink()
    assert evaluate_command.main(["~/made/checkpoint.pt"]) == 0 and (home / "made" / "scores.json").exists()
    assert evaluate_command.main(["run", "--data=~/pictures"]) == 0 and Path("run/scores-pictures.json").exists()
    assert export.main(["~/made", "--out=~/out"]) == 0 and (home / "out" / "backbone.safetensors").exists()
    assert report.main(["~/made", "--out=~/page.html"]) == 0 and (home / "page.html").exists()
    assert report.main(["run", "--data=~/pictures", f"--out={home}/other.html"]) == 0
    assert compare.main(["--table=6", "--out=~/tables"]) == 0 and list((home / "tables").iterdir())
    assert Path(pictures).is_dir() and not Path("~").exists()


def test_every_path_in_python_may_begin_at_home(run, home):
    shutil.copytree(run, home / "run")
    folder = Path(colours(home / "pictures"))
    encoder = cdlearn.load("~/run")
    rows = encoder.transform(folder)
    assert rows.shape[0] == 12 and (encoder.transform("~/pictures") == rows).all()
    files = sorted(folder.rglob("*.png"))
    assert (encoder.transform([f"~/pictures/{path.relative_to(folder)}" for path in files]) == rows).all()
    assert len(load(Path("~/pictures"), 16, root="~/kept")) == 12
    with pytest.raises(UserError, match=str(home / "kept" / "imagenet10")):
        load("imagenet10", root="~/kept")
    assert checkpoint.read("~/run/checkpoint.pt")["step"] == 6 and checkpoint.load_model("~/run")[1].size == 16
    (home / "new").mkdir()
    trainer.fit(Config.preset("smoke", size=16, batch_size=4, epochs=1), load("~/pictures", 16), Path("~/new"))
    assert (home / "new" / "checkpoint.pt").exists()
    assert export.export("~/run", "~/out")[0].exists() and report.analyse("~/run", "~/pictures", root="~/kept")
    assert not Path("~").exists()


def test_a_folder_called_tilde_has_a_name_too(tmp_path, monkeypatch, home):
    monkeypatch.chdir(tmp_path)
    colours(tmp_path / "~", count=4)
    assert len(load("./~", 16)) == 4


# --- a folder with the name of a data set


def test_a_name_with_two_readings_is_refused_everywhere_with_both(run, refused, monkeypatch):
    """The one that is meant is then said by a slash, or by there being no such folder."""
    colours(Path("patches"))
    for call, *words in (
        (train.main, *TINY, "--data", "patches"),
        (train.main, *TINY),  # the default
        (train.main, "--resume", "run"),
        (evaluate_command.main, "run"),
        (evaluate_command.main, "run", "--data", "patches"),
        (report.main, "run"),
        (report.main, "run", "--data", "patches"),
        (compare.main, "--table", "6", *TINY, "--data", "patches"),
    ):
        error = refused(call, *words)
        assert "patches is a data set, and there is a folder of that name here" in error
        assert "--data ./patches takes the folder" in error and "rename the folder" in error
    with pytest.raises(UserError, match="patches is a data set, and there is a folder"):
        cdlearn.load("run").transform("patches")
    assert not Path("runs").exists() and not list(Path("run").glob("scores-*"))


@pytest.mark.parametrize("name", ["./patches", "patches/", "{here}/patches", "../run-of-one/patches"])
def test_a_path_with_a_slash_is_always_the_folder(run, tmp_path, monkeypatch, name):
    (tmp_path / "run-of-one").mkdir()
    run.rename(tmp_path / "run-of-one" / "run")
    monkeypatch.chdir(tmp_path / "run-of-one")
    colours(Path("patches"))
    name = name.format(here=Path.cwd())
    assert evaluate_command.main(["run", "--data", name]) == 0
    assert json.loads(Path("run/scores-patches.json").read_text())
    assert report.main(["run", "--data", name, "--out", "page.html"]) == 0
    assert cdlearn.load("run").transform(name).shape[0] == 12
    settings = ["--preset=smoke", "--size=16", "--batch-size=4", "--epochs=1", "--kmeans-seeds=1"]
    assert train.main([*settings, "--data", name, "--out", "made"]) == 0
    assert json.loads(Path("made/config.json").read_text())["images"] == 12
    assert train.main(["--resume", "made"]) == 0 and evaluate_command.main(["made"]) == 0


@pytest.mark.parametrize("name", [*NAMES])
def test_every_name_of_a_data_set_is_kept_apart_from_a_folder_of_it(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert folder_named(name) is None
    Path(name).touch()
    assert folder_named(name) is None  # a file is no reading of --data
    Path(name).unlink()
    colours(Path(name), count=4)
    with pytest.raises(UserError, match=f"--data ./{name} takes the folder"):
        folder_named(name)
    assert folder_named(f"./{name}") == folder_named(Path(name)) == Path(name)


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
