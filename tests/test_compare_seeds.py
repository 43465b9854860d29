"""Differences over seeds: SciPy's t test for pairs, values worked out by hand, power by simulation, and odd cases."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, ttest_rel

from cdlearn.results.compare_seeds import compare, holm, in_words, paired, smallest_effect


def scores(generator, seeds=5, gap=0.0, spread=0.02):
    """Two arms that share what a seed draws."""
    common = generator.normal(0.5, 0.05, seeds)
    a, b = (common + shift + generator.normal(0, spread, seeds) for shift in (gap, 0.0))
    return dict(enumerate(a)), dict(enumerate(b))


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_it_is_scipys_t_test_for_pairs(seeds):
    a, b = scores(np.random.default_rng(seeds), seeds, gap=0.03)
    found, test = paired(a, b), ttest_rel(list(a.values()), list(b.values()))
    low, high = test.confidence_interval()
    assert (found.p, found.low, found.high) == pytest.approx((test.pvalue, low, high), rel=1e-9)
    assert found.gap == pytest.approx(found.one - found.other) and found.pairs == seeds and found.holm == found.p


def test_three_pairs_by_hand():
    found = paired({1: 0.5, 2: 0.6, 3: 0.7}, {1: 0.4, 2: 0.4, 3: 0.4})  # differences 0.1, 0.2, 0.3: deviation 0.1
    error = 0.1 / math.sqrt(3)
    assert found.gap == pytest.approx(0.2)
    assert found.p == pytest.approx(2 * t.sf(0.2 / error, 2)) == pytest.approx(0.0742, abs=1e-4)
    assert (found.low, found.high) == pytest.approx((0.2 - 4.3027 * error, 0.2 + 4.3027 * error), abs=1e-4)


def test_what_a_seed_draws_for_both_arms_does_not_count():
    """The two arms rise and fall together by 0.1, ten times the gap: pairs find it, and two free samples would not."""
    common = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    found = paired(dict(enumerate(common + np.array([0.010, 0.011, 0.009, 0.010, 0.012]))), dict(enumerate(common)))
    assert found.verdict == "better" and found.p < 0.001


def test_only_seeds_that_both_arms_have_make_pairs_and_the_others_are_counted():
    found = paired({1: 0.5, 2: 0.7, 3: 0.9, 4: math.nan, 5: ""}, {2: 0.6, 3: 0.7, 4: 0.5, 5: 0.5, 6: 0.1})
    assert (found.pairs, found.left_out) == (2, 4) and found.gap == pytest.approx(0.15)
    assert paired(pd.Series([0.7, 0.9], [2, 3]), pd.Series([0.6, 0.7], [2, 3])).p == pytest.approx(found.p)


def test_one_pair_has_a_gap_and_no_verdict_and_none_is_not_yet_measured():
    one, none = paired({42: 0.6}, {42: 0.5}), paired({42: 0.6}, {43: 0.5})
    assert one.gap == pytest.approx(0.1) and one.verdict == "one seed: no verdict" and math.isnan(one.p)
    assert none.verdict == "not yet measured" and math.isnan(none.gap) and none.left_out == 2
    assert str(one) == "+0.100, one seed: no verdict" and str(none) == "not yet measured"


def test_differences_without_spread_have_no_t_test():
    equal = paired(dict.fromkeys(range(5), 1.0), dict.fromkeys(range(5), 1.0))
    assert equal.p == 1 and equal.verdict == "not shown" and math.isnan(equal.low) and math.isnan(equal.smallest)
    assert str(equal) == "equal in all 5 pairs"
    constant = paired({s: 0.1 * s + 0.3 for s in range(5)}, {s: 0.1 * s for s in range(5)})
    assert constant.p == 0.0625, "the sign test's for five pairs, not 0"
    assert str(constant) == "+0.300, Holm's p 0.062"


def test_a_seed_that_stands_twice_is_named():
    with pytest.raises(ValueError, match="seed 42 occurs twice"):
        paired(pd.Series([0.1, 0.2], [42, 42]), {42: 0.1})


def test_holm_is_the_step_down_rule():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, math.nan, 0.03]) == pytest.approx([0.02, math.nan, 0.03], nan_ok=True)


def test_a_family_is_corrected_for_what_it_tests_and_no_more():
    generator = np.random.default_rng(0)
    sides = {number: scores(generator, gap=0.02 * number) for number in range(4)}
    sides["one seed"] = ({1: 0.5}, {1: 0.4})
    found = compare("four arms, NMI", sides)
    alone = {name: paired(*arms) for name, arms in sides.items()}
    assert [found[n].holm for n in range(4)] == pytest.approx(holm([alone[n].p for n in range(4)]))
    assert {d.tests for d in found.values()} == {4} and {d.family for d in found.values()} == {"four arms, NMI"}
    assert found["one seed"].verdict == "one seed: no verdict"
    for number in range(4):
        gap = np.subtract(*(list(of.values()) for of in sides[number]))
        assert found[number].smallest == pytest.approx(smallest_effect(gap.std(ddof=1), 5, 0.05 / 4), rel=1e-6)
        assert found[number].smallest > alone[number].smallest


@pytest.mark.parametrize("level", [0.05, 0.05 / 13])
@pytest.mark.parametrize("pairs", [2, 3, 5, 10])
def test_the_smallest_effect_is_found_in_four_of_five_simulated_experiments(pairs, level):
    spread, generator = 0.02, np.random.default_rng(pairs)
    effect = smallest_effect(spread, pairs, level)
    gaps = generator.normal(effect, spread, (20_000, pairs))
    bar = t.ppf(1 - level / 2, pairs - 1)
    found = gaps.mean(1) / (gaps.std(1, ddof=1) / pairs**0.5) > bar
    assert found.mean() == pytest.approx(0.8, abs=0.012)


def test_the_smallest_effect_for_many_pairs_is_the_normal_one():
    """In the limit (z at 0.975 + z at 0.8) / sqrt(n), 2.8 errors of the mean; for five pairs t needs 1.68 spreads."""
    assert smallest_effect(1.0, 10_000) == pytest.approx(2.8016 / 100, rel=1e-3)
    assert smallest_effect(1.0, 5) == pytest.approx(1.682, abs=0.002)  # statsmodels' TTestPower().solve_power
    assert math.isnan(smallest_effect(1.0, 1))


def test_without_an_effect_a_family_is_fooled_in_at_most_one_case_of_twenty():
    generator = np.random.default_rng(1)
    fooled = [
        any(d.holm < 0.05 for d in compare("null", {n: scores(generator) for n in range(6)}).values())
        for _ in range(300)
    ]
    assert np.mean(fooled) < 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


def test_a_sentence_says_better_only_for_the_scores_in_which_it_is():
    generator = np.random.default_rng(2)
    clear, none, below = (scores(generator, gap=gap, spread=0.01) for gap in (0.2, 0.0, -0.2))
    found = compare(
        "x", {"NMI": clear, "ARI": clear, "ACC": none, "kNN": below, "one": ({1: 1}, {1: 0}), "no": ({}, {})}
    )
    assert in_words(found) == (
        "better in NMI and ARI; worse in kNN; not shown in ACC; one: one seed: no verdict; no not yet measured"
    )
