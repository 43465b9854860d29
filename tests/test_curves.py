"""The record of the long curves: where to look, rows that replace their older selves, and the chart of them all."""

import csv
import itertools

import curves


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
    curves.chart(tmp_path)
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    table = (tmp_path / "curves.md").read_text()
    assert table.count("| 1,000 | 0.400 | 0.500 |") == len(curves.DATA) * len(curves.LINES)
    assert table.count("| 0 | 0.100 | 0.500 |") == 2 * len(curves.DATA)
