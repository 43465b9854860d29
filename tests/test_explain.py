"""LIME on heads: a model whose heads are known to look at one quadrant each, and what goes in and out."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from cdlearn.explain import (
    Explanation,
    copies,
    explain_heads,
    lime_in_silence,
    positive_regions,
    segment,
)
from cdlearn.explain.controls import remainder, similarity, weights_matter
from cdlearn.explain.plots import attended, weight_maps


class Quadrants(nn.Module):
    """Heads 0-3 output the redness of a quadrant (row by row), head 4 to the whole image's blueness, head 5 to none.

    ``order`` gives heads 0-3 other quadrants, as other weights would.
    """

    def __init__(self, order=(0, 1, 2, 3)):
        super().__init__()
        self.order = nn.Parameter(torch.tensor(order, dtype=torch.float32))

    def represent(self, x):
        half = x.shape[-1] // 2
        red = x[:, 0].unfold(1, half, half).unfold(2, half, half).mean((3, 4)).flatten(1)[:, self.order.long()]
        rest = torch.stack([x[:, 2].mean((1, 2)), torch.zeros(len(x))], 1)
        return {"backbone": red, "output": torch.cat([red, rest], 1)}


@pytest.fixture
def images():
    return torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_points_at_the_quadrant(images):
    found = explain_heads(Quadrants(), images, [0, 1, 2, 3, 5], 16, samples=100, count=4, hide=0)
    for one in found:
        for head in range(4):
            assert one[head].weights.argmax() == head
            others = np.delete(one[head].weights, head)
            assert np.abs(others).max() < 0.1 * one[head].weights[head]
            assert one[head].fidelity > 0.98
            assert one[head].predicted == pytest.approx(one[head].output, abs=0.03)
            assert one[head].hidden == 0
            mask = positive_regions(one[head], most=1)
            assert mask.sum() == 64
            assert mask[8 * (head // 2) + 4, 8 * (head % 2) + 4]
        assert not positive_regions(one[5]).any()


def test_fidelity_is_each_heads_own(images):
    both = explain_heads(Quadrants(), images[:1], [0, 4], 16, samples=50)[0]
    alone = explain_heads(Quadrants(), images[:1], [0], 16, samples=50)[0]
    assert both[0].fidelity == pytest.approx(alone[0].fidelity)
    assert both[0].fidelity != both[4].fidelity
    assert list(both) == [0, 4]


def test_same_seed_same_result_also_for_the_second_image(images):
    first = explain_heads(Quadrants(), images, [1], 16, samples=60)
    second = explain_heads(Quadrants(), images[1:], [1], 16, samples=60)
    assert np.array_equal(first[1][1].weights, second[0][1].weights)
    other = explain_heads(Quadrants(), images[1:], [1], 16, samples=60, seed=1)
    assert not np.array_equal(first[1][1].weights, other[0][1].weights)


def test_other_weights_other_explanation(images):
    rows = weights_matter(Quadrants(), Quadrants((3, 2, 1, 0)), images, [0, 1], 16, samples=100, count=4, hide=0)
    assert [(row["image"], row["head"]) for row in rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    a = explain_heads(Quadrants(), images, [0], 16, samples=100, count=4, hide=0)[0][0]
    b = explain_heads(Quadrants(), images, [0], 16, samples=100, count=4, hide=0, seed=1)[0][0]
    c = explain_heads(Quadrants((3, 2, 1, 0)), images, [0], 16, samples=100, count=4, hide=0)[0][0]
    assert similarity(a, b, "cosine") > 0.99
    assert similarity(a, c, "cosine") < 0.3
    assert rows[0]["random weights"] == pytest.approx(similarity(a, c))
    assert rows[0]["other copies, size only"] == pytest.approx(similarity(a, b, absolute=True))
    assert rows[0]["fidelity, random weights"] == pytest.approx(c.fidelity)
    second = explain_heads(Quadrants(), images, [0, 1], 16, samples=100, count=4, hide=0)
    assert rows[0]["other head"] == pytest.approx(similarity(a, second[0][1]))
    assert rows[0]["other image"] == pytest.approx(similarity(a, second[1][0]))
    alone = weights_matter(Quadrants(), Quadrants(), images[:1], [0], 16, samples=10)[0]
    assert np.isnan(alone["other head"])
    assert np.isnan(alone["other image"])


def test_remainder(images):
    one = [found[2] for found in explain_heads(Quadrants(), images, [2], 16, samples=100, count=4, hide=0)]
    for row, explained in zip(remainder(Quadrants(), images, one, 16, most=1, hide=0), one, strict=True):
        assert row["all shown"] == pytest.approx(explained.output)
        assert row["only the best"] == pytest.approx(explained.output)
        assert row["all but the best"] == row["all hidden"] == 0
        assert 0 < row["only random"] < 0.5 * explained.output
        assert row["only random"] + row["all but random"] == pytest.approx(explained.output, rel=1e-5)


def test_model_keeps_its_mode(images):
    model = Quadrants().train()
    explain_heads(model, images[:1], [0], 16, samples=4)
    assert model.training


@pytest.mark.parametrize("kind", ["grid", "slic", lambda image: np.indices(image.shape[:2]).sum(0) // 10 * 3 + 7])
@pytest.mark.parametrize("shape", [(16, 16), (33, 20)])
def test_segments_are_numbered_from_0_without_a_gap(kind, shape):
    row, column = np.indices(shape)
    image = np.stack([10 * row % 256, 10 * column % 256, row * column % 256], 2).astype(np.uint8)
    found = segment(image, kind, 16)
    assert found.shape == shape
    assert set(np.unique(found)) == set(range(found.max() + 1))
    assert found.max() >= 1
    if kind == "grid":
        assert found.max() == 15
        assert len(np.unique(found[:8, :5])) <= 6


def test_copies_are_those_of_lime(images):
    image = images[0].permute(1, 2, 0).numpy()
    segments = segment(image, "slic", 6)
    for hide in ("mean", 128, (255, 0, 9)):
        seen = []

        def ask(batch, seen=seen):
            seen.append(batch)
            return np.zeros((len(batch), 1))

        with lime_in_silence() as lime_image:
            explainer = lime_image.LimeImageExplainer(random_state=0)
            ground = copies(image, segments, np.zeros((1, segments.max() + 1)), hide)[0]
            shown, _ = explainer.data_labels(image, ground, segments, ask, 20)
            whole = explainer.explain_instance(
                image,
                ask,
                (0,),
                None if hide == "mean" else hide,
                None,
                num_samples=2,
                segmentation_fn=lambda _: segments,
            )
        assert np.array_equal(np.concatenate(seen[:2]), copies(image, segments, shown, hide))
        assert np.array_equal(whole.image, image)
        assert copies(image, segments, shown, hide).dtype == np.uint8


def test_regions_are_those_of_lime():
    segments = segment(np.zeros((8, 8, 3)), "grid", 16)
    weights = np.random.default_rng(0).normal(size=16)
    one = Explanation(0, segments, weights, 0.0, 1.0, 0.5, 0.5, 0.0)
    with lime_in_silence() as lime_image:
        theirs = lime_image.ImageExplanation(np.zeros((8, 8, 3)), segments)
        theirs.local_exp[0] = sorted(enumerate(weights), key=lambda pair: -abs(pair[1]))
        for most in (1, 3, 5, 16):
            assert np.array_equal(positive_regions(one, most), theirs.get_image_and_mask(0, num_features=most)[1] == 1)


@pytest.mark.parametrize("imported", [True, False])
def test_no_progress_bar(images, monkeypatch, imported):
    """The bar here raises when it is drawn, because TQDM_DISABLE=1 silences every other bar in these tests."""

    def bar(rows):
        raise AssertionError("a progress bar was drawn")

    if imported:
        from lime import lime_image

        monkeypatch.setattr(lime_image, "tqdm", bar)
    else:
        for name in [name for name in sys.modules if name.split(".")[0] == "lime"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr("tqdm.auto.tqdm", bar)
    explain_heads(Quadrants(), images[:1], [0], 16, samples=10)
    from lime import lime_image

    assert lime_image.tqdm is bar


def test_bar_comes_back_after_an_error():
    from lime import lime_image

    bar = lime_image.tqdm
    with pytest.raises(ZeroDivisionError), lime_in_silence():
        raise ZeroDivisionError
    assert lime_image.tqdm is bar


def says(text, *arguments, **named):
    with pytest.raises(ValueError, match=text) as caught:
        explain_heads(*arguments, **named)
    assert "\n" not in str(caught.value)


def test_errors(images):
    model = Quadrants()
    says("no head 6; the model has heads 0 to 5", model, images, [0, 6], 16)
    says("no head -1", model, images, [-1], 16)
    says("uint8 N x 3 x H x W.*float32", model, images.float(), [0], 16)
    says(r"got torch.uint8 \(3, 16, 16\)", model, images[0], [0], 16)
    says("got list", model, [1], [0], 16)
    says("got uint8", model, images.numpy(), [0], 16)
    says("samples 1", model, images, [0], 16, samples=1)
    says("unknown segmentation 'quickshift'", model, images, [0], 16, segments="quickshift")
    says("count 0", model, images, [0], 16, count=0)
    says("hide 'black'", model, images, [0], 16, hide="black")
    says("hide 300", model, images, [0], 16, hide=300)
    says("16 x 16; got the shape", model, images, [0], 16, segments=lambda image: image)
    one, other = (Explanation(0, np.zeros((2, 2)), np.ones(n), 0, 1, 1, 1, 0) for n in (2, 3))
    with pytest.raises(ValueError, match="2 segments cannot be compared with 3"):
        similarity(one, other)
    with pytest.raises(ValueError, match="unknown measure 'pearson'"):
        similarity(one, one, "pearson")
    assert similarity(one, one) == 0


def test_drawings(images):
    found = explain_heads(Quadrants(), images, [0, 1], 16, samples=20)
    rows = [[one[head] for one in found] for head in (0, 1)]
    four = images[[0, 1, 0, 1]]
    for form in ("boundaries", "masked"):
        made = attended(four, rows, form, most=3)
        assert len(made.axes) == 4
        assert "head 1" in [text.get_text() for text in made.axes[2].texts]
    assert (
        attended(four, rows, "masked").axes[0].images[1].get_array()[..., 3].min() == 0
    )  # attended parts are not covered
    drawn = weight_maps(images, rows[0], titles=["a", "b"])
    assert sum(len(axis.texts) for axis in drawn.axes) == 2 * (16 + 1) + 2  # a weight per segment, the largest, names
    with pytest.raises(ValueError, match="unknown form 'outline'"):
        attended(four, rows, "outline")
    with pytest.raises(ValueError, match="2 images for 4 explanations"):
        attended(images, rows)
