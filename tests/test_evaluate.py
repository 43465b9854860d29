"""Scores against independent code and against values worked out by hand."""

from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cdlearn import disentanglement, evaluate, mig_dci
from cdlearn.backbones import backbone, warn_about_stem
from cdlearn.config import Config
from cdlearn.data import ImageSet
from cdlearn.methods import build
from cdlearn.results import scoring


def test_accuracy_is_the_best_of_all_matches():
    generator = np.random.default_rng(0)
    labels, found = generator.integers(0, 4, 60), generator.integers(0, 4, 60)
    best = max(np.mean(np.array(match)[found] == labels) for match in permutations(range(4)))
    assert evaluate.clustering_accuracy(labels, found) == pytest.approx(best)
    assert evaluate.clustering_accuracy(np.array([0, 0, 1, 1, 2, 2]), np.array([2, 2, 0, 0, 1, 0])) == pytest.approx(
        5 / 6
    )


def test_scores_of_perfect_and_of_random_clusters():
    centres = 20 * torch.eye(5)
    labels = torch.arange(5).repeat(40)
    noise = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    perfect = evaluate.cluster_scores(centres[labels] + noise, labels)
    assert perfect == {"nmi": 1, "nmi_std": 0, "ari": 1, "ari_std": 0, "acc": 1, "acc_std": 0}
    random = evaluate.cluster_scores(noise, labels)
    assert random["nmi"] < 0.15 and abs(random["ari"]) < 0.05 and random["acc"] < 0.4


def test_scores_of_collapsed_features_are_zero_not_an_error():
    assert evaluate.cluster_scores(torch.ones(20, 3), torch.arange(20) % 2)["nmi"] == pytest.approx(0, abs=1e-6)


def test_more_clusters_than_images_is_refused():
    with pytest.raises(ValueError, match="3 images cannot be put into 5"):
        evaluate.cluster_scores(torch.rand(3, 2), torch.arange(3), k=5)


def test_knn_finds_the_neighbours():
    features = torch.eye(3).repeat_interleave(30, 0) + 0.01 * torch.randn(
        90, 3, generator=torch.Generator().manual_seed(0)
    )
    assert evaluate.knn_accuracy(features, torch.arange(3).repeat_interleave(30)) == 1


def test_knn_on_part_of_sorted_images_sees_every_class():
    """Without knowledge of four sorted classes the score is a quarter. The first two classes alone would give half."""
    noise = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    assert evaluate.knn_accuracy(noise, torch.arange(4).repeat_interleave(1000), limit=2000) < 0.32


def test_embedding_drops_no_image_and_does_not_depend_on_the_batch():
    config = Config.preset("smoke")
    model = build(config)
    images = torch.randint(0, 256, (37, 3, 32, 32), dtype=torch.uint8)
    whole = evaluate.embed(model, images, 32, batch_size=37, amp=False)
    parts = evaluate.embed(model, images, 32, batch_size=10, amp=False)
    assert whole["backbone"].shape == (37, model.backbone.dim) and whole["output"].shape == (37, 16)
    for stage in whole:
        torch.testing.assert_close(whole[stage], parts[stage], atol=1e-5, rtol=1e-5)
    assert model.training


def test_rank_auc_is_scikit_learns():
    generator = np.random.default_rng(0)
    outputs, truth = generator.random((50, 4)).round(1), generator.random(50) < 0.3
    theirs = [roc_auc_score(truth, outputs[:, k]) for k in range(4)]
    np.testing.assert_allclose(disentanglement.rank_auc(outputs, truth), theirs)


def test_attribute_scores_find_the_planted_heads_and_nothing_in_noise():
    generator = torch.Generator().manual_seed(0)
    n = 800
    tone, form = torch.arange(n) % 2, torch.arange(n) // 2 % 3
    outputs = torch.rand(n, 20, generator=generator)
    outputs[:, 7] += 2 * tone
    outputs[:, 3] -= 2 * (form == 1)
    rows = {
        (r["attribute"], r["value"]): r for r in disentanglement.attribute_scores(outputs, {"tone": tone, "form": form})
    }
    assert rows["tone", 0]["head"] == rows["tone", 1]["head"] == 7 and rows["tone", 1]["auc"] > 0.99
    assert rows["form", 1]["head"] == 3 and rows["form", 1]["own head"] == 3 and rows["form", 1]["auc"] > 0.99
    assert len({r["own head"] for r in rows.values()}) == 5
    assert all(0.5 <= r["null"] < 0.62 for r in rows.values())
    few = disentanglement.attribute_scores(outputs[:, :3], {"tone": tone, "form": form})
    assert sum(r["own head"] is None for r in few) == 2
    assert disentanglement.attribute_scores(outputs[:4], {"tone": 0 * tone[:4], "form": torch.arange(4)}) == []
    noise = disentanglement.attribute_scores(torch.rand(n, 20, generator=generator), {"tone": tone})
    assert all(r["auc"] < 0.6 for r in noise)


def test_telling_heads_are_decided_and_differ():
    sign = torch.where(torch.arange(64) % 2 == 0, 0.9, 0.1)
    other = torch.where(torch.arange(64) // 2 % 2 == 0, 0.7, 0.3)
    outputs = torch.stack([torch.full((64,), 0.5), sign, 1 - sign, other], 1)
    assert disentanglement.distinct_heads(outputs, 2) == [1, 3]
    assert disentanglement.distinct_heads(torch.full((5, 3), 0.5)) == [], "heads that never change show nothing"
    most, least = disentanglement.gallery(outputs, [1], 3)[1]
    assert (outputs[most, 1] == 0.9).all() and (outputs[least, 1] == 0.1).all()


def test_mutual_information_gap():
    value = torch.arange(400) % 2
    generator = torch.Generator().manual_seed(0)
    alone = torch.stack([value + 0.1 * torch.rand(400, generator=generator), torch.rand(400, generator=generator)], 1)
    assert mig_dci.mutual_information_gap(alone, {"v": value}) > 0.9
    twice = torch.stack([value + 0.0, value + 0.0], 1)
    assert mig_dci.mutual_information_gap(twice, {"v": value}) == pytest.approx(0)


def test_spread_tells_collapse():
    assert scoring.spread(torch.ones(50, 8)) == pytest.approx(0, abs=1e-6)
    assert scoring.spread(torch.randn(5000, 64, generator=torch.Generator().manual_seed(0))) == pytest.approx(
        1, abs=0.02
    )


def test_without_labels_only_what_needs_none():
    images = ImageSet(torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8))
    config = Config.preset("smoke")
    scores = scoring.score(scoring.stages(build(config), config, images.images), images, config)
    assert all(set(row) == {"spread"} for row in scores.values())
    assert "without labels" in scoring.table(scores)


@pytest.mark.parametrize(("name", "dim"), [("tiny", None), ("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)])
@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_backbones(name, dim, stem):
    net = backbone(name, stem).eval()
    with torch.inference_mode():
        h = net(torch.rand(2, 3, 64, 64))
    assert h.shape == (2, net.dim) and (dim is None or net.dim == dim) and h.std() > 0


def test_unknown_backbones_and_the_wrong_stem_are_told(capsys):
    with pytest.raises(ValueError, match="resnet19"):
        backbone("resnet19")
    with pytest.raises(ValueError, match="stem"):
        backbone("tiny", "huge")
    warn_about_stem("imagenet", 32)
    warn_about_stem("small", 32)
    assert capsys.readouterr().err.count("--stem small") == 1


def test_notes_name_the_best_head_of_each_attribute():
    rows = [
        {"attribute": "tone", "value": "light", "head": 3, "auc": 0.7},
        {"attribute": "tone", "value": "dark", "head": 5, "auc": 0.9},
    ]
    assert scoring.notes_on_heads({"heads": rows}) == {5: "encodes tone\nAUC 0.900"}
