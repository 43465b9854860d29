"""Images that are all equal, or of very few kinds: sentences instead of warnings, from every command."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from untrained import run_on

from cdlearn import report, train
from cdlearn.analysis import analyse, clusters
from cdlearn.evaluate import __main__ as evaluate


def equal(folder, count, kinds=1):
    for number in range(count):
        path = folder / ("a" if number % 2 else "b") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((24, 24, 3), 60 * (number % kinds) + 40, np.uint8)).save(path)
    return str(folder)


@pytest.mark.parametrize("count", [40, 8, 5, 2])
def test_a_report_of_equal_images_is_silent_and_says_so(tmp_path, count):
    run, folder = run_on("shapes", tmp_path / "run"), equal(tmp_path / "equal", count)
    command = [sys.executable, "-W", "default::UserWarning", "-m", "cdlearn.report", str(run), "--data", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and "Warning" not in done.stdout + done.stderr, done.stderr
    said = f"clusters: To this network the {count} images are all equal: there are no clusters."
    assert (said if count >= clusters.FEWEST else f"clusters: {count} images are too few") in done.stdout


def test_no_more_clusters_than_kinds_of_images(tmp_path):
    found = analyse(run_on("shapes", tmp_path / "run"), equal(tmp_path / "three", 40, kinds=3), cache=False).contents
    assert set(found.clusters) <= {2, 3} and found.k in (2, 3)


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_training_and_scoring_of_equal_images(tmp_path, capsys):
    folder, run = equal(tmp_path / "equal", 40), str(tmp_path / "run")
    assert train.main(["--preset", "smoke", "--data", folder, "--size", "16", "--batch-size", "8", "--out", run]) == 0
    line = "the 40 images are equal, so their scores mean nothing"
    assert line in capsys.readouterr().out
    assert evaluate.main([run, "--data", folder]) == 0 and line in capsys.readouterr().out
    assert report.main([run]) == 0
