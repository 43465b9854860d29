"""Classifiers of images from features and a few labels: a linear probe, and a vote of the nearest."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from torch import Tensor

from cdlearn.runtime.errors import UserError

VOTES = 20  # neighbours that vote at most, where their number is not given


def linear_probe(encoder: BaseEstimator, features: np.ndarray, labels: Sequence) -> Pipeline:
    """``encoder`` and a logistic regression on those of ``features`` (N, D) whose label is known; see its method."""
    known = labelled(features, labels)
    return pipeline(encoder, StandardScaler(), LogisticRegression(max_iter=1000), *known)


def knn(encoder: BaseEstimator, features: np.ndarray, labels: Sequence, neighbours: int | None = None) -> Pipeline:
    """``encoder`` and a vote of the nearest features by cosine; see the encoder's method."""
    rows, truth = labelled(features, labels)
    count = min(VOTES, int(np.unique(truth, return_counts=True)[1].min())) if neighbours is None else neighbours
    if not isinstance(count, (int, np.integer)) or isinstance(count, bool) or not 1 <= count <= len(truth):
        raise UserError(f"neighbours is {neighbours!r}; pass a whole number up to {len(truth)}, the labelled images")
    return pipeline(encoder, Normalizer(), KNeighborsClassifier(int(count)), rows, truth)


def pipeline(encoder: BaseEstimator, scale, classify, rows: np.ndarray, truth: np.ndarray) -> Pipeline:
    head = Pipeline([("scale", scale), ("classify", classify)]).fit(rows, truth)
    return Pipeline([("encode", encoder), *head.steps])


def labelled(features: np.ndarray, labels: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """The features and the labels of those images whose label is known.

    Raises:
        UserError: for labels of another number than the images, or of fewer than two classes.
    """
    known = is_known(labels)
    if len(known) != len(features):
        raise UserError(f"{len(known)} labels for {len(features)} images; there must be one each, None for unknown")
    labels = [label.item() if isinstance(label, Tensor) else label for label in labels]
    truth = np.array([label for label, given in zip(labels, known, strict=True) if given])
    if len(np.unique(truth)) < 2:
        raise UserError("the labels name fewer than two classes; label some images of another")
    return features[known], truth


def is_known(labels: Sequence) -> np.ndarray:
    """bool (N,): False for None, NaN, "" and -1. Raises UserError for what is no sequence of single labels."""
    if isinstance(labels, str) or not hasattr(labels, "__len__") or not hasattr(labels, "__iter__"):
        raise UserError(f"labels are a {type(labels).__name__}; pass a list, an array or a Series, one label an image")
    known = []
    for number, label in enumerate(labels):
        if not pd.api.types.is_scalar(label) and getattr(label, "ndim", 1):
            raise UserError(f"label {number} is {str(label)[:60]!r}; pass one label an image")
        label = label.item() if isinstance(label, Tensor) else label
        known.append(not (pd.isna(label) or (isinstance(label, str) and not label.strip()) or label == -1))
    return np.array(known, bool)
