"""Patches of photographs: the same anywhere, two grounds that never meet, nothing to be had from colour or light."""

import numpy as np
import pytest
import torch

from cdlearn.data import load, patches
from cdlearn.data.patches import PHOTOGRAPHS, ZOOMS, cut, make_patches
from cdlearn.evaluate import cluster_scores, knn_accuracy


def test_the_same_seed_gives_the_same_pieces_and_another_seed_others():
    one, two, other = (make_patches(40, 16, seed) for seed in (3, 3, 4))
    assert torch.equal(one.images, two.images) and torch.equal(one.held_out.images, two.held_out.images)
    assert not torch.equal(one.images, other.images)
    assert one.images.shape == (40, 3, 16, 16) and len(one.held_out) == 10
    assert len(set(one.labels.bincount().tolist())) == 1  # every photograph as often as any other


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda photograph: photograph.name)
def test_no_pixel_is_in_both_grounds(photograph, monkeypatch):
    height, width = patches.grey(photograph).shape
    numbers = np.arange(height * width).reshape(height, width)
    monkeypatch.setattr(patches, "grey", lambda _: numbers)
    places = np.random.default_rng(0).random((300, 2))
    places[:4] = [[0, 0], [0, 1 - 1e-12], [1 - 1e-12, 0], [1 - 1e-12, 1 - 1e-12]]
    seen = [set(), set()]
    for held_out in (False, True):
        for side in ZOOMS:
            for place in places:
                piece = cut(photograph, side, place, held_out)
                assert piece.shape == (side, side)
                assert np.array_equal(np.diff(piece, axis=1), np.ones((side, side - 1)))  # whole, and upright
                seen[held_out].update(piece[:: side - 1].ravel().tolist())
    assert not seen[0] & seen[1]
    assert max(seen[0]) == height * width - 1 and min(seen[0]) == 0  # the training ground reaches every edge


def test_neither_colour_nor_light_tells_the_photograph():
    images = make_patches(800, 16, 0)
    numbers = images.images.float()
    plain = torch.cat([numbers.mean((2, 3)), numbers.std((2, 3))], 1)
    assert cluster_scores(plain, images.labels, seeds=1)["nmi"] < 0.06  # 0.02 by chance for 800 images in 8 clusters
    assert knn_accuracy(plain, images.labels) < 0.3


def test_attributes_are_what_the_pieces_were_cut_by():
    images = make_patches(64, 8, 0)
    kinds = [PHOTOGRAPHS[label].kind for label in images.labels]
    assert [images.values["kind"][value] for value in images.attributes["kind"]] == kinds
    assert set(images.attributes["zoom"].tolist()) == set(range(len(ZOOMS)))
    assert all(photograph.credit and photograph.licence for photograph in PHOTOGRAPHS)


def test_blurred_ground_is_left_out():
    cat = next(photograph for photograph in PHOTOGRAPHS if photograph.detail)
    flat, chessboard = np.full((8, 8), 100, np.uint8), np.indices((8, 8)).sum(0).astype(np.uint8) % 2 * 200
    assert patches.steepness(flat) == 0 and patches.steepness(chessboard) == 400
    found = [patches.steepness(cut(cat, 48, place, False)) for place in np.random.default_rng(0).random((100, 2))]
    assert 0.1 < np.mean(np.array(found) < cat.detail) < 0.7  # the cat's picture has such ground


@pytest.mark.parametrize("size, stored, side", [(32, 0, 64), (16, 0, 32), (32, 40, 40), (224, 0, 64)])
def test_load_keeps_twice_the_size_as_far_as_the_photographs_go(size, stored, side):
    assert load("patches", size, 16, stored=stored).images.shape == (16, 3, side, side)


@pytest.mark.parametrize("n, size", [(0, 8), (8, 0)])
def test_no_piece_and_no_pixel_are_refused(n, size):
    with pytest.raises(ValueError, match="at least 1"):
        make_patches(n, size)
