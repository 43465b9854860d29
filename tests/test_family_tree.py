"""What notebook 09 shows of the family tree: the records it reads, and hue as a control."""

import colorsys

import numpy as np
import pytest
import torch

from cdlearn.course import family
from cdlearn.methods import METHODS, needs_clusters
from cdlearn.results.paper_tables import OURS


@pytest.fixture(scope="module")
def found():
    return family.records()


def test_every_method_of_tables_2_and_3_has_a_bar_for_each_data_set(found):
    names = {family.NAMES.get(name, name) for name in {*OURS[2], *OURS[3]} - {"CD-256"}}
    for data in family.DATA:
        assert {*found[found["data"] == data]["method"]} == names | {"CD, untrained heads"}
    assert found["nmi"].between(0, 1).all()


def test_methods_that_are_given_k_are_marked(found):
    given = {row.method.lower().split()[-1] for row in found.itertuples() if row.given}
    assert given == {name for name in METHODS if needs_clusters(name)}


def test_every_run_had_about_the_same_time(found):
    runs = found[found["year"] > 0]
    for _, of_data in runs.groupby("data"):
        assert of_data["seconds"].max() < 1.4 * of_data["seconds"].min()


def test_the_chart_has_a_bar_for_each_row_on_one_scale(found):
    made = family.chart(found)
    assert len(made.axes) == len(family.DATA)
    for axis, data in zip(made.axes, family.DATA, strict=True):
        rows = found[found["data"] == data]
        assert np.allclose([bar.get_width() for bar in axis.containers[0]], rows["nmi"])
        assert axis.get_xlim() == (0, 1.15)


def test_hue_quarters_follow_the_colour_circle():
    hues = np.linspace(0, 1, 40, endpoint=False) + 0.003
    colours = torch.tensor([colorsys.hsv_to_rgb(hue, 0.5, 0.8) for hue in hues])
    images = (colours * 255).round().byte()[:, :, None, None].expand(-1, -1, 4, 4)
    quarters = family.hue_quarters(images)
    assert np.bincount(quarters).tolist() == [10] * 4
    turns = np.abs(np.diff([*quarters, quarters[0]]))
    assert (turns > 0).sum() == 4  # each quarter is one piece of the circle
