"""The generated images: what they promise of themselves."""

import hashlib
import time

import pytest
import torch

from cdlearn.data.shapes import CLASSES, VALUES, make_shapes
from cdlearn.evaluate import cluster_scores, raw_pixels


def test_the_same_seed_gives_the_same_images_on_every_machine():
    images = make_shapes(64, seed=3).images
    assert hashlib.sha256(images.numpy().tobytes()).hexdigest()[:16] == "1b588d2857bafc0f"
    assert not torch.equal(images, make_shapes(64, seed=4).images)


def test_attributes_are_balanced_and_pairwise_independent():
    shapes = make_shapes(800)
    assert shapes.images.shape == (800, 3, 32, 32) and shapes.labels.bincount().tolist() == [200] * len(CLASSES)
    names = list(VALUES)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            both = 2 * shapes.attributes[a] + shapes.attributes[b]
            assert both.bincount().tolist() == [200] * 4, (a, b)
    for number, name in enumerate(CLASSES):
        one = {a: VALUES[a][shapes.attributes[a][shapes.labels == number][0]] for a in ("form", "scale", "layout")}
        assert name == ", ".join(one.values())


def test_the_nuisances_do_not_tell_the_attributes():
    """Mean colour and contrast, which a glance at the pixels gives, are the same for both values of tone and form."""
    shapes = make_shapes(4000)
    mean = shapes.images.float().mean((1, 2, 3))
    for name in ("tone", "layout"):
        first, second = (mean[shapes.attributes[name] == value] for value in (0, 1))
        assert abs(first.mean() - second.mean()) < 0.25 * mean.std(), name


def test_raw_pixels_do_not_give_the_class_away():
    shapes = make_shapes(2000, seed=1)
    assert cluster_scores(raw_pixels(shapes.images, 32), shapes.labels, n_init=3)["nmi"] < 0.2


def test_other_sizes_show_the_same_swatch():
    small, large = (make_shapes(6, size).images.float() for size in (32, 64))
    shrunk = torch.nn.functional.avg_pool2d(large, 2)
    assert (shrunk - small).abs().mean() < 6


def test_thousands_are_made_in_seconds():
    make_shapes(256)
    began = time.perf_counter()
    make_shapes(4096)
    assert time.perf_counter() - began < 4


def test_no_images_is_an_error():
    with pytest.raises(ValueError, match="at least 1 image"):
        make_shapes(0)
