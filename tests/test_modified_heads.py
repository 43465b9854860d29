"""The table of decorrelated heads: its means, its comparisons, its figure, and its errors."""

import modified_heads
import numpy as np
import paired_claims
import pytest

from cdlearn.runtime.commandline import guarded


@pytest.fixture
def rows():
    """Three seeds of three arms on one set of images, as read from a record: everything is text."""
    found = []
    for seed in (1, 2, 3):
        for arm, y in (("CD", 0.2), ("SimCLR", 0.3), ("mended", 0.5 + 0.006 * (seed == 3))):
            scores = {"nmi h": 0.4, "knn h": 0.7, "nmi y": y + 0.01 * seed}
            scores["knn y"] = 0.6 + 0.1 * y + 0.01 * y * (-1) ** seed
            if arm != "SimCLR":
                scores |= {
                    "nmi never trained": 0.25 + 0.001 * seed**2,
                    "knn never trained": 0.5 + 0.01 * seed,
                    "correlation": 0.3,
                }
            about = {"regime": "motifs", "arm": arm, "seed": str(seed)}
            found.append(
                about
                | dict.fromkeys([*modified_heads.COLUMNS, "knn never trained"], "")
                | {k: str(v) for k, v in scores.items()}
            )
    return found


def test_the_table_has_means_and_spreads_and_leaves_out_what_an_arm_has_not(rows):
    lines = modified_heads.table(rows).splitlines()
    assert len(lines) == 2 + 3 and lines[2].startswith("| motifs | CD, published heads | 3 |")
    assert "0.220 ± 0.010" in lines[2] and "0.320 ± 0.010" in lines[3] and "0.522 ± 0.013" in lines[4]
    assert lines[3].split("|")[6].strip() == "", "SimCLR has no heads to leave untrained"


def test_decorrelated_heads_are_compared_with_published_ones_with_simclr_and_with_untrained_heads(rows):
    found = paired_claims.comparisons(rows, modified_heads.CLAIMS)
    gaps = {claim: each["NMI"].gap for (_, claim, stage), each in found.items() if stage == "y"}
    assert gaps == {
        "decorrelated heads over published ones": pytest.approx(0.302, abs=0.001),
        "decorrelated heads over SimCLR": pytest.approx(0.202, abs=0.001),
        "decorrelated heads over untrained heads on the same z": pytest.approx(0.267, abs=0.002),
    }
    assert {stage for *_, stage in found} == {"y", "h"} and len(found) == 5, "h has no untrained heads"
    assert all(each[score].holm >= each[score].p for each in found.values() for score in ("NMI", "kNN"))
    assert all(each["NMI"].tests == 5 and each["ARI"].pairs == 0 for each in found.values())


def test_the_chart_draws_a_panel_for_each_set_of_images(rows):
    figure = modified_heads.chart(rows + [row | {"regime": "patches"} for row in rows])
    assert [axis.get_title() for axis in figure.axes] == ["motifs", "patches"]


def test_single_heads_that_copy_an_attribute_know_it():
    generator = np.random.default_rng(0)
    attributes = {name: generator.integers(2, size=400) for name in ("form", "scale")}
    y = np.stack([attributes["form"], attributes["scale"]], 1) + generator.normal(0, 0.01, (400, 2))
    images = type("Images", (), {"attributes": attributes})
    found = modified_heads.single_heads(y, images)
    assert found["best"] == 1 and found["D forest"] > 0.9
    assert modified_heads.single_heads(generator.normal(size=(400, 2)), images)["best"] < 0.65


def test_a_missing_folder_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(modified_heads, "RECORD", tmp_path / "modified-heads.csv")
    argv = ["modified_heads.py", "--tiny10", str(tmp_path / "nowhere"), "--regimes", "tiny10", "--seeds", "42"]
    monkeypatch.setattr("sys.argv", argv)
    assert guarded(modified_heads.main) == 2
    assert "nowhere" in capsys.readouterr().err and not (tmp_path / "modified-heads.csv").exists()
