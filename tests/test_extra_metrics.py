"""Rows beside the published protocol, against loops and against values worked out by hand."""

import json

import pytest
import torch

from cdlearn.augment import TwoViews, to_size
from cdlearn.config import Config
from cdlearn.data import ImageSet, make_shapes
from cdlearn.evaluate import __main__ as command
from cdlearn.evaluate import cluster_scores, embed, extra_metrics
from cdlearn.results import scoring
from cdlearn.runtime import rng
from cdlearn.trainer import fit, fresh_model

SMALL = {"limit": 48, "size": 16, "batch_size": 16, "epochs": 1, "kmeans_seeds": 1}


@pytest.fixture(scope="module")
def config():
    return Config.preset("smoke", **SMALL, amp=False)


@pytest.fixture(scope="module")
def model(config):
    return fresh_model(config)


def some_images(n=20):
    return torch.randint(0, 256, (n, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_rank_me_counts_the_directions_in_use():
    directions = torch.linalg.qr(drawn(6, 6))[0]
    assert extra_metrics.rank_me(drawn(1, 40).T @ directions[:1]) == pytest.approx(1)
    assert extra_metrics.rank_me(torch.cat([directions, -directions])) == pytest.approx(6)
    assert extra_metrics.rank_me(directions[:3]) == pytest.approx(3)
    assert extra_metrics.rank_me(torch.zeros(5, 4)) == pytest.approx(1)
    features = drawn(30, 4)
    values = torch.linalg.eigvalsh(features.T @ features).sqrt()
    shares = [value / sum(values.tolist()) for value in values.tolist()]
    entropy = -sum(share * torch.tensor(share).log().item() for share in shares)
    assert extra_metrics.rank_me(features) == pytest.approx(torch.tensor(entropy).exp().item(), rel=1e-4)


def test_pairs_found_is_the_loop():
    one, other = drawn(12, 3), drawn(12, 3, seed=1)
    other[:5] = one[:5] + 0.05 * other[:5]
    found = 0
    for i in range(12):
        near = [torch.cosine_similarity(one[i], other[j], dim=0).item() for j in range(12)]
        found += near.index(max(near)) == i
    assert 3 <= found < 12 and extra_metrics.pairs_found(one, other) == pytest.approx(found / 12)
    assert extra_metrics.pairs_found(one, 3 * one) == 1
    assert extra_metrics.pairs_found(torch.ones(8, 2), torch.ones(8, 2)) == pytest.approx(1 / 8)  # all equal: by chance


def test_normalised_rows_have_length_one():
    features = torch.tensor([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]])
    torch.testing.assert_close(extra_metrics.normalised(features), torch.tensor([[0.6, 0.8], [0.0, 0.0], [-1.0, 0.0]]))


def test_crops_are_averaged_one_by_one(config, model):
    images, views = some_images(), TwoViews(16, config.crop, jitter=0, gray=0, blur=0)
    total = 0.0
    with torch.no_grad():
        for number in range(3):
            made = views.draw(20, 24, 24, "cpu", rng.generator(config.seed, "crops", number))
            seen = torch.cat([views.apply(images[i : i + 1], made.take(torch.tensor([i]))) for i in range(20)])
            total = total + model.eval().represent(seen)["backbone"] / 3
    found = extra_metrics.averaged_over_crops(model, images, config, 3)
    torch.testing.assert_close(found["backbone"], total)
    assert found["output"].shape == (20, config.heads)
    plain = embed(model, images, 16, amp=False)
    assert (found["backbone"] - plain["backbone"]).abs().max() > 0.01


def test_crops_do_not_depend_on_what_was_drawn_before(config, model):
    one = extra_metrics.averaged_over_crops(model, some_images(), config, 2)
    torch.rand(5)
    other = extra_metrics.averaged_over_crops(model, some_images(), config, 2)
    assert all(torch.equal(one[stage], other[stage]) for stage in one)


def test_a_crop_of_everything_is_the_image_or_its_mirror(config, model):
    """Colours stay what they are: with the whole image as the only crop, the average of an even face is its own."""
    images = some_images()
    images = torch.cat([images[..., :12], images[..., :12].flip(3)], dim=3)  # equal to its mirror image
    whole = Config.preset("smoke", **SMALL, amp=False, crop=(1.0, 1.0))
    found = extra_metrics.averaged_over_crops(model, images, whole, 2)
    expected = embed(model, images, 16, amp=False)
    torch.testing.assert_close(found["backbone"], expected["backbone"], rtol=1e-3, atol=1e-3)


def test_views_of_a_network_that_sees_the_image_agree(config):
    class Mean(torch.nn.Module):
        """Sees nothing but the mean of each channel's left half, or nothing at all."""

        def __init__(self, blind):
            super().__init__()
            self.blind, self.weight = blind, torch.nn.Parameter(torch.zeros(1))

        def represent(self, x):
            seen = x.mean((2, 3)) - 0.5
            return {"backbone": seen, "output": torch.ones_like(seen) if self.blind else seen}

    plain = Config.preset("smoke", **SMALL, amp=False, jitter=0.0, gray=0.0)
    flat = torch.randint(0, 256, (40, 3, 1, 1), dtype=torch.uint8).repeat(1, 1, 24, 24)
    found = extra_metrics.agreement_between_views(Mean(True), flat, plain)
    assert found["backbone"] == 1 and found["output"] == pytest.approx(1 / 40)
    assert extra_metrics.agreement_between_views(Mean(False), flat, plain, limit=10)["output"] == 1


def test_rows_are_named_and_scored_like_the_published_ones(config, model):
    images = make_shapes(48, 24)
    found = extra_metrics.rows(model, images, config)
    assert list(found) == [
        f"{stage}{way}" for stage in ("backbone", "output") for way in ("", ", L2-normalised", ", mean of 8 crops")
    ]
    plain = embed(model, images.images, 16, amp=False)["backbone"]
    for name, features in (("backbone", plain), ("backbone, L2-normalised", extra_metrics.normalised(plain))):
        expected = cluster_scores(features, images.labels, seeds=1)
        assert {key: found[name][key] for key in expected} == expected
    assert found["backbone"]["knn"] == found["backbone, L2-normalised"]["knn"]  # kNN goes by the cosine anyway
    text = extra_metrics.format_rows(found)
    assert "backbone, mean of 8 crops" in text and text.splitlines()[0].split()[:2] == ["NMI", "ARI"]


def test_without_labels_there_is_still_something_to_measure(config, model):
    found = extra_metrics.rows(model, ImageSet(some_images()), config)
    assert set(found["backbone"]) == {"rankme", "pairs"} and set(found["output, mean of 8 crops"]) == {"rankme"}
    assert "NMI" not in extra_metrics.format_rows(found) and "RankMe" in extra_metrics.format_rows(found)


def test_the_command_prints_them_when_asked(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(scoring, "figures", lambda *of: {})  # which take most of the time, and are tested elsewhere
    settings = Config.preset("smoke", **SMALL)
    fit(settings, make_shapes(48, 32), tmp_path)  # not the run's own images, so they are scored as others
    given = [str(tmp_path), "--data", "shapes", "--limit", "40"]
    assert command.main(given) == 0 and "mean of 8 crops" not in capsys.readouterr().out
    assert not list(tmp_path.glob("beside*"))
    assert command.main([*given, "--beside"]) == 0
    printed, kept = capsys.readouterr().out, json.loads((tmp_path / "beside-shapes-limit40.json").read_text())
    assert "backbone, L2-normalised" in printed and "pairs found" in printed
    scores = json.loads((tmp_path / "scores-shapes-limit40.json").read_text())
    assert kept["output"]["nmi"] == scores["output"]["nmi"] and kept["output"]["knn"] == scores["output"]["knn"]


def test_images_are_only_resized_where_no_view_is_given(config, model):
    images = some_images(4)
    shown = embed(model, images, 16, amp=False, view=lambda batch, rows: to_size(batch, 16))
    assert torch.equal(shown["backbone"], embed(model, images, 16, amp=False)["backbone"])
