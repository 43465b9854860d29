"""Controls and held-out images in the closing table."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier

from cdlearn import course
from cdlearn.config import Config
from cdlearn.data import make_patches
from cdlearn.evaluate import assign_to_clusters, knn_transfer
from cdlearn.results import scoring
from cdlearn.trainer import fresh_model

CONFIG = Config.preset("smoke", size=16, heads=8)


def points(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three clusters (n, 5) and their numbers."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    return 2 * torch.eye(5)[labels] + torch.randn(n, 5, generator=draws), labels


def test_new_images_are_placed_as_k_means_places_them():
    (old, _), (new, _) = points(90, 0), points(40, 1)
    known = KMeans(3, n_init=5, random_state=0).fit(old.numpy())
    assert np.array_equal(assign_to_clusters(old, known.labels_, new), known.predict(new.numpy()))
    assert assign_to_clusters(old, np.full(90, 7), new).tolist() == [7] * 40, "one cluster is a cluster"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flat = np.ones((4, 2))
        assert set(assign_to_clusters(flat, np.array([0, 0, 2, 2]), flat)) <= {0, 2}


def test_new_images_get_their_neighbours_vote():
    (old, labels), (new, truth) = points(90, 0), points(40, 1)
    voters = KNeighborsClassifier(7, metric="cosine").fit(old.numpy(), labels.numpy())
    found = knn_transfer(old, labels, new, truth, neighbours=7)
    assert found == pytest.approx(voters.score(new.numpy(), truth.numpy()))
    assert 0.5 < found < 1


def test_untrained_heads_take_the_moments_of_their_reference_and_leave_the_model_alone():
    model = fresh_model(CONFIG).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    h = torch.randn(200, model.backbone.dim, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    own = model.untrained_output(h)
    assert own.shape == (200, 8) and torch.logit(own).mean(0).abs().max() < 0.02  # the variance is unbiased
    assert torch.allclose(torch.logit(own).std(0), torch.ones(8), atol=0.03)
    torch.manual_seed(1)
    assert torch.allclose(model.untrained_output(h[:3], h), own[:3], atol=1e-6)  # an image's output is its own
    torch.manual_seed(2)
    assert not torch.allclose(model.untrained_output(h), own)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_closing_table_has_the_control_and_the_held_out_images():
    images = make_patches(64, 16, 0)
    model = fresh_model(CONFIG)
    features = scoring.stages(model, CONFIG, images.images)
    unseen = scoring.stages(model, CONFIG, images.held_out.images, features["backbone"])
    assert list(features) == list(unseen) == list(scoring.STAGES)
    scores = scoring.score(features, images, CONFIG, unseen)
    assert set(scores["held out"]) == set(scoring.STAGES)
    text = scoring.table(scores)
    assert text.count("untrained heads") == 3 and "on held-out images" in text  # by K-means, held out, by attribute


def test_what_is_held_out_scores_like_the_rest_where_it_is_the_rest():
    images = make_patches(64, 16, 0)
    images = replace(images, held_out=images)
    model = fresh_model(CONFIG)
    features = scoring.stages(model, CONFIG, images.images)
    scores = scoring.score(features, images, CONFIG, features)
    for stage in scoring.STAGES:
        assert scores["held out"][stage]["nmi"] == pytest.approx(scores[stage]["nmi"], abs=0.05)


def test_a_claim_fails_where_it_no_longer_holds(monkeypatch, capsys):
    monkeypatch.setenv("CDLEARN_PRESET", "laptop")
    course.claim(True, "two is even")
    with pytest.raises(AssertionError, match="three is even"):
        course.claim(False, "three is even")
    monkeypatch.setenv("CDLEARN_PRESET", "smoke")
    course.claim(False, "four is odd")
    assert capsys.readouterr().out.splitlines() == ["✓ two is even", "needs the full preset: four is odd"]


def test_heads_are_named_after_what_they_know():
    rows = [
        {"attribute": "class", "value": "brick", "head": 3, "auc": 0.99},
        {"attribute": "class", "value": "cat", "head": 4, "auc": 0.8},
        {"attribute": "kind", "value": "object", "head": 3, "auc": 0.7},
    ]
    assert scoring.notes_on_heads({"heads": rows}) == {3: "encodes kind\nAUC 0.700"}
    assert scoring.notes_on_heads({"heads": rows}, True) == {3: "encodes brick\nAUC 0.990", 4: "encodes cat\nAUC 0.800"}
    labels, same = torch.tensor([0, 1, 1]), torch.tensor([5, 6, 6])
    assert not scoring.adds_to(labels, {"a": same}) and scoring.adds_to(labels, {"a": torch.tensor([0, 0, 0])})
