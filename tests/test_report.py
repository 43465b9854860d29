"""The command: a page and its tables from a run, one clear line for every trouble, nothing half-written."""

import errno
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from untrained import run_on, save_shapes

from cdlearn import checkpoint, report, train
from cdlearn.analysis import export_table, tsne
from cdlearn.pages import build as page


@pytest.fixture
def few(tmp_path):
    """A folder of three images."""
    save_shapes(tmp_path / "three", 3)
    return str(tmp_path / "three")


@pytest.fixture
def run(tmp_path):
    return run_on("shapes", tmp_path / "run")


def said(capsys) -> str:
    """The one line of trouble."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


def test_three_images_become_a_page_and_tables_in_the_order_of_the_files(run, few, capsys):
    assert report.main([str(run), "--data", few]) == 0
    told = capsys.readouterr().out
    assert "3 files found: 3 used" in told and "3 images are too few to cluster" in told
    html = (run / "report.html").read_text()
    assert "<title>" in html and "</html>" in html
    rows = pd.read_csv(run / "report-images.csv")
    assert rows["file"].tolist() == ["000.png", "001.png", "002.png"]
    assert {"x", "y", "distance", "duplicate_of"} < set(rows.columns) and rows["x"].notna().all()
    with np.load(run / "report-images.npz", allow_pickle=False) as arrays:
        assert arrays["files"].tolist() == rows["file"].tolist()
        assert np.allclose(arrays["x"], rows["x"], rtol=1e-4)


def test_the_table_has_clusters_classes_and_heads_and_comes_as_parquet_with_pyarrow(tmp_path, run, monkeypatch):
    for number, name in enumerate(("cats", "dogs, or so")):
        save_shapes(tmp_path / "pets" / name, 8, seed=number)
    found = report.analyse(run, str(tmp_path / "pets"))
    monkeypatch.setattr(export_table.importlib.util, "find_spec", lambda name: None)
    assert [path.suffix for path in export_table.write(found, tmp_path / "out")] == [".csv", ".npz"]
    rows = pd.read_csv(tmp_path / "out.csv")
    assert rows["class"].tolist() == ["cats"] * 8 + ["dogs, or so"] * 8
    assert (rows["cluster"] == found.contents.clusters[found.contents.k]).all()
    for head in found.contents.heads:
        assert rows[f"head_{head['number']}"].between(0, 1).all()
    monkeypatch.undo()
    pytest.importorskip("pyarrow")
    export_table.write(found, tmp_path / "out")
    assert pd.read_parquet(tmp_path / "out.parquet")["file"].tolist() == rows["file"].tolist()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no/such/run"], "no checkpoint at no/such/run"),
        (["{run}", "--data", "no/such/folder"], "no folder and no data set named 'no/such/folder'"),
        (["{run}", "--out", "/dev/null/page.html"], "/dev/null"),
        (["{run}", "--data", ""], "data is empty"),
        (["{run}", "--out", "{run}"], "is a folder; --out takes the name of the page"),
        (["{run}", "--stage", "middle"], "unknown stage 'middle'"),
        (["{run}", "--limit", "0"], "limit 0"),
        (["{run}", "--dat", "x"], "did you mean --data"),
        ([], "RUN"),
    ],
)
def test_a_wrong_request_is_one_line(run, arguments, says, capsys):
    assert report.main([word.format(run=run) for word in arguments]) == 2
    assert says in said(capsys)


def test_a_folder_that_moved_is_asked_for(tmp_path, few, capsys):
    run = run_on(str(tmp_path / "gone"), tmp_path / "run")
    assert report.main([str(run)]) == 2
    assert re.search(r"was trained on .*gone, and there is no such folder now; pass --data", said(capsys))
    assert report.main([str(run), "--data", few]) == 0


def test_unreadable_files_are_counted_and_an_image_that_goes_in_between_is_no_trouble(run, few, capsys, monkeypatch):
    broken = os.path.join(few, "broken.jpg")
    with open(broken, "w") as file:
        file.write("x")
    looked = report.analyse

    def analyse_then_remove(*arguments, **options):
        found = looked(*arguments, **options)
        os.remove(os.path.join(few, "001.png"))
        return found

    monkeypatch.setattr(report, "analyse", analyse_then_remove)
    assert report.main([str(run), "--data", few]) == 0
    assert "4 files found: 3 used, 1 unreadable" in capsys.readouterr().out


def full_disk(monkeypatch, ending):
    """Every file whose name ends so fails as on a full disk, in the middle."""
    real = os.fsync
    names = []
    replace = checkpoint.tempfile.mkstemp

    def fsync(descriptor):
        if os.readlink(f"/proc/self/fd/{descriptor}") in names:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    def write(path, content, real_write=checkpoint.write):
        monkeypatch.setattr(checkpoint.tempfile, "mkstemp", remember if str(path).endswith(ending) else replace)
        real_write(path, content)

    def remember(*arguments, **by):
        made = replace(*arguments, **by)
        names.append(made[1])
        return made

    monkeypatch.setattr(checkpoint.os, "fsync", fsync)
    monkeypatch.setattr(checkpoint, "write", write)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks a file's name up in /proc")
@pytest.mark.parametrize("ending", ["report.html", ".csv"])
def test_a_full_disk_leaves_the_old_report_whole_and_the_work_done(run, few, capsys, monkeypatch, ending):
    assert report.main([str(run), "--data", few]) == 0
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    capsys.readouterr()
    with monkeypatch.context() as patch:
        full_disk(patch, ending)
        assert report.main([str(run), "--data", few]) == 2
    line = said(capsys)
    assert "No space left" in line and "run the same command again" in line and "--resume" not in line
    assert all(path.read_bytes() == content for path, content in before.items() if path.suffix != ".html")
    assert (run / "report.html").read_text().rstrip().endswith("</html>")
    assert not list(run.glob(".part-*"))
    monkeypatch.setattr(tsne, "placed", None)  # the work is not done again
    assert report.main([str(run), "--data", few]) == 0


def test_a_cache_that_cannot_be_written_costs_one_line_and_no_report(run, few, tmp_path, capsys):
    (run / "report-cache").write_text("in the way")
    assert report.main([str(run), "--data", few, "--out", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().err.count("\n") == 1
    assert {path.name for path in tmp_path.glob("page*")} >= {"page.html", "page-images.csv", "page-images.npz"}


def test_a_stop_says_that_the_work_is_kept(run, few, capsys, monkeypatch):
    monkeypatch.setattr(report, "build", lambda *of, **by: (_ for _ in ()).throw(KeyboardInterrupt))
    assert report.main([str(run), "--data", few]) == 130
    assert "goes on from what is kept" in capsys.readouterr().err
    assert list((run / "report-cache").glob("embedding-*")) and not (run / "report.html").exists()


def test_training_on_a_flat_folder_needs_no_label_and_ends_with_the_report(tmp_path, capsys):
    save_shapes(tmp_path / "flat", 40)
    run = tmp_path / "run"
    small = ["--preset", "smoke", "--size", "16", "--batch-size", "16", "--epochs", "1", "--kmeans-seeds", "1"]
    assert train.main([*small, "--data", str(tmp_path / "flat"), "--out", str(run)]) == 0
    told = capsys.readouterr().out
    assert f"python -m cdlearn.report {run}" in told.splitlines()[-1] and "nmi" not in (run / "scores.json").read_text()
    assert page.build is report.build and report.main([str(run)]) == 0, "the run knows its folder"


def test_import_cdlearn_is_light():
    code = "import cdlearn, sys; assert not {'torch', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
