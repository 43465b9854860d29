"""The record of the long curves: where to look, rows that replace their older selves, and the chart of them all."""

import csv
import itertools

import curves

from cdlearn.config import Config
from cdlearn.data import load
from cdlearn.trainer import fit


def test_looks_are_spread_by_their_logarithm_and_hold_both_ends():
    for epochs in (1, 3, 42, 500):
        at = sorted(curves.looks(epochs))
        assert at[0] == 1 and at[-1] == epochs and len(at) <= curves.POINTS
    at = sorted(curves.looks(500))
    assert all(later / earlier < 2.1 for earlier, later in itertools.pairwise(at))


def row(method="simclr", stage="backbone", epoch=1, views=100, nmi=0.1):
    return {"method": method, "seed": 42, "epoch": epoch, "images": 10, "machine": "none", "views": views} | {
        "stage": stage, "nmi": nmi, "knn": 0.5,
    }  # fmt: skip


def test_a_point_passed_again_replaces_its_older_row(tmp_path):
    path = tmp_path / "curves.csv"
    for nmi in (0.1, 0.2):
        curves.append(path, row(nmi=nmi))
    curves.append(path, row(nmi=0.3, epoch=2))
    assert [(kept["epoch"], kept["nmi"]) for kept in csv.DictReader(path.open())] == [("1", "0.2"), ("2", "0.3")]


def test_the_chart_draws_every_line_and_lists_where_each_ends(tmp_path):
    (tmp_path / "records").mkdir()
    for name in curves.DATA:
        path = tmp_path / "records" / f"curves-{name}.csv"
        for stage in ("raw pixels", "random network"):
            curves.append(path, row(curves.UNTRAINED, stage, 0, 0))
        for method, stage, *_ in curves.LINES:
            for epoch in (1, 10):
                curves.append(path, row(method, stage, epoch, 100 * epoch, 0.04 * epoch))
    end = {"images": "tiny10", "method": "simclr", "stage": "output", "knn": 0.5}
    scores = {f"{key}{what}": 0.25 for key in ("nmi", "ari", "acc") for what in ("", "_std")}
    curves.pd.DataFrame([end | scores]).to_csv(tmp_path / "records" / "curves-ends.csv", index=False)
    curves.chart(tmp_path)
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert "| tiny10 | simclr | output | 0.250 ± 0.250 |" in (tmp_path / "curves.md").read_text()


def test_the_ends_of_runs_are_scored_with_several_clusterings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(curves, "RECORDS", tmp_path)
    for method in ("cd", "simclr"):
        config = Config.preset("smoke", method=method)
        images = load(config.data, config.size, config.limit, config.seed, stored=config.stored)
        out = tmp_path / "runs" / f"curves-tiny10-{method}-s42"
        out.mkdir(parents=True)
        fit(config, images, out)
    curves.ends(tmp_path / "runs")
    rows = list(csv.DictReader((tmp_path / "curves-ends.csv").open()))
    stages = [(row["images"], row["method"], row["stage"]) for row in rows]
    of_cd = [("tiny10", "cd, alpha 1", stage) for stage in ("backbone", "output", "untrained heads")]
    assert stages == [*of_cd, ("tiny10", "simclr", "backbone"), ("tiny10", "simclr", "output")]
    assert all(0 <= float(row["nmi"]) <= 1 and int(row["epochs"]) == config.epochs_for(len(images)) for row in rows)
    terms = list(csv.DictReader((tmp_path / "curves" / "tiny10-cd.csv").open()))
    assert {"epoch", "feature", "entropy"} <= set(terms[0]) and "seconds" not in terms[0]
