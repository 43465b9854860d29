"""The generated images keep their promises."""

import hashlib

import pytest
import torch

from cdlearn.data.shapes import CLASSES, VALUES, make_shapes
from cdlearn.disentanglement import rank_auc
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
    """A glance at the pixels gives mean lightness and contrast. Lightness ranks no value of an attribute above the
    other. Contrast ranks form in part, because dots print less of the cloth than bars, and scale a little."""
    shapes = make_shapes(4000)
    pixels = shapes.images.float().mean(1)
    allowed = {"lightness": {}, "contrast": {"form": 0.35, "scale": 0.15}}
    for name, glance in (("lightness", pixels.mean((1, 2))), ("contrast", pixels.std((1, 2)))):
        for attribute, values in shapes.attributes.items():
            auc = rank_auc(glance.numpy()[:, None], values.numpy() == 1)[0]
            assert abs(auc - 0.5) < allowed[name].get(attribute, 0.05), (name, attribute, auc)


def test_raw_pixels_do_not_give_the_class_away():
    shapes = make_shapes(2000, seed=1)
    assert cluster_scores(raw_pixels(shapes.images, 32), shapes.labels, n_init=3)["nmi"] < 0.2


def test_other_sizes_show_the_same_swatch():
    small, large = (make_shapes(6, size).images.float() for size in (32, 64))
    shrunk = torch.nn.functional.avg_pool2d(large, 2)
    assert (shrunk - small).abs().mean() < 6


def test_no_images_is_an_error():
    with pytest.raises(ValueError, match="at least 1 image"):
        make_shapes(0)
