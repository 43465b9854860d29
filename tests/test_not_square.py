"""One place decides what the network sees of an image that is not square, and every way goes through it."""

import numpy as np
import pytest
import torch
from PIL import Image
from untrained import run_on

import cdlearn
from cdlearn.analysis import heads
from cdlearn.augment import central_square, to_size
from cdlearn.data import ImageSet
from cdlearn.evaluate import embed, extra_metrics, raw_pixels
from cdlearn.explain import controls, explain_heads, plots
from cdlearn.results.plots import heads as picture_of_heads

WIDE = torch.randint(0, 256, (4, 3, 64, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
SHAPES = {"wide": WIDE, "tall": WIDE.transpose(2, 3), "odd": WIDE[..., :65, :101]}


def test_the_central_square():
    assert torch.equal(central_square(WIDE), WIDE[..., 32:96])
    assert torch.equal(central_square(SHAPES["tall"]), SHAPES["tall"][:, :, 32:96])
    assert central_square(WIDE[..., :64]).data_ptr() == WIDE.data_ptr() and central_square(SHAPES["odd"]).shape[2:] == (
        64,
        64,
    )
    assert torch.equal(to_size(WIDE, 16), to_size(WIDE[..., 32:96], 16))


@pytest.mark.parametrize("name", SHAPES)
def test_every_way_sees_the_same(tmp_path, name):
    images = SHAPES[name]
    square = central_square(images)
    encoder = cdlearn.load(run_on("shapes", tmp_path / "run", stored=64), stage="output")
    model, config = encoder.model()
    seen = embed(model, square, config.size, amp=False)["output"].numpy()
    for given in (images, ImageSet(images), images.permute(0, 2, 3, 1).numpy(), list(images)):
        assert np.allclose(encoder.transform(given), seen, atol=1e-2)  # bf16 where it is fast
    pictures = [Image.fromarray(one.permute(1, 2, 0).numpy()) for one in images]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    if name != "odd":  # Pillow cuts odd margins half a pixel further
        assert np.allclose(encoder.transform(pictures), seen, atol=1e-2)
        assert np.allclose(encoder.transform([tmp_path / f"{number}.png" for number in range(4)]), seen, atol=1e-2)
    explained = explain_heads(model, images, [0, 3], config.size, samples=20)
    for one, row in zip(explained, seen, strict=True):
        assert one[0].output == pytest.approx(row[0], abs=1e-6) and one[3].output == pytest.approx(row[3], abs=1e-6)
        assert one[0].segments.shape == square.shape[2:]
    same = explain_heads(model, square, [0], config.size, samples=20)
    assert all(np.array_equal(a[0].weights, b[0].weights) for a, b in zip(explained, same, strict=True))
    firsts = [one[0] for one in explained]
    assert controls.remainder(model, images, firsts, config.size) == controls.remainder(
        model, square, firsts, config.size
    )
    for drawn in (plots.attended(images, [firsts]), plots.weight_maps(images, firsts)):
        assert all(of.get_array().shape[:2] == (64, 64) for axis in drawn.axes for of in axis.images[:1])
    gallery = {0: (torch.tensor([0, 1]), torch.tensor([2, 3]))}
    shown = [axis.images[0].get_array() for axis in picture_of_heads(images, gallery, size=64).axes if axis.images]
    assert np.array_equal(shown[0], square[0].permute(1, 2, 0)) and len(shown) == 4
    assert torch.equal(raw_pixels(images, 16), raw_pixels(square, 16))
    for measure in (extra_metrics.averaged_over_crops, extra_metrics.agreement_between_views):
        one, other = (measure(model, of, config) for of in (images, square))
        assert all(np.allclose(one[stage], other[stage]) for stage in one)
    assert np.array_equal(*(heads.agreement(model, of, config) for of in (images, square)))
