"""The checkers of notebook 07 accept right answers and name what is wrong with others."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from cdlearn.course.checks.ablations import check_holm, check_permutation_test, check_switch


def switch(entropy, batch_norm, **changes):
    return {"alpha": float(entropy), "head_batch_norm": batch_norm, "cosine": False, "clip": 0.0} | changes


def gaps(a, b):
    pooled = np.array([*a, *b])
    for chosen in combinations(range(len(pooled)), len(a)):
        yield pooled[list(chosen)].mean() - np.delete(pooled, chosen).mean()


def permutation_test(a, b):
    seen = abs(np.mean(a) - np.mean(b))
    return np.mean([abs(gap) >= seen - 1e-9 for gap in gaps(a, b)])


def holm(chances):
    order, corrected, largest = np.argsort(chances), [0.0] * len(chances), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, (len(chances) - rank) * chances[place])
        corrected[place] = min(1.0, largest)
    return corrected


def unranked(chances, capped=True, running=True):
    """Holm's rule without one of its parts."""
    order, found, largest = np.argsort(chances), np.zeros(len(chances)), 0.0
    for rank, place in enumerate(order):
        value = (len(chances) - rank) * chances[place]
        largest = max(largest, value) if running else value
        found[place] = min(1.0, largest) if capped else largest
    return found


def stopping(*given):
    raise ZeroDivisionError("by zero")


@pytest.mark.parametrize(
    ("check", "right"), [(check_switch, switch), (check_permutation_test, permutation_test), (check_holm, holm)]
)
def test_right_answers_and_stubs(check, right):
    assert check(right).solved is True
    assert check(lambda *given: ...).solved is None
    wrong = check(stopping)
    assert wrong.solved is False and "ZeroDivisionError" in wrong.message


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda e, b: switch(b, e), "swapped"),
        (lambda e, b: switch(True, b), "alpha weighs the entropy"),
        (lambda e, b: switch(e, True), "heads' BatchNorm is not switched"),
        (lambda e, b: switch(e, b, cosine=True), "schedule or the clipping is still on"),
        (lambda e, b: switch(e, b, alpha=2.0 * e), "only switches a part"),
        (lambda e, b: switch(e, b, heads=32), "you change something else"),
        (lambda e, b: switch(e, b, alfa=1.0), "did you mean alpha"),
        (lambda e, b: [e, b], "should be a dictionary of settings"),
    ],
)
def test_wrong_switches(wrong, words):
    verdict = check_switch(wrong)
    assert verdict.solved is False and words in verdict.message


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            lambda a, b: np.mean([abs(g) > abs(np.mean(a) - np.mean(b)) + 1e-9 for g in gaps(a, b)]),
            "MORE than the real",
        ),
        (lambda a, b: np.mean([g >= np.mean(a) - np.mean(b) - 1e-9 for g in gaps(a, b)]), "one direction only"),
        (lambda a, b: 1 - permutation_test(a, b), "differs less"),
        (lambda a, b: abs(np.mean(a) - np.mean(b)), "difference of the means itself"),
        (lambda a, b: 7.0, "between 0 and 1"),
        (lambda a, b: 0.5, "every way to choose"),
    ],
)
def test_wrong_permutation_tests(wrong, words):
    verdict = check_permutation_test(wrong)
    assert verdict.solved is False and words in verdict.message


def test_a_correction_may_be_an_array_too():
    assert check_holm(lambda chances: np.array(holm(chances))).solved is True


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda p: [min(1.0, len(p) * x) for x in p], "Bonferroni"),
        (lambda p: sorted(holm(p)), "back where its p came from"),
        (lambda p: unranked(p, running=False), "largest value so far"),
        (lambda p: unranked(p, capped=False), "cannot be above 1"),
        (lambda p: false_discovery_control(p), "Benjamini and Hochberg"),
        (lambda p: p, "as they came"),
        (lambda p: [0.5] * len(p), "Holm's p values are"),
        (lambda p: holm(p)[0], "shape"),
        (lambda p: "none", "should be a tensor"),
    ],
)
def test_wrong_corrections(wrong, words):
    verdict = check_holm(wrong)
    assert verdict.solved is False and words in verdict.message
