"""Measures of disentanglement on codes with known scores: one head per attribute, the same rotated, and noise."""

from itertools import product

import disentangle
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mutual_info_score

from cdlearn import disentanglement, mig_dci

N, HEADS = 1200, 16
draw = np.random.default_rng(0)
ATTRIBUTES = {name: torch.from_numpy(draw.permutation(N) % values) for name, values in (("a", 2), ("b", 2), ("c", 4))}
NOISE = draw.standard_normal((N, HEADS))


def perfect():
    """Heads 0, 1 and 2 to 5 know one attribute or one of its values each; the others know nothing."""
    code = NOISE.copy()
    for head, known in enumerate(
        [ATTRIBUTES["a"] == 1, ATTRIBUTES["b"] == 0, *(ATTRIBUTES["c"] == v for v in range(4))]
    ):
        code[:, head] = 6 * known.numpy() + 0.5 * NOISE[:, head]
    return code


def test_a_perfect_code():
    for reader, least in (("lasso", 0.8), ("forest", 0.9)):
        found = mig_dci.dci(perfect(), ATTRIBUTES, reader)
        assert found["disentanglement"] > least and found["informativeness"] > 0.99, (reader, found)
        assert found["completeness"] > 0.65, (reader, found)  # attribute c needs four heads
    auc, bar = disentanglement.attribute_auc(perfect(), ATTRIBUTES)
    assert auc.shape == (HEADS, 3) and bar < 0.62
    assert (auc > 0.9).nonzero()[1].tolist() == [0, 1, 2, 2, 2, 2]
    assert disentanglement.fraction_encoding_one(auc, bar) == 6 / HEADS
    two = {name: ATTRIBUTES[name] for name in "ab"}
    assert mig_dci.mutual_information_gap(perfect(), two) > 0.9


def test_a_code_turned_knows_as_much_and_is_not_disentangled():
    code = mig_dci.rotated(perfect())
    for reader, most in (("lasso", 0.5), ("forest", 0.5)):
        straight, found = (mig_dci.dci(one, ATTRIBUTES, reader) for one in (perfect(), code))
        assert found["disentanglement"] < min(most, straight["disentanglement"] - 0.3), (reader, found)
        assert found["completeness"] < straight["completeness"] - 0.3, (reader, found)
    assert mig_dci.dci(code, ATTRIBUTES)["informativeness"] > 0.97
    assert mig_dci.mutual_information_gap(code, ATTRIBUTES) < 0.2
    straight = mig_dci.rotated(perfect(), seed=1)
    assert np.allclose(code @ code.T, straight @ straight.T), "a rotation keeps every angle between images"


def test_noise():
    for reader in ("lasso", "forest"):
        found = mig_dci.dci(NOISE, ATTRIBUTES, reader)
        assert found["informativeness"] == pytest.approx((0.5 + 0.5 + 0.25) / 3, abs=0.05)
        assert found["disentanglement"] < 0.35 and found["completeness"] < 0.35
    auc, bar = disentanglement.attribute_auc(NOISE, ATTRIBUTES)
    assert disentanglement.fraction_encoding_one(auc, bar) == 0
    assert abs(auc.mean() - 0.5) < 0.01, "choice and score on different images: no bias"
    assert mig_dci.mutual_information_gap(NOISE, ATTRIBUTES) < 0.01
    assert mig_dci.dci(np.ones((N, 3)), ATTRIBUTES)["disentanglement"] == 0, "constant heads"


def test_dci_of_importances_by_hand():
    assert mig_dci.dci_of(np.eye(3)) == pytest.approx((1, 1))
    assert mig_dci.dci_of(np.ones((3, 3))) == pytest.approx((0, 0))
    assert mig_dci.dci_of(np.array([[1.0, 1.0], [0.0, 0.0]])) == pytest.approx((0, 1))  # one head encodes both
    two_for_one = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert mig_dci.dci_of(two_for_one) == pytest.approx((1, (1 - np.log(2) / np.log(3) + 1) / 2))
    unused = np.array([[3.0, 0.0], [1.0, 1.0]])  # weights 3/5 and 2/5: the second head is as mixed as can be
    assert mig_dci.dci_of(unused)[0] == pytest.approx(3 / 5)
    assert mig_dci.dci_of(np.zeros((2, 2))) == (0, 0)


def test_share_knowing_one_by_hand():
    auc = np.array([[0.9, 0.5], [0.9, 0.9], [0.5, 0.5], [0.5, 0.7]])
    assert [disentanglement.fraction_encoding_one(auc, bar) for bar in (0.6, 0.8, 0.95)] == [0.5, 0.25, 0]


def test_mutual_information_is_scikit_learns():
    heads, values = draw.integers(0, 7, (200, 5)), draw.integers(0, 3, 200)
    theirs = [mutual_info_score(values, heads[:, k]) for k in range(5)]
    np.testing.assert_allclose(mig_dci.mutual_information(heads, values), theirs, atol=1e-12)


def test_too_few_images_and_an_unknown_reader_are_errors():
    with pytest.raises(ValueError, match="too few images"):
        disentanglement.attribute_auc(NOISE[:4], {"c": torch.arange(4)})
    with pytest.raises(KeyError):
        mig_dci.dci(NOISE, ATTRIBUTES, reader="network")


def test_heads_are_compared_with_each_code_pair_by_pair_as_one_family():
    rows = []
    for seed, code, kind in product(range(4), disentangle.CODES, ("it is", "turned")):
        value = 0.1 * seed + (0.05 + 0.001 * seed**2) * (code == "CD, y" and kind == "it is")
        rows.append({"seed": seed, "code": code, "as": kind} | dict.fromkeys(disentangle.TESTED, value))
    found = disentangle.differences(pd.DataFrame(rows))
    assert len(found) == 24 and all(of.tests == 24 and of.pairs == 4 for of in found.values())
    assert found["SimCLR, z", "best"].gap == pytest.approx(0.05 + 0.001 * 14 / 4)
    assert found["SimCLR, z", "best"].holm == pytest.approx(24 * found["SimCLR, z", "best"].p)


def test_the_rotation_is_orthogonal_and_the_one_of_earlier_records():
    heads = np.random.default_rng(3).standard_normal((50, 6))
    q, r = np.linalg.qr(np.random.default_rng(7).standard_normal((6, 6)))
    straight = (heads - heads.mean(0)) / heads.std(0)
    np.testing.assert_allclose(mig_dci.rotated(heads, 7), straight @ (q * np.sign(np.diag(r))), atol=1e-12)
    assert mig_dci.rotated(heads[:, :1]).shape == (50, 1)
