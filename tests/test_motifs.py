"""The drawn set with independent attributes keeps its promises."""

import hashlib

import pytest
import torch

from cdlearn.config import Config
from cdlearn.data import load
from cdlearn.data.motifs import CLASSES, VALUES, make_motifs
from cdlearn.disentanglement import rank_auc
from cdlearn.evaluate import cluster_scores, raw_pixels
from cdlearn.results import scoring


def test_the_same_seed_gives_the_same_images_on_every_machine():
    images = make_motifs(64, seed=3).images
    assert hashlib.sha256(images.numpy().tobytes()).hexdigest()[:16] == "b7027bd425e85a67"
    assert not torch.equal(images, make_motifs(64, seed=4).images)


def test_every_combination_comes_equally_often():
    motifs = make_motifs(640)
    code = 0
    for name, values in VALUES.items():
        assert motifs.attributes[name].unique().tolist() == list(range(len(values)))
        code = code * len(values) + motifs.attributes[name]
    assert code.bincount().tolist() == [10] * 64
    for number, name in enumerate(CLASSES):
        one = {a: VALUES[a][motifs.attributes[a][motifs.labels == number][0]] for a in ("scale", "form")}
        assert name == " ".join(one.values())


def test_mean_and_contrast_tell_no_attribute():
    motifs = make_motifs(2048)
    pixels = motifs.images.float().mean(1)
    for glance in (pixels.mean((1, 2)), pixels.std((1, 2))):
        for name, values in motifs.attributes.items():
            for value in range(len(VALUES[name])):
                auc = rank_auc(glance.numpy()[:, None], values.numpy() == value)[0]
                assert abs(auc - 0.5) < 0.06, (name, value, auc)


def test_raw_pixels_give_no_attribute_away():
    motifs = make_motifs(1024, seed=1)
    pixels = raw_pixels(motifs.images, 32)
    for truth in motifs.attributes.values():
        assert cluster_scores(pixels, truth, seeds=1, n_init=3)["nmi"] < 0.05


def test_other_sizes_show_the_same_cloth():
    small, large = (make_motifs(6, size).images.float() for size in (32, 64))
    shrunk = torch.nn.functional.avg_pool2d(large, 2)
    assert (shrunk - small).abs().mean() < 6
    assert make_motifs(3, 1).images.shape == (3, 3, 1, 1)


def test_the_closing_table_names_the_values():
    config = Config.preset("smoke", data="motifs", kmeans_seeds=1)
    assert config.hue == 0.5 and config.crop == (0.5, 1.0)
    motifs = load("motifs", config.size, 256)
    features = dict.fromkeys(scoring.STAGES, torch.rand(256, 4, generator=torch.Generator().manual_seed(0)))
    table = scoring.table(scoring.score(features, motifs, config))
    for name, values in VALUES.items():
        assert all(f"{name} = {value}" in table for value in values)
    assert all(f"class = {name}" in table for name in CLASSES)


def test_no_images_is_an_error():
    with pytest.raises(ValueError, match="at least 1 image"):
        make_motifs(0)
