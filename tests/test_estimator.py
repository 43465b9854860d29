"""``cdlearn.load(RUN)``: a run among scikit-learn's own estimators."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from untrained import run_on, save_shapes

import cdlearn
from cdlearn import checkpoint, report
from cdlearn.data import ImageSet, folders, make_shapes
from cdlearn.evaluate import embed
from cdlearn.runtime.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_on("shapes", tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def images():
    return make_shapes(48, 16)


def test_features_are_those_of_the_network_for_every_kind_of_images(run, images, tmp_path):
    encoder, (model, config) = cdlearn.load(run), checkpoint.load_model(run)
    expected = embed(model, images.images, config.size)
    found = encoder.transform(images)
    assert np.allclose(found, expected["backbone"], atol=1e-5) and found.dtype == np.float32
    assert np.allclose(cdlearn.load(run, stage="output").transform(images), expected["output"], atol=1e-5)
    pixels = images.images
    for same in (pixels, pixels.numpy(), pixels.permute(0, 2, 3, 1).numpy(), ImageSet(pixels)):
        assert np.allclose(encoder.transform(same), found, atol=1e-5)
    files = save_shapes(tmp_path / "files", 5)
    assert np.allclose(encoder.transform(tmp_path / "files"), encoder.transform(files), atol=1e-5)
    assert encoder.transform(str(tmp_path / "files")).shape == (5, model.backbone.dim)
    decoded = torch.tensor(np.stack([folders.decode(path, 32) for path in files]))  # kept at twice the 16 px
    assert np.allclose(encoder.transform(files), encoder.transform(decoded), atol=1e-5)


def test_the_central_square_of_wide_pixels_is_seen(run, images):
    wide = torch.cat([torch.zeros(48, 3, 16, 8, dtype=torch.uint8), images.images, images.images[..., :8]], dim=3)
    encoder = cdlearn.load(run)
    assert np.allclose(encoder.transform(wide), encoder.transform(images), atol=1e-5)


def test_it_is_one_of_scikit_learns_own(run, images):
    encoder = cdlearn.load(run)
    again = pickle.loads(pickle.dumps(encoder))
    assert np.array_equal(again.transform(images), encoder.transform(images))
    assert clone(encoder).set_params(stage="output").transform(images).shape == (48, 16)
    named = clone(encoder).set_output(transform="pandas").transform(images)
    assert list(named.columns[:2]) == ["h0", "h1"]
    classify = make_pipeline(encoder, LogisticRegression(max_iter=200)).fit(images.images, images.labels.numpy())
    assert classify.predict(images.images).shape == (48,)


def test_clusters_come_from_images_from_the_report_or_not_at_all(run, images, tmp_path):
    encoder = cdlearn.load(run)
    with pytest.raises(UserError, match=r"call cluster\(images\), or .*cdlearn.report .* --stage backbone"):
        encoder.predict(images)
    assert set(clone(encoder).cluster(images, 3).predict(images)) == {0, 1, 2}
    with pytest.raises(UserError, match="48 images cannot be put into 50"):
        clone(encoder).cluster(images, 50)
    save_shapes(tmp_path / "files", 24)
    assert report.main([str(run), "--data", str(tmp_path / "files")]) == 0
    with np.load(run / "report-images.npz") as rows:
        assert encoder.predict(tmp_path / "files").tolist() == rows["cluster"].tolist()
    with pytest.raises(UserError, match=r"no clusters of its output yet, and .* of the backbone.*--stage output"):
        cdlearn.load(run, stage="output").predict(images)


def test_noise_is_not_cut_into_clusters_unasked(run):
    noise = torch.randint(0, 256, (60, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(UserError, match=r"no clear k.*pass k"):
        cdlearn.load(run).cluster(noise)


@pytest.mark.parametrize("method", ["cc", "jule", "dec", "dac", "dccm", "pica"])
def test_a_method_that_was_told_k_predicts_its_own_clusters(tmp_path, images, method):
    encoder = cdlearn.load(run_on("shapes", tmp_path / "run", method=method, clusters=4, batch_size=4))
    own = embed(*encoder.model()[:1], images.images, 16)["output"].argmax(1)
    assert encoder.predict(images).tolist() == own.tolist()


@pytest.mark.parametrize("unknown", [None, float("nan"), "", -1])
def test_some_labels_are_enough(run, unknown):
    hues = torch.randint(0, 40, (60, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    hues[:30, 0] += 200
    hues[30:, 2] += 200
    truth = ["red"] * 30 + ["blue"] * 30
    some = [label if number % 5 == 0 else unknown for number, label in enumerate(truth)]
    encoder = cdlearn.load(run)
    for classify in (encoder.linear_probe(hues, some), encoder.knn(hues, some, neighbours=3)):
        assert classify.predict(hues).tolist() == truth
        assert classify.score(hues, truth) == 1


def test_wrong_labels_and_pixels_are_named(run, images):
    encoder = cdlearn.load(run)
    with pytest.raises(UserError, match="3 labels for 48 images"):
        encoder.linear_probe(images, [0, 1, 2])
    with pytest.raises(UserError, match="fewer than two classes"):
        encoder.knn(images, [1] * 10 + [None] * 38)
    with pytest.raises(UserError, match="unknown stage"):
        cdlearn.load(run, stage="top")
    with pytest.raises(UserError, match="no checkpoint"):
        cdlearn.load("nowhere")
    with pytest.raises(UserError, match=r"cannot read .*gone\.png"):
        encoder.transform(["gone.png"])
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        cdlearn.nothing  # noqa: B018
