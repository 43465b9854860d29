"""The record of the long runs: checkpoints, rows that replace their older selves, and the chart of them all."""

import itertools

import curves
import pandas as pd
import pytest

from cdlearn.runtime.commandline import guarded


def test_checkpoints_are_spread_by_their_logarithm_and_hold_both_ends():
    for epochs in (1, 3, 42, 500):
        at = sorted(curves.checkpoints(epochs))
        assert at[0] == 1 and at[-1] == epochs and len(at) <= curves.POINTS
    at = sorted(curves.checkpoints(500))
    assert all(later / earlier < 2.1 for earlier, later in itertools.pairwise(at))


def row(method="simclr", stage="backbone", epoch=1, views=100, nmi=0.1, seed=43):
    about = {"method": method, "seed": seed, "epoch": epoch, "images": 10, "machine": "none", "views": views}
    return about | {"stage": stage, "nmi": nmi, "ari": 0.2, "acc": 0.3, "knn": 0.5}


def test_a_point_passed_again_replaces_its_older_row(tmp_path):
    path = tmp_path / "long-runs-tiny10.csv"
    for nmi in (0.1, 0.2):
        curves.append(path, row(nmi=nmi))
    curves.append(path, row(nmi=0.3, epoch=2))
    curves.append(path, row(nmi=0.4, seed=44))
    found = [(kept["seed"], kept["epoch"], kept["nmi"]) for kept in curves.rows_of(path)]
    assert found == [("43", "1", "0.2"), ("43", "2", "0.3"), ("44", "1", "0.4")]


def test_rows_written_elsewhere_are_collected_once_and_by_todays_names(tmp_path, capsys):
    path, other = tmp_path / "long-runs-tiny10.csv", tmp_path / "elsewhere.csv"
    curves.append(path, row())
    curves.append(other, row())
    curves.append(other, row("cd, alpha 1", "heads never trained"))
    for _ in range(2):
        curves.collect(path, [other])
    assert [kept["stage"] for kept in curves.rows_of(path)] == ["untrained heads", "backbone"]
    assert "2 rows, 1 of them new" in capsys.readouterr().out
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize(("text", "words"), [(None, "is missing"), ("a,b\n1,2\n", "no record of checkpoints")])
def test_a_file_that_cannot_be_collected_is_named(tmp_path, monkeypatch, capsys, text, words):
    monkeypatch.setattr(curves, "RECORDS", tmp_path)
    if text:
        (tmp_path / "x.csv").write_text(text)
    monkeypatch.setattr("sys.argv", ["curves.py", "tiny10", "--collect", str(tmp_path / "x.csv")])
    assert guarded(curves.main) == 2
    error = capsys.readouterr().err
    assert "x.csv" in error and words in error and not (tmp_path / "long-runs-tiny10.csv").exists()


@pytest.fixture
def home(tmp_path):
    """Two seeds of today, one of which has not ended, and seed 42 as recorded before."""
    (tmp_path / "records").mkdir()
    for name in curves.DATA:
        path = tmp_path / "records" / f"long-runs-{name}.csv"
        for stage in ("raw pixels", "random network"):
            curves.append(path, row(curves.UNTRAINED, stage, 0, 0))
        for method, stage, *_ in curves.LINES:
            for seed, epoch in ((43, 1), (43, 10), (44, 1)):
                curves.append(path, row(method, stage, epoch, 100 * epoch, 0.04 * epoch, seed))
    end = {"images": "tiny10", "method": "simclr", "seed": 42, "stage": "output", "knn": 0.5}
    scores = {f"{key}{what}": 0.25 for key in ("nmi", "ari", "acc") for what in ("", "_std")}
    pd.DataFrame([end | scores]).to_csv(tmp_path / "records" / "curves-ends.csv", index=False)
    return tmp_path


def test_the_chart_draws_every_line_and_lists_where_finished_runs_end(home):
    curves.chart(home)
    assert (home / "curves.png").stat().st_size > 10_000
    text = (home / "curves.md").read_text()
    assert "| tiny10 | simclr | output | 42, 43 | 0.325 ± 0.106 |" in text
    assert "| cifar10 | cd, alpha 1, decorrelated heads | output | 43 | 0.400 | 0.200 |" in text


def test_a_run_writes_all_four_scores_at_every_checkpoint_and_is_taken_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(curves, "RECORDS", tmp_path)
    options = "--data shapes --limit 128 --size 16 --width 8 --heads 8 --batch-size 32 --epochs 2 --seed 43"
    options += " --heads-similarity correlation --feature-temperature 0.2"
    monkeypatch.setattr("sys.argv", ["curves.py", "tiny10", *options.split()])
    for _ in range(2):
        curves.main()
    rows = curves.rows_of(tmp_path / "long-runs-tiny10.csv")
    assert [(r["method"], r["epoch"], r["stage"]) for r in rows] == [
        *(("cd, alpha 1, decorrelated heads", e, s) for e in "12" for s in ("backbone", "output", "untrained heads")),
        *(("untrained", "0", stage) for stage in ("random network", "raw pixels")),
    ]
    assert all(0 <= float(r[score]) <= 1 for r in rows for score in ("nmi", "acc", "knn"))
