"""The checkers of notebook 07 accept right answers and name what is wrong with others."""

from itertools import combinations

import numpy as np
import pytest

from cdlearn.course.checks.ablations import check_permutation_test, check_switch


def switch(entropy, batch_norm, **changes):
    return {"alpha": float(entropy), "head_batch_norm": batch_norm, "cosine": False, "clip": 0.0} | changes


def gaps(a, b):
    pooled = np.array([*a, *b])
    for chosen in combinations(range(len(pooled)), len(a)):
        yield pooled[list(chosen)].mean() - np.delete(pooled, chosen).mean()


def permutation_test(a, b):
    seen = abs(np.mean(a) - np.mean(b))
    return np.mean([abs(gap) >= seen - 1e-9 for gap in gaps(a, b)])


def stopping(a, b):
    raise ZeroDivisionError("by zero")


@pytest.mark.parametrize(("check", "right"), [(check_switch, switch), (check_permutation_test, permutation_test)])
def test_right_answers_and_stubs(check, right):
    assert check(right).solved is True
    assert check(lambda a, b: ...).solved is None
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
