"""The scripts that compare and search: budgets of time, trials that are not repeated, lightly that is not there."""

import importlib.util
import time

import budget
import peer
import pytest
import search
import torch

from cdlearn.config import Config
from cdlearn.runtime.commandline import guarded
from cdlearn.runtime.errors import UserError
from cdlearn.trainer import Trainer, learning_rate

SMALL = dict(limit=48, size=16, batch_size=16, kmeans_seeds=1, data="shapes", width=8, heads=8, dim=8, hidden=8)


def ticking(each: float):
    """A clock that goes on by ``each`` seconds whenever it is looked at."""
    now = iter(range(10**6))
    return lambda: next(now) * each


def some_images(n=48):
    return torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_run_ends_with_its_time_and_its_learning_rate_with_it(monkeypatch):
    rates = []
    monkeypatch.setattr(
        "cdlearn.trainer.learning_rate", lambda *given: rates.append(learning_rate(*given)) or rates[-1]
    )
    trainer = Trainer(Config.preset("smoke", **SMALL, warmup=2), some_images())
    spent = budget.train_for(trainer, 40, ticking(1.0))
    assert spent == 40 and trainer.step == 39 and len(rates) == 39 and not trainer.model.training
    assert rates[0] < 1e-8 + 1e-3 / 2 and max(rates) > 0.95e-3 and rates[-1] < 0.02e-3
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_the_steps_ahead_follow_the_pace():
    assert budget.steps_ahead(0, 0.0, 60) == 10**6 and budget.steps_ahead(10, 6.0, 60) == 100
    assert budget.steps_ahead(99, 60.5, 60) == 100  # the last step that was begun in time


def test_byols_target_follows_the_time_as_well():
    trainer, asked = Trainer(Config.preset("smoke", **SMALL, method="byol"), some_images()), []
    trainer.model.after_step = lambda step, steps: asked.append(step / steps)
    budget.train_for(trainer, 20, ticking(1.0))
    assert asked == sorted(asked) and asked[-1] > 0.9


def test_rows_are_kept_whatever_columns_come_later(tmp_path):
    path = tmp_path / "deep" / "record.csv"
    budget.append(path, {"a": 1, "b": "x, y"})
    budget.append(path, {"a": 2, "c": 0.5})
    assert budget.recorded(path) == [{"a": "1", "b": "x, y", "c": ""}, {"a": "2", "b": "", "c": "0.5"}]


def test_every_trial_is_one_that_can_be_trained():
    for method in ("simclr", "cd", "byol", "vicreg", "fastsiam"):
        for name, changes in search.trials_of(method).items():
            plain = {key: value for key, value in changes.items() if key != "average"}
            made, today = (Config.preset("laptop", data="a folder", method=method, **of) for of in (plain, {}))
            assert name == "today" or "average" in changes or made != today, name
    assert "momentum 0.9" in search.trials_of("byol") and "momentum 0.9" not in search.trials_of("cd")


def test_own_trials_are_read_from_words():
    found = search.settings_in("lr=3e-3 batch_size=64 crop=0.3,1.0 cosine=false average=0.99 method=cd")
    assert found == dict(lr=3e-3, batch_size=64, crop=(0.3, 1.0), cosine=False, average=0.99, method="cd")
    with pytest.raises(UserError, match="did you mean --batch-size"):
        search.settings_in("batchsize=64")
    with pytest.raises(UserError, match="did you mean lr 3e-3"):
        search.known("lr 3e3", search.TRIALS)


def test_a_search_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    given = [part for name, value in SMALL.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    given += ["--seconds", "0.05", "--seeds", "3", "--record", str(tmp_path / "search.csv")]
    monkeypatch.setattr("sys.argv", ["search.py", *given, "--trials", "today", "lr 2e-3", "--at-most", "0"])
    search.main()
    assert "holds no trial yet" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["search.py", *given, "--trials", "today", "average 0.99"])
    search.main()
    monkeypatch.setattr("sys.argv", ["search.py", *given, "--trials", "today", "--also", "lr=2e-3 batch_size=8"])
    search.main()
    rows = budget.recorded(tmp_path / "search.csv")
    assert [row["trial"] for row in rows] == ["today", "average 0.99", "lr=2e-3 batch_size=8"]
    for row in rows:
        assert all(0 <= float(row[name]) <= 1 for name in search.LABELS) and float(row["h rankme"]) >= 1
        assert float(row["views"]) >= 16 and row["method"] == "simclr"
    printed = capsys.readouterr().out
    assert "simclr on shapes" in printed and "order the 3 trials alike" in printed
    monkeypatch.setattr("sys.argv", ["search.py", "--table", "--record", str(tmp_path / "search.csv")])
    search.main()
    assert "lr=2e-3 batch_size=8" in capsys.readouterr().out


def test_the_table_is_the_means_over_seeds_with_the_best_first():
    row = dict(data="d", base="", method="cd", budget="60", views=10) | dict.fromkeys(search.NO_LABELS, 0.5)
    scores = {"bad": (0.1, 0.3), "good": (0.7, 0.9), "middle": (0.4, 0.4)}
    rows = [
        row | {"trial": trial, "seed": seed} | dict.fromkeys(search.LABELS, value)
        for trial, values in scores.items()
        for seed, value in enumerate(values)
    ]
    lines = [line for line in search.table(rows).splitlines() if line and line.split()[0] in scores]
    assert [line.split()[0] for line in lines] == ["good", "middle", "bad"]
    assert lines[0].split()[1] == "2" and lines[0].split()[3] == "0.8"


@pytest.mark.parametrize(("by", "unit"), [("clock", "seconds"), ("processor", "processor s")])
def test_the_watch_counts_what_it_is_asked_for(by, unit):
    watch = peer.Watch(by)
    began = time.process_time()
    while time.process_time() < began + 0.1:
        pass
    spent, read = watch(), watch.read()
    assert 0.08 <= spent <= read[unit] + 1e-9 and read["seconds"] >= 0.1
    time.sleep(0.2)
    later = watch.read()
    assert later["seconds"] >= read["seconds"] + 0.2 and later["processor s"] < read["processor s"] + 0.2


def test_without_lightly_one_line_says_so(monkeypatch, capsys):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *of: None if name == "lightly" else there(name, *of))
    monkeypatch.setattr("sys.argv", ["peer.py", "--data", "shapes"])
    assert guarded(peer.main) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "lightly is not installed" in errors and "pip install lightly" in errors


def test_the_comparison_shows_both_and_their_ratio():
    rows = []
    for way, views, score in ((peer.THEIRS, 100, 0.2), ("simclr", 250, 0.3)):
        rows += [dict.fromkeys(peer.SHOWN, score + 0.1 * seed) | {"way": way, "views": views} for seed in (0, 1)]
    lines = peer.comparison(rows)
    assert lines[1].split()[2:5] == ["100", "±", "0"] and "0.250 ± 0.071" in lines[1] and "0.350 ± 0.071" in lines[2]
    assert lines[3].split() == ["simclr", "/", "lightly", "2.50", "1.40", "1.40", "1.40", "1.40"]


@pytest.mark.skipif(importlib.util.find_spec("lightly") is None, reason="lightly is not installed")
def test_lightlys_network_trains_and_is_scored(monkeypatch, tmp_path, capsys):
    given = [part for name, value in SMALL.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    record = tmp_path / "peer.csv"
    given += ["--seconds", "1", "--by", "processor", "--seeds", "1", "--workers", "0", "--record", str(record)]
    monkeypatch.setattr("sys.argv", ["peer.py", *given])
    peer.main()
    rows = budget.recorded(record)
    assert all(float(row["processor s"]) >= 1 and row["budget"] == "1 s by the processor" for row in rows)
    assert [row["way"] for row in rows] == [peer.THEIRS, "simclr"] and "simclr / lightly" in capsys.readouterr().out
