"""The checkers of notebook 07 accept right answers and name what is wrong with others."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import false_discovery_control, ttest_ind, ttest_rel

from cdlearn.course.checks.ablations import check_holm, check_permutation_test, check_switch
from cdlearn.course.checks.ablations_more import check_fooled, check_not_shown, check_power, check_runs


def switch(entropy, batch_norm, **changes):
    return {"alpha": float(entropy), "head_batch_norm": batch_norm, "cosine": False, "clip": 0.0} | changes


def gaps(a, b):
    pooled = np.array([*a, *b])
    for chosen in combinations(range(len(pooled)), len(a)):
        yield pooled[list(chosen)].mean() - np.delete(pooled, chosen).mean()


def permutation_test(a, b, room=1e-9):
    seen = abs(np.mean(a) - np.mean(b))
    return np.mean([abs(gap) >= seen - room for gap in gaps(a, b)])


def halves(a, b):
    """Groups of half of all scores, whatever the length of a."""
    pooled, seen, found = np.array([*a, *b]), abs(np.mean(a) - np.mean(b)), []
    for chosen in combinations(range(len(pooled)), len(pooled) // 2):
        found.append(abs(pooled[list(chosen)].mean() - np.delete(pooled, chosen).mean()) >= seen - 1e-12)
    return np.mean(found)


def by_value(a, b):
    """A score that stands twice is left out with its twin."""
    pooled, seen, found = [*a, *b], abs(np.mean(a) - np.mean(b)), []
    for group in combinations(pooled, len(a)):
        rest = [score for score in pooled if score not in group]
        found.append(bool(rest) and abs(np.mean(group) - np.mean(rest)) >= seen - 1e-12)
    return np.mean(found)


def of_runs(a, b, **same):
    return ttest_ind(a.mean(1), b.mean(1), equal_var=False, **same).pvalue


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
    ("check", "right"),
    [
        (check_switch, switch),
        (check_permutation_test, permutation_test),
        (check_holm, holm),
        (check_runs, of_runs),
    ],
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
        (lambda e, b: switch(e, b) | {"entropy": e}, "is called 'alpha'"),
        (lambda e, b: switch(e, b, schedule=False), "is called 'cosine'"),
        (lambda e, b: switch(e, b, clip=None), "0 means no clipping"),
        (lambda e, b: switch(e, b, clip=False), "0 means no clipping"),
        (lambda e, b: switch(e, b, alpha=e), "float(entropy)"),
        (lambda e, b: None, "returns nothing"),
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
        (halves, "half of all scores"),
        (by_value, "by their value"),
        (lambda a, b: permutation_test(a, b, room=0), "only because of rounding"),
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


def test_the_bug_is_named_by_its_symptom():
    verdict = check_runs(lambda a, b: ttest_ind(a.ravel(), b.ravel(), equal_var=False).pvalue)
    assert verdict.solved is None and "do not differ at all" in verdict.message and "ravel" not in verdict.message


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b: ttest_ind(a.mean(0), b.mean(0), equal_var=False).pvalue, "over the training seeds"),
        (lambda a, b: ttest_ind(a[:, 0], b[:, 0], equal_var=False).pvalue, "only the first clustering"),
        (lambda a, b: ttest_ind(a.max(1), b.max(1), equal_var=False).pvalue, "best clustering"),
        (lambda a, b: ttest_ind(a.mean(1), b.mean(1)).pvalue, "Student's"),
        (lambda a, b: ttest_rel(a.mean(1), b.mean(1)).pvalue, "ValueError"),
        (lambda a, b: 0.5, "independent"),
        (lambda a, b: ttest_ind(a, b, equal_var=False).pvalue, "should be one number"),
    ],
)
def test_other_wrong_tests_of_runs(wrong, words):
    verdict = check_runs(wrong)
    assert verdict.solved is False and words in verdict.message, verdict


@pytest.mark.parametrize(
    ("check", "guess", "words"),
    [
        (check_power, 0.5, "exactly as large"),
        (check_power, 16, "between 0 and 1"),
        (check_power, 0.05, "5 of 100"),
        (check_fooled, 0.05, "for one comparison"),
        (check_fooled, 0.65, "added up"),
        (check_fooled, 0.95**13, "stay silent"),
        (check_fooled, 0.1, "How likely"),
        (check_fooled, 49, "from 0 to 1"),
    ],
)
def test_predictions_that_miss(check, guess, words):
    verdict = check(guess, check.typical)
    assert verdict.solved is False and words in verdict.message


@pytest.mark.parametrize(("check", "guess"), [(check_power, 0.12), (check_fooled, 1 - 0.95**13)])
def test_predictions_that_hit(check, guess):
    assert check(guess, check.typical).solved is True


def test_a_row_to_read():
    assert check_not_shown("c").solved is True and check_not_shown(...).solved is None
    for letter, words in {"a": "there is nothing", "b": "every fifth", "d": "training"}.items():
        assert check_not_shown(letter).solved is False and words in check_not_shown(letter).message
