"""scikit-learn's manners: parameters that may be changed, copies, pickles, searches, names, and one line for misuse."""

import copy
import json
import pickle
import shutil

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.utils.validation import check_is_fitted
from untrained import run_on, save_shapes

import cdlearn
from cdlearn import report
from cdlearn.data import make_shapes
from cdlearn.estimator import Encoder
from cdlearn.runtime.errors import UserError


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of other weights and another width."""
    home = tmp_path_factory.mktemp("runs")
    return run_on("shapes", home / "a", seed=1), run_on("shapes", home / "b", seed=2, width=12)


@pytest.fixture(scope="module")
def images():
    return make_shapes(48, 16)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return save_shapes(tmp_path_factory.mktemp("files"), 12)


def test_what_is_set_is_what_is_used(runs, images):
    first, second = (cdlearn.load(run).transform(images) for run in runs)
    encoder = cdlearn.load(runs[0])
    assert np.array_equal(encoder.transform(images), first)
    assert np.array_equal(encoder.set_params(run=runs[1]).transform(images), second)
    encoder.run = str(runs[0])
    assert np.array_equal(encoder.transform(images), first)
    assert encoder.set_params(stage="output").transform(images).shape == (48, 16)
    assert encoder.get_params() == {"run": str(runs[0]), "stage": "output", "device": ""}
    for name, value, line in (
        ("stage", "top", "unknown stage 'top'"),
        ("run", "nowhere", "no checkpoint"),
        ("run", None, "run is None"),
        ("run", "", "run is ''"),
        ("device", 3, "device is 3"),
        ("device", "tpu", "tpu"),
    ):
        with pytest.raises(UserError, match=line):
            clone(encoder).set_params(**{name: value}).transform(images)
        with pytest.raises(UserError, match=line):
            Encoder(**encoder.get_params() | {name: value}).fit(images)
    assert encoder.transform(images).shape == (48, 16), "a wrong value that was taken back leaves nothing behind"


def test_clusters_of_another_run_or_stage_are_not_used(runs, images):
    encoder = cdlearn.load(runs[0]).cluster(images, 3)
    for changed in ({"run": runs[1]}, {"stage": "output"}):
        other = copy.deepcopy(encoder).set_params(**changed)
        with pytest.raises(NotFittedError, match=r"the clusters are of the backbone of .*a; call cluster"):
            other.predict(images)
    with pytest.raises(UserError, match="has no clusters"):
        clone(encoder).predict(images)


def test_fit_predict_is_cluster_and_predict(runs, images):
    encoder = cdlearn.load(runs[0])
    found = encoder.fit_predict(images, k=3)
    assert set(found) == {0, 1, 2} and np.array_equal(found, encoder.predict(images))
    assert np.array_equal(found, encoder.labels_) and len(encoder.cluster_centers_) == 3
    assert (np.diff(np.bincount(found)) <= 0).all(), "the largest cluster comes first, as in the report"
    assert set(encoder.fit_predict(images, k=30)) == set(range(30)), "more than a half-sample holds"
    assert set(encoder.fit_predict(images, k=1)) == {0}
    for k, line in ((0, "k is 0"), (2.5, "k is 2.5"), (True, "k is True"), (49, "48 images cannot be put into 49")):
        with pytest.raises(UserError, match=line):
            encoder.fit_predict(images, k=k)
    flat = torch.zeros(20, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(UserError, match="the 20 images are of 1 kinds"):
        encoder.cluster(flat, 2)
    with pytest.raises(UserError, match="the 20 images are all equal"):
        encoder.cluster(flat)


@pytest.mark.parametrize("way", ["pickle", "joblib", "deepcopy", "clone of a pickle"])
def test_a_copy_works_where_the_run_is_not(images, files, tmp_path, way):
    run = run_on("shapes", tmp_path / "run")
    save_shapes(tmp_path / "more", 24)
    assert report.main([str(run), "--data", str(tmp_path / "more")]) == 0
    encoder = cdlearn.load(run).set_output(transform="pandas")
    features, clusters, files_ = encoder.transform(images), encoder.predict(images), encoder.transform(files)
    if way == "joblib":
        joblib.dump(encoder, tmp_path / "encoder.joblib")
        shutil.rmtree(run)
        again = joblib.load(tmp_path / "encoder.joblib")
    else:
        kept = copy.deepcopy(encoder) if way == "deepcopy" else pickle.dumps(encoder)
        shutil.rmtree(run)
        again = kept if way == "deepcopy" else pickle.loads(kept)
    again = clone(again) if way == "clone of a pickle" else again
    pd.testing.assert_frame_equal(again.transform(images), features)
    pd.testing.assert_frame_equal(again.transform(files), files_)
    assert np.array_equal(again.predict(images), clusters)
    with pytest.raises(UserError, match="no checkpoint"):
        Encoder(run).transform(images)  # one that was never loaded says what it lacks
    with pytest.raises(UserError, match="no checkpoint"):
        pickle.loads(pickle.dumps(Encoder(run))).transform(images)


def test_pipelines_searches_and_columns(runs, images, files):
    pixels, labels = images.images.numpy(), images.labels.numpy()
    classify = make_pipeline(Encoder(runs[0]), LogisticRegression(max_iter=300))
    grid = {"encoder__run": [str(run) for run in runs], "encoder__stage": ["backbone", "output"]}
    found = GridSearchCV(classify, grid, cv=2, error_score="raise").fit(pixels, labels)
    assert found.predict(pixels).shape == (48,) and len(found.cv_results_["params"]) == 4
    paths, halves = [str(path) for path in files], [0, 1] * 6
    assert len(cross_val_score(classify, np.array(paths), halves, cv=2, error_score="raise")) == 2
    assert len(cross_val_score(classify, paths, halves, cv=2, error_score="raise")) == 2
    table = pd.DataFrame({"file": paths, "price": range(12)})
    columns = ColumnTransformer([("image", Encoder(runs[0]), "file"), ("rest", "passthrough", ["price"])])
    width = cdlearn.load(runs[0]).n_features_out_
    assert columns.fit_transform(table).shape == (12, width + 1)
    both = FeatureUnion([("h", Encoder(runs[0])), ("y", Encoder(runs[0], "output"))]).set_output(transform="pandas")
    assert list(both.fit_transform(table["file"]).columns)[-1] == "y__head_15"


def test_names_sizes_and_indices(runs, images, files, tmp_path):
    encoder = cdlearn.load(runs[0])
    check_is_fitted(encoder)
    assert encoder.fit() is encoder and "Encoder" in repr(encoder)
    assert encoder.n_features_out_ == encoder.transform(images).shape[1] == len(encoder.get_feature_names_out())
    given = pd.Series([str(path) for path in files], index=range(100, 112))
    frame = clone(encoder).set_output(transform="pandas").transform(given)
    assert list(frame.index) == list(given.index) and list(frame.columns[:2]) == ["h0", "h1"]
    run = run_on("shapes", tmp_path / "run")
    heads = cdlearn.load(run, stage="output")
    assert list(heads.get_feature_names_out()[:2]) == ["head_0", "head_1"]
    names = {"0": "red", "2": "round", "3": "round", "4": " ", "99": "x"}
    (run / "names.json").write_text(json.dumps({"heads": names, "clusters": {}}))
    named = ["red", "head_1", "head_2", "head_3", "head_4", "head_5"]  # a name given twice names neither
    assert list(heads.get_feature_names_out()[:6]) == named
    for damaged in ("", "[]", '{"heads": 3}', '{"heads": {"5": 7}}'):
        (run / "names.json").write_text(damaged)
        with pytest.raises(UserError, match=r"names\.json holds no names"):
            heads.get_feature_names_out()


def test_as_many_neighbours_vote_as_the_rarest_class_has_labels(runs):
    hues = torch.randint(0, 40, (60, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    hues[:50, 0] += 200
    hues[50:, 2] += 200
    truth = np.array(["red"] * 50 + ["blue"] * 10)
    some = [label if number in (*range(30), 50, 51) else None for number, label in enumerate(truth)]
    encoder = cdlearn.load(runs[0])
    assert encoder.knn(hues, some).predict(hues).tolist() == truth.tolist()
    assert set(encoder.knn(hues, some, neighbours=20).predict(hues)) == {"red"}, "twenty drown the two blue ones"
    for wrong in (0, 33, 2.0, True):
        with pytest.raises(UserError, match="pass a whole number up to 32"):
            encoder.knn(hues, some, neighbours=wrong)


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (None, "labels are a NoneType"),
        ("abc", "labels are a str"),
        (3, "labels are a int"),
        ([[0, 1]] * 48, "label 0 is"),
        (np.zeros((48, 2)), "label 0 is"),
        ([None] * 48, "fewer than two classes"),
        ([0, 1], "2 labels for 48 images"),
    ],
)
def test_labels_that_are_none(runs, images, labels, line):
    with pytest.raises(UserError, match=line):
        cdlearn.load(runs[0]).linear_probe(images, labels)


def test_labels_of_any_kind(runs, images):
    encoder, truth = cdlearn.load(runs[0]), images.labels.numpy()
    expected = encoder.linear_probe(images, truth).predict(images)
    for labels in (images.labels, list(images.labels), pd.Series(truth), pd.Categorical(truth), truth.astype(float)):
        assert np.array_equal(encoder.linear_probe(images, labels).predict(images), expected)
