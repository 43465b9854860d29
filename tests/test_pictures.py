"""The drawings show the numbers that they are given, and stay small enough to be stored."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from cdlearn import course
from cdlearn.course import diagrams, sliders
from cdlearn.results import tables


def whiskers(axis):
    """(low, high) of every interval, upwards."""
    heights = [line.get_ydata() for line in axis.lines if np.isfinite(line.get_ydata()).any()]
    return sorted((float(np.nanmin(at)), float(np.nanmax(at))) for at in heights)


def test_bars_have_their_heights_intervals_and_numbers():
    values = {"h": {"NMI": 0.5, "kNN": 0.75}, "y": {"NMI": -0.25}}
    axis = diagrams.bars(values, "score", "title", {"h": {"NMI": 0.125}}).axes[0]
    heights = {bar.get_height() for bars in axis.containers for bar in bars}
    assert heights == {0.5, 0.75, -0.25} and {text.get_text() for text in axis.texts} == {"0.50", "0.75", "-0.25"}
    assert whiskers(axis) == [(0.375, 0.625)]  # and none where there is no error
    assert [text.get_text() for text in axis.get_legend().texts] == ["NMI", "kNN"]


def test_a_chart_has_the_published_marks_on_the_row_of_our_bar():
    published = {"CIFAR-10": {"nmi": (0.75, None)}}
    rows = [tables.Row(name, "output", {"nmi": (nmi, 0.0)}, 3, published) for name, nmi in (("a", 0.25), ("b", 0.5))]
    rows.append(tables.Row("c", "output", {}, 0, published))
    axis = tables.chart(rows, 3, "title").axes[0]
    at = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in axis.containers[0]}
    assert at == {0: 0.25, 1: 0.5} and axis.collections[0].get_offsets()[:, 1].tolist() == [0, 1, 2]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["a", "b", "c"] and axis.yaxis_inverted()
    assert [text.get_text() for text in axis.texts] == ["not implemented yet"]


@pytest.mark.parametrize(("lowest", "scale"), [(0.9, (0, 1)), (-0.9, (-1, 1))])
def test_a_matrix_of_pairs_is_on_the_scale_of_cosines(lowest, scale):
    cosines = np.full((4, 4), 0.95)
    cosines[0, 1] = lowest
    axis = diagrams.pair_matrix(cosines, "title", ["a1", "b1", "a2", "b2"]).axes[0]
    assert axis.collections[0].get_clim() == scale
    assert len([text for text in axis.texts if text.get_text() == "0.95"]) == 11  # not on the diagonal


def test_neighbours_are_framed_where_they_belong_and_counted():
    belongs = torch.tensor([[True, False, True], [False, False, False]])
    found = {"pixels": (torch.zeros(2, 3, 3, 4, 4), belongs), "network": (torch.zeros(2, 3, 3, 4, 4), ~belongs)}
    figure = diagrams.neighbours(torch.zeros(2, 3, 4, 4), found, "title")
    assert len(figure.axes) == 2 * (1 + 2 * 3)
    assert sum(axis.spines["left"].get_visible() for axis in figure.axes) == 2 + 4
    counts = [text.get_text() for text in figure.texts if " of " in text.get_text()]
    assert counts == ["2 of 3", "1 of 3", "0 of 3", "3 of 3"]


def test_a_stored_picture_is_sharp_or_small(monkeypatch):
    shown = []
    monkeypatch.setattr(course, "display", shown.append)
    noise = np.random.default_rng(0).random((900, 900))
    for picture in (np.zeros((9, 9)), noise):
        figure = Figure(figsize=(6, 5))
        figure.subplots().imshow(picture)
        course.show(figure)
    plain, noisy = shown
    assert plain.width == noisy.width == 600 and len(plain.data) < 150_000
    sides = [int.from_bytes(image.data[16:20], "big") for image in shown]  # the width that a PNG's header says
    assert sides == [900, 600]


def test_a_slider_redraws_its_picture(monkeypatch):
    drawn, shown, updated = [], [], []

    def draw(value):
        drawn.append(value)
        return Figure()

    def displayed(what, **named):
        shown.append(what)
        return SimpleNamespace(update=updated.append)

    monkeypatch.setenv("CDLEARN_PRESET", "laptop")
    monkeypatch.setattr(sliders, "display", displayed)
    sliders.slide(draw, [0.1, 0.5, 1.0], 0.5, "temperature", "a curve")
    slider, still = shown
    assert drawn == [0.5] and slider.value == 0.5 and still.alt == "a curve" and not updated
    slider.value = 1.0
    assert drawn == [0.5, 1.0] and len(updated) == 1 and len(shown) == 2
    with pytest.raises(ValueError, match="not one of"):
        sliders.slide(draw, [0.1, 0.5], 0.7, "temperature", "a curve")
