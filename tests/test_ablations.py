"""The comparisons of notebook 07 and their drawing."""

import pandas as pd
import pytest
from scipy.stats import ttest_rel

from cdlearn.course import ablations

ONE, OTHER = pd.Series([0.50, 0.61, 0.72], [42, 43, 44]), pd.Series([0.40, 0.50, 0.60, 0.9], [42, 43, 44, 45])


def test_lines_are_paired_and_corrected_as_a_family():
    sides = {("patches", "heads", "y"): (ONE, OTHER), ("patches", "heads", "h"): (OTHER, ONE)}
    found = ablations.comparisons("both stages", sides | {("shapes", "heads", "y"): (ONE, {1: 0.5})})
    assert len(found) == 2 and found["seeds"].tolist() == [3, 3] and found["left out"].tolist() == [1, 1]
    assert found["p"][0] == pytest.approx(ttest_rel(ONE, OTHER[:3]).pvalue)
    assert found["holm"].tolist() == pytest.approx([2 * found["p"][0]] * 2)
    assert found["verdict"].tolist() == ["appears", "reversed"] and (found["smallest"] > 0).all()


def test_the_drawing_joins_the_points_of_a_seed():
    line = ablations.comparisons("one", {("patches", "heads", "y"): (ONE, OTHER)}).to_dict("records")
    axis = ablations.claims_figure(line, [(ONE, OTHER)], "title").axes[0]
    joined = [drawn.get_xdata().tolist() for drawn in axis.lines if drawn.get_color() == "0.7"]
    assert joined == [[0.5, 0.4], [0.61, 0.5], [0.72, 0.6]]
    assert "appears (3 seeds)" in axis.texts[0].get_text()
    plain = ablations.claims_figure(line, [([0.5], [0.4])], "title").axes[0]
    assert not [drawn for drawn in plain.lines if drawn.get_color() == "0.7"]
