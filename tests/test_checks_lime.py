"""The checkers of notebook 08: the right answer, the untouched stub, and slips that must each be named."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from cdlearn.course.checks.lime import check_copy_weights, check_hide_segments, check_weighted_ridge
from cdlearn.course.checks.lime_more import check_favourite, check_fidelities, check_lonely


def hide(image, segments, shown, mean=lambda image, of: image[of].mean(0), wanted=0, numbers=lambda s: range(s)):
    """The right answer, with a place for each slip."""
    out = image.clone()
    for number in numbers(len(shown)):
        if shown[number] == wanted:
            out[segments == number] = mean(image, segments == number)
    return out


def hide_anew(image, segments, shown):
    out = image
    for number in range(len(shown)):
        if shown[number] == 0:
            out = image.clone()
            out[segments == number] = image[segments == number].mean(0)
    return out


def by_values(image, segments, shown):
    out = image.clone()
    for number in shown:
        if number == 0:
            out[segments == number] = image[segments == number].mean(0)
    return out


def hide_in_place(image, segments, shown):
    image[:] = hide(image, segments, shown)
    return image


def kernel(shown, width, distance=lambda v: 1 - v.mean(1).sqrt(), fall=lambda d, w: d**2 / (2 * w**2)):
    return torch.exp(-fall(distance(shown), width))


def nan_kernel(shown, width):
    cosine = shown.sum(1) / (shown.norm(dim=1) * shown.shape[1] ** 0.5)
    return torch.exp(-((1 - cosine) ** 2) / (2 * width**2))


def line(shown, answers, counts, penalty, intercept=True, fixed=True, left=None):
    x = torch.cat([shown, torch.ones(len(shown), 1)], 1) if intercept else shown
    extra = penalty * torch.eye(x.shape[1])
    if fixed and intercept:
        extra[-1, -1] = 0
    found = torch.linalg.solve((x.T * counts) @ x + extra, x.T @ ((counts if left is None else left) * answers))
    return found if intercept else torch.cat([found, torch.zeros(1)])


def line_of_scikit_learn(shown, answers, counts, penalty):
    fit = Ridge(alpha=penalty).fit(shown, answers, sample_weight=counts)
    return torch.tensor([*fit.coef_, fit.intercept_])


def fidelities(shown, answers, counts, fit=True, score=True, of=None):
    """Each head's own R²; ``of``: every head gets that head's; ``fit`` and ``score``: weighted or not."""
    ones, found = np.ones(len(shown)), []
    for k in range(answers.shape[1]):
        head = answers[:, k if of is None else of]
        line = Ridge(alpha=1.0).fit(shown, head, sample_weight=counts if fit else ones)
        found.append(line.score(shown, head, sample_weight=counts if score else ones))
    return found


def last_line(shown, answers, counts):
    for k in range(answers.shape[1]):
        line = Ridge(alpha=1.0).fit(shown, answers[:, k], sample_weight=counts)
    return [line.score(shown, answers[:, k], sample_weight=counts) for k in range(answers.shape[1])]


ONES = torch.ones_like
RIGHT = [
    (check_fidelities, fidelities),
    (check_fidelities, lambda v, f, c: torch.tensor(fidelities(v, f, c))),
    (check_hide_segments, hide),
    (check_copy_weights, kernel),
    (check_weighted_ridge, line),
    (check_weighted_ridge, line_of_scikit_learn),
]
WRONG = [
    (check_hide_segments, lambda i, g, v: hide(i, g, v, wanted=1), "hide what should be shown"),
    (check_hide_segments, lambda i, g, v: hide(i, g, v, lambda image, of: 0.0), "black"),
    (check_hide_segments, lambda i, g, v: hide(i, g, v, lambda image, of: image.mean((0, 1))), "whole image"),
    (check_hide_segments, lambda i, g, v: hide(i, g, v, lambda image, of: image[of].mean()), "over the channels"),
    (check_hide_segments, lambda i, g, v: hide(i, g, v, numbers=lambda s: range(1, s)), "segment 0 is never"),
    (check_hide_segments, lambda i, g, v: hide(i, g, v, numbers=lambda s: range(s - 1)), "the last segment is never"),
    (check_hide_segments, hide_anew, "only the last hidden segment"),
    (check_hide_segments, hide_in_place, "also writes into the image"),
    (check_hide_segments, lambda i, g, v: i, "nothing is hidden"),
    (check_hide_segments, lambda i, g, v: hide(i, g, v) + 0.1, "some pixels"),
    (check_hide_segments, lambda i, g, v: hide(i, g, v)[None], "(1, 4, 5, 3)"),
    (check_hide_segments, lambda i, g, v: v[i], "stopped with IndexError"),
    (check_copy_weights, lambda v, w: 1 - v.mean(1).sqrt(), "the distances themselves"),
    (check_copy_weights, lambda v, w: kernel(v, w, fall=lambda d, w: d**2 / w**2), "the 2 in the denominator"),
    (check_copy_weights, lambda v, w: kernel(v, w, lambda v: v.mean(1).sqrt()), "the cosine itself"),
    (check_copy_weights, lambda v, w: kernel(v, w, lambda v: 1 - v.mean(1)), "fraction of hidden segments"),
    (check_copy_weights, lambda v, w: kernel(v, w, lambda v: (1 - v).sum(1).sqrt()), "Euclid"),
    (check_copy_weights, lambda v, w: kernel(v, w, fall=lambda d, w: d / (2 * w**2)), "not squared in your kernel"),
    (check_copy_weights, lambda v, w: kernel(v, w, fall=lambda d, w: d**2 / (2 * w)), "width is not squared"),
    (check_copy_weights, lambda v, w: kernel(v, 0.25), "ignores width"),
    (check_copy_weights, lambda v, w: 1 / kernel(v, w), "minus sign"),
    (check_copy_weights, nan_kernel, "hides everything gets nan"),
    (check_copy_weights, lambda v, w: kernel(v, w)[:, None], "(3, 1)"),
    (check_copy_weights, lambda v, w: 0.5 * kernel(v, w), "1 - cosine is"),
    (check_copy_weights, lambda v, w: kernel(v, w) - 0.1 * (v.mean(1) == 1), "shows [1, 1, 1] and width"),
    (check_copy_weights, lambda v, w: v @ w, "stopped with TypeError"),
    (check_weighted_ridge, lambda v, f, c, p: line(v, f, c, p, fixed=False), "intercept is penalised"),
    (check_weighted_ridge, lambda v, f, c, p: line(v, f, ONES(c), p), "every copy counts the same"),
    (check_weighted_ridge, lambda v, f, c, p: line(v, f, c**2, p), "counts enter twice"),
    (check_weighted_ridge, lambda v, f, c, p: line(v, f, c, 0.0), "no penalty"),
    (check_weighted_ridge, lambda v, f, c, p: line(v, f, c, p, intercept=False), "no intercept"),
    (check_weighted_ridge, lambda v, f, c, p: line(v, f, c, p * len(v)), "number of copies"),
    (check_weighted_ridge, lambda v, f, c, p: line(v, f, c, 1.0), "fixed size"),
    (check_weighted_ridge, lambda v, f, c, p: line(v, f, c, p).roll(1), "intercept comes first"),
    (check_weighted_ridge, lambda v, f, c, p: line(v, f, c, p)[:-1], "S weights, then the intercept"),
    (check_weighted_ridge, lambda v, f, c, p: (line(v, f, c, p)[:-1], 0.3), "two things"),
    (check_weighted_ridge, lambda v, f, c, p: line(v, f, c, p, left=ONES(c)), "missing in Xᵀ(πf)"),
    (check_hide_segments, by_values, "runs over the values of shown"),
    (check_weighted_ridge, lambda v, f, c, p: v + f, "stopped with RuntimeError"),
    (check_fidelities, lambda v, f, c: fidelities(v, f, c, of=-1), "the R² of the last head"),
    (check_fidelities, lambda v, f, c: fidelities(v, f, c, of=0), "the R² of the first head"),
    (check_fidelities, lambda v, f, c: fidelities(v, f, c, score=False), "to score as well"),
    (check_fidelities, lambda v, f, c: fidelities(v, f, c, fit=False), "to fit as well"),
    (check_fidelities, lambda v, f, c: fidelities(v, f, c, fit=False, score=False), "to both"),
    (check_fidelities, lambda v, f, c: [0.5] * f.shape[1], "For three heads"),
    (check_fidelities, lambda v, f, c: fidelities(v, f, c)[0], "shape"),
    (check_fidelities, lambda v, f, c: None, "returns nothing"),
]


@pytest.mark.parametrize(("check", "solution"), RIGHT)
def test_right(check, solution):
    verdict = check(solution)
    assert verdict.solved is True, verdict


@pytest.mark.parametrize("check", dict.fromkeys(check for check, _ in RIGHT))
def test_stub(check):
    assert check(lambda *given: ...).solved is None


@pytest.mark.parametrize(("check", "slip", "said"), WRONG)
def test_wrong(check, slip, said):
    verdict = check(slip)
    assert verdict.solved is False
    assert said in verdict.message


def test_the_bug_is_named_by_its_symptom():
    verdict = check_fidelities(last_line)
    assert verdict.solved is None and "cannot be worse than a constant" in verdict.message


@pytest.mark.parametrize(
    ("guess", "words"),
    [(1 / 9, "among nine tiles"), (0.06, "with nine patches"), (1 / 36, "36 cells"), (0.5, "hidden by its own mean")],
)
def test_wrong_predictions_of_the_easy_test(guess, words):
    verdict = check_lonely(guess, 1.0)
    assert verdict.solved is False and words in verdict.message
    assert check_lonely(0.95, 1.0).solved is True and check_lonely(1.3, 1.0).solved is False


def test_the_figure_of_the_tiles():
    assert check_favourite("b").solved is True and check_favourite(...).solved is None
    for letter, words in {"a": "wrong comparison", "c": "what a hit is compared with", "d": "right tile"}.items():
        assert check_favourite(letter).solved is False and words in check_favourite(letter).message
