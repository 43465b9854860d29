"""Each operation against torchvision's functional for the same parameters, and the draws against their rules."""

import pytest
import torch
import torchvision.transforms.v2.functional as TF

from cdlearn import augment, image_ops
from cdlearn.augment import TwoViews


@pytest.fixture
def images():
    return torch.randint(0, 256, (6, 3, 40, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [16, 32, 64])
def test_crop_resize_and_flip(images, size):
    top, left = torch.tensor([0, 3, 10, 0, 7, 20]), torch.tensor([0, 5, 0, 11, 30, 1])
    height, width = torch.tensor([40, 20, 30, 17, 5, 20]), torch.tensor([48, 20, 47, 3, 18, 40])
    flip = torch.tensor([False, True, False, True, False, True])
    x = images.float() / 255
    mine = augment.apply_rows_and_columns(
        x, augment.resize_matrix(top, height, 40, size), augment.resize_matrix(left, width, 48, size, flip)
    )
    for i, image in enumerate(x):
        box = [int(v[i]) for v in (top, left, height, width)]
        theirs = TF.resized_crop(image, *box, [size, size], antialias=True)
        torch.testing.assert_close(mine[i], TF.hflip(theirs) if flip[i] else theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("operation", "theirs"),
    [
        (lambda x, f: augment.blend(x, torch.zeros_like(x), f), TF.adjust_brightness),
        (lambda x, f: augment.blend(x, augment.luma(x).mean((2, 3), keepdim=True), f), TF.adjust_contrast),
        (lambda x, f: augment.blend(x, augment.luma(x), f), TF.adjust_saturation),
        (lambda x, f: augment.adjust_hue(x, f / 4 - 0.25), lambda x, f: TF.adjust_hue(x, f / 4 - 0.25)),
    ],
)
def test_colour(images, operation, theirs):
    x = images.float() / 255
    x[1] = x[1, :1]  # a grey image has no hue to turn
    factors = torch.tensor([0.2, 0.6, 1.0, 1.3, 1.8, 0.0])
    mine = operation(x, factors)
    for i, image in enumerate(x):
        torch.testing.assert_close(mine[i], theirs(image, factors[i].item()), atol=2e-5, rtol=0)


@pytest.mark.parametrize(("size", "kernel"), [(32, 3), (24, 23), (40, 9)])
def test_blur(size, kernel):
    x = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1))
    sigma = torch.tensor([0.3, 1.0, 2.0])
    matrix = augment.blur_matrix(sigma, size, kernel)
    mine = augment.apply_rows_and_columns(x, matrix, matrix)
    for i, image in enumerate(x):
        theirs = TF.gaussian_blur(image, [kernel, kernel], [sigma[i].item()] * 2)
        torch.testing.assert_close(mine[i], theirs, atol=1e-5, rtol=0)
    still = augment.blur_matrix(torch.zeros(3), size, kernel)
    assert torch.equal(augment.apply_rows_and_columns(x, still, still), x)


def jittered(x, draws, in_order=False):
    return image_ops.jitter(x, draws.factors, draws.order, draws.hue_after, draws.hue, in_order)


def test_jitter_applies_four_operations_in_each_images_own_order(images):
    """All 24 orders, against torchvision's functions called one after the other."""
    from itertools import permutations

    names = ("brightness", "contrast", "saturation", "hue")
    functions = [getattr(TF, f"adjust_{name}") for name in names]
    orders = list(permutations(range(4)))
    x = (images[:1].float() / 255)[:, :, :16, :16].repeat(24, 1, 1, 1)
    draws = TwoViews(16).draw(24, 16, 16, "cpu", torch.Generator().manual_seed(2))
    fields = dict(vars(draws))
    fields["order"] = torch.tensor([[op for op in order if op != 3] for order in orders])
    fields["hue_after"] = torch.tensor([order.index(3) for order in orders])
    draws = augment.Draws(**fields)
    mine = jittered(x.clone(), draws)
    sort = draws.hue_after.argsort()
    assert torch.equal(jittered(x[sort], draws.take(sort), in_order=True), mine[sort])
    assert (draws.factors != 1).any(1).sum() > 12
    for i, order in enumerate(orders):
        image = x[i]
        for op in order:
            image = functions[op](image, draws.hue[i].item() if op == 3 else draws.factors[i, op].item())
        torch.testing.assert_close(mine[i], image, atol=5e-5, rtol=0)


def test_same_seed_same_views_other_seed_others(images):
    views = TwoViews(32, blur=0.5)
    first, again, other = (views(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == first[1].shape == (6, 3, 32, 32)
    assert first[0].min() >= 0 and first[0].max() <= 1 and first[0].dtype == torch.float32


def test_every_view_of_every_image_has_its_own_draw():
    one = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8).repeat(16, 1, 1, 1)
    views = torch.cat(TwoViews(32)(one, torch.Generator().manual_seed(0)))
    assert len(views.flatten(1).unique(dim=0)) == 32


def test_draws_keep_their_rules():
    views = TwoViews(32, crop=(0.2, 0.9), blur=0.5)
    draws = views.draw(20_000, 60, 80, "cpu", torch.Generator().manual_seed(0))
    share = draws.height * draws.width / (60 * 80)
    assert share.min() > 0.19 and share.max() < 0.92
    ratio = draws.width / draws.height
    assert ratio.min() > 0.7 and ratio.max() < 1.42
    assert (draws.top >= 0).all() and (draws.top + draws.height <= 60).all()
    assert (draws.left >= 0).all() and (draws.left + draws.width <= 80).all()
    assert draws.flip.float().mean() == pytest.approx(0.5, abs=0.02)
    assert (draws.hue != 0).float().mean() == pytest.approx(0.8, abs=0.02)
    assert draws.gray.float().mean() == pytest.approx(0.2, abs=0.02)
    assert (draws.sigma > 0).float().mean() == pytest.approx(0.5, abs=0.02)
    assert draws.hue.abs().max() <= 0.1 and (draws.factors - 1).abs().max() <= 0.4
    assert (draws.order.sort(1).values == torch.arange(3)).all()
    assert torch.bincount(draws.hue_after).tolist() == pytest.approx([5000] * 4, rel=0.1)


def test_crop_sizes_follow_torchvisions_rule():
    """Areas and ratios have the same means as those of RandomResizedCrop.get_params."""
    from torchvision.transforms import RandomResizedCrop

    torch.manual_seed(0)
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(torch.empty(3, 32, 32), (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(4000)]
    )
    mine = TwoViews(32).draw(4000, 32, 32, "cpu", torch.Generator().manual_seed(0))
    for column, name in enumerate(("top", "left", "height", "width")):
        assert getattr(mine, name).float().mean() == pytest.approx(theirs[:, column].float().mean(), abs=0.5)


def test_one_view_can_stay_plain(images):
    square = images[..., :40]
    first, second = TwoViews(40, both=False)(square, torch.Generator().manual_seed(0))
    assert torch.equal(first, square.float() / 255)
    assert not torch.equal(first, second)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="crop"):
        TwoViews(32, crop=(0.0, 1.0))
    with pytest.raises(ValueError, match="hue"):
        TwoViews(32, hue=0.7)


@pytest.mark.parametrize("jitter", [0.0, 0.8])
def test_parts_of_a_batch_are_the_batch_and_stay_in_its_order(images, monkeypatch, jitter):
    views = TwoViews(16, blur=0.5, jitter=jitter)
    many = images.repeat(64 // len(images) + 1, 1, 1, 1)[:64]
    draws = views.draw(64, *many.shape[-2:], "cpu", torch.Generator().manual_seed(0))
    whole = views.apply_part(many, draws, views.size)
    monkeypatch.setattr(augment, "CACHED", 1)  # parts of 16, the fewest
    assert torch.equal(views.apply(many, draws), whole)
    assert len({view.sum().item() for view in whole}) > 32  # enough different views for a lost order to show


def test_a_single_pixel_can_be_blurred():
    x, _ = TwoViews(1, blur=1.0)(torch.full((2, 3, 4, 4), 128, dtype=torch.uint8))
    assert x.shape == (2, 3, 1, 1) and x.isfinite().all()


@pytest.mark.parametrize("blur", [0.0, 0.5])
def test_the_views_compile_whole_as_the_gpu_preset_asks(images, blur):
    """``fullgraph`` fails at anything that must leave the graph. Tracing is the same on every device."""
    views = TwoViews(24, blur=blur)
    batch = images.repeat(2, 1, 1, 1)
    draws = views.draw(len(batch), 40, 48, "cpu", torch.Generator().manual_seed(0))
    compiled = torch.compile(views.apply_part, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        compiled(batch, draws, views.size), views.apply_part(batch, draws, views.size), atol=1e-5, rtol=0
    )
