"""Every checker of notebook 00 on the right answer, on the stub, and on plausible wrong answers."""

import math

import numpy as np
import pytest
import torch

from cdlearn.course.checks.start import (
    check_blind_guess,
    check_loss_at_start,
    check_loss_curves,
    check_pixel_clusters,
    check_purity,
)
from cdlearn.losses import nt_xent_start


def loss_at_start(pairs):
    return math.log(2 * pairs - 1)


def purity(labels, clusters):
    return sum(torch.bincount(labels[clusters == c]).max() for c in clusters.unique()) / len(labels)


def count_right(labels, clusters):
    return sum(torch.bincount(labels[clusters == c]).max() for c in clusters.unique())


def mean_of_purities(labels, clusters):
    shares = [torch.bincount(labels[clusters == c]).max() / (clusters == c).sum() for c in clusters.unique()]
    return sum(shares) / len(shares)


def only_the_first_numbers(labels, clusters):
    """Right for up to three clusters, because it counts in the first three only."""
    counts = [torch.bincount(labels[clusters == c]).max() for c in range(int(clusters.max()) + 1) if c in clusters]
    return sum(counts[:3]) / len(labels)


def every_number_up_to_the_largest(labels, clusters):
    """Stops at a number that no cluster has."""
    return sum(torch.bincount(labels[clusters == c]).max() for c in range(clusters.max() + 1)) / len(labels)


def right_for_the_first_case_only(labels, clusters):
    """In the first case this is the mean of the clusters' purities; in the others it is something else."""
    return mean_of_purities(labels, clusters) if len(labels) == 10 else 0.3


@pytest.mark.parametrize(("check", "right"), [(check_loss_at_start, loss_at_start), (check_purity, purity)])
def test_right_answers_and_stubs(check, right):
    assert check(right).solved is True
    assert check(lambda *given: ...).solved is None
    assert check(lambda *given: 1 / 0).solved is False
    assert "ZeroDivisionError" in check(lambda *given: 1 / 0).message


def test_library_and_other_forms_of_the_right_answer():
    assert check_loss_at_start(nt_xent_start).solved is True
    assert check_loss_at_start(lambda n: -torch.full((2 * n - 1,), 1.0).softmax(0).log()[0]).solved is True
    assert check_loss_at_start(lambda n: np.array([np.log(2 * n - 1)])).solved is True


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda n: math.log(2 * n), "but itself"),
        (lambda n: math.log(2 * n - 2), "these are the negatives"),
        (lambda n: math.log(n), "two views"),
        (lambda n: math.log(n - 1), "two views"),
        (lambda n: math.log2(2 * n - 1), "in bits"),
        (lambda n: 1 / (2 * n - 1), "probability"),
        (lambda n: 2 * n - 1, "number of candidates"),
        (lambda n: -math.log(2 * n - 1), "sign"),
        (lambda n: math.log(9), "For 3 pairs"),
        (lambda n: torch.zeros(2 * n), "should be one number"),
    ],
)
def test_wrong_losses_at_start(wrong, words):
    verdict = check_loss_at_start(wrong)
    assert verdict.solved is False
    assert words in verdict.message


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda labels, clusters: (labels == clusters).float().mean(), "at random"),
        (mean_of_purities, "cluster of one image"),
        (lambda labels, clusters: purity(clusters, labels), "other way round"),
        (lambda labels, clusters: torch.bincount(labels).max() / len(labels), "play no part"),
        (count_right, "divide it by"),
        (only_the_first_numbers, "one image in each cluster"),
        (lambda labels, clusters: 0.9, "Go through the clusters"),
        (lambda labels, clusters: None, "returns nothing"),
        (every_number_up_to_the_largest, "no image is in cluster 0"),
        (right_for_the_first_case_only, "Go through the clusters"),
    ],
)
def test_wrong_purities(wrong, words):
    verdict = check_purity(wrong)
    assert verdict.solved is False
    assert words in verdict.message


@pytest.mark.parametrize(
    ("guess", "words"),
    [
        (math.log(6), "not compared with itself"),
        (math.log(4), "The partner is a candidate"),
        (math.log(3), "two views"),
        (math.log2(5), "in bits"),
        (0.2, "minus its logarithm"),
        (5, "its logarithm"),
        (1.0, "five candidates"),
        (3.0, "natural logarithm"),
    ],
)
def test_wrong_guesses_of_a_blind_loss(guess, words):
    verdict = check_blind_guess(guess, 1.61)
    assert verdict.solved is False and words in verdict.message
    assert check_blind_guess(math.log(5), 1.61).solved is True


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_pixel_clusters, "b", {"a": "several in one colour", "c": "all patches", "d": "not mixed at random"}),
        (check_loss_curves, "c", {"a": "255 others", "b": "close to the dotted line", "d": "above or below"}),
    ],
)
def test_figures_to_read(check, right, wrong):
    assert check(right).solved is True and check(...).solved is None
    for letter, words in wrong.items():
        assert check(letter).solved is False and words in check(letter).message
