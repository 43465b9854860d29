"""The one K-means of the project: scikit-learn's numbers, no warnings, and one line where there are no clusters."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans

import cdlearn
from cdlearn import k_means
from cdlearn.runtime.errors import UserError

ROWS = np.random.default_rng(0).standard_normal((80, 6)).astype(np.float32)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_numbers_are_scikit_learns(kind):
    found, theirs = (
        k_means.fitted(ROWS.astype(kind), 4, 3, 5),
        KMeans(4, n_init=5, random_state=3).fit(ROWS.astype(kind)),
    )
    assert np.array_equal(found.labels_, theirs.labels_)
    assert np.array_equal(found.cluster_centers_, theirs.cluster_centers_)
    assert np.array_equal(KMeans(4, n_init=5, random_state=3).fit_predict(ROWS.astype(kind)), found.labels_)


def test_fewer_distinct_rows_than_clusters_are_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(k_means.fitted(np.ones((9, 3)), 4, 0, 2).labels_) == {0}
        assert len(set(k_means.fitted(np.repeat(np.eye(3), 3, axis=0), 5, 0, 2).labels_)) == 3


@pytest.mark.parametrize(
    ("rows", "k", "line"),
    [
        (np.where(np.arange(12).reshape(6, 2) == 4, np.nan, 1.0), 2, "1 of 6 images have features that are NaN"),
        (np.full((3, 2), np.inf), 2, "3 of 3 images"),
        (np.ones((3, 2)), 4, "3 images cannot be put into 4 clusters"),
    ],
)
def test_what_cannot_be_clustered_is_one_line(rows, k, line):
    with pytest.raises(UserError, match=line):
        k_means.fitted(rows, k, 0, 1)


def test_distinct_rows_are_counted_within_rounding():
    assert k_means.distinct(np.ones((5, 3)) * (1 + 1e-6 * np.arange(5))[:, None], 9) == 1
    assert k_means.distinct(np.zeros((5, 3)), 9) == 1 and k_means.distinct(np.zeros((0, 3)), 9) == 0
    assert k_means.distinct(np.repeat(np.eye(4), 3, axis=0), 9) == 4 and k_means.distinct(ROWS, 7) == 7


def test_nobody_else_fits_k_means():
    home = Path(cdlearn.__file__).parent
    users = {str(path.relative_to(home)) for path in home.rglob("*.py") if "KMeans(" in path.read_text()}
    assert users == {"k_means.py"}
