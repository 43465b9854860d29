"""Views of several sizes: losses over more than two views against loops, small views, growing ones, resumed runs."""

import os
import signal

import pytest
import torch
import torch.nn.functional as F
from test_losses import slow_correlation_loss, slow_entropy, slow_mean_entropy, slow_nt_xent
from test_negative_free import alike, cosine, drawn, slow_regression, slow_vicreg

from cdlearn import losses, trainer
from cdlearn.augment import TwoViews
from cdlearn.config import MULTI_CROP, Config
from cdlearn.methods import METHODS, Method, build, byol, cc, fastsiam, vicreg
from cdlearn.runtime.errors import UserError

SMALL = {"limit": 48, "size": 16, "batch_size": 16, "epochs": 3, "clusters": 4, "kmeans_seeds": 1}
SEVERAL = {"small_views": 2, "small_size": 8, "grow": "8@0.3,12@0.6"}  # of 9 steps, 3 at each size


def small(method="cd", **settings):
    return Config.preset("smoke", **{**SMALL, "method": method, **settings})


def some_images(n=48, side=32):
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def pairs_of(count, large=2):
    """Numbers of the views that are compared: the first of the two is a large one."""
    return [(i, j) for i in range(large) for j in range(count) if j > i]


# losses


def test_the_pairs_are_a_large_view_and_any_other():
    assert pairs_of(2) == [(0, 1)] and pairs_of(4) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)]
    seen = []
    losses.over_pairs(lambda a, b, word: seen.append((a, b, word)) or 1.0, range(4), "word")
    assert seen == [(i, j, "word") for i, j in pairs_of(4)]
    with pytest.raises(ValueError, match="at least 2 views"):
        losses.over_pairs(losses.nt_xent, [torch.ones(2, 2)], 0.5)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("modified", [False, True])
def test_cds_loss_over_views_is_the_loops_with_its_gradients(count, modified):
    z, logits = ([drawn(5, d, seed=10 * d + v) for v in range(count)] for d in (4, 3))
    y = [each.sigmoid() for each in logits]
    feature = slow_correlation_loss if modified else lambda a, b, t: slow_nt_xent(a.T, b.T, t)
    entropy = slow_mean_entropy if modified else slow_entropy
    pairs = pairs_of(count)
    expected = sum(slow_nt_xent(z[i], z[j], 0.3) for i, j in pairs) / len(pairs)
    expected = expected + sum(feature(y[i], y[j], 0.7) for i, j in pairs) / len(pairs)
    expected = expected - 0.9 * sum(map(entropy, y)) / count
    words = ("correlation", "mean") if modified else ("cosine", "outputs")
    found = losses.cd_loss_of_views(z, logits, 0.9, 0.3, 0.7, *words)
    alike(found["loss"], expected, *z, *logits)
    if count == 2:
        of_two = losses.cd_loss(*z, *logits, 0.9, 0.3, 0.7, *words)
        assert all(torch.equal(found[name], value) for name, value in of_two.items())


@pytest.mark.parametrize("count", [2, 4])
def test_the_other_losses_over_views_are_the_loops_with_their_gradients(count):
    z = [drawn(6, 4, seed=v) for v in range(count)]
    targets = [drawn(6, 4, seed=20 + v) for v in range(2)]
    ordered = [(i, j) for i in range(count) for j in range(2) if i != j]
    expected = 2 * sum(slow_regression(z[i], targets[j]) for i, j in ordered) / len(ordered)
    alike(byol.regression_of_views(z, [target.detach() for target in targets]), expected, *z)
    pairs = pairs_of(count)
    alike(
        vicreg.vicreg_loss(*z)["invariance"],
        sum(((z[i] - z[j]) ** 2).mean() for i, j in pairs) / len(pairs),
        *z,
    )
    for place, name in ((2, "variance"), (3, "covariance")):  # each view's own, from the loops over two equal views
        alike(vicreg.vicreg_loss(*z)[name], sum(slow_vicreg(v, v)[place] for v in z) / count, *z)


def test_fastsiam_predicts_the_mean_of_the_other_large_views():
    predictions, targets = [drawn(6, 4, seed=v) for v in range(5)], [drawn(6, 4, seed=20 + v) for v in range(3)]
    total = 0.0
    for view, prediction in enumerate(predictions):
        others = sum(target.detach() for place, target in enumerate(targets) if place != view)
        total = total - sum(cosine(a, b) for a, b in zip(prediction, others, strict=True)) / 6
    alike(fastsiam.prediction_of_others(predictions, targets), total / 5, *predictions)


# methods


def test_the_settings_know_which_methods_take_several_sizes():
    assert set(MULTI_CROP) == {name for name, method in METHODS.items() if method.multi_crop}


def each_alone(model, views):
    """What the network makes of the views of each size, all of one size together, one list per view."""
    found = []
    for size in dict.fromkeys(view.shape[-1] for view in views):
        same = [view for view in views if view.shape[-1] == size]
        result = model(torch.cat(same))
        parts = result if isinstance(result, tuple) else (result,)
        found += zip(*(part.chunk(len(same)) for part in parts), strict=True)
    return [list(each) for each in zip(*found, strict=True)]


@pytest.mark.parametrize("method", ["cd", "simclr", "cc", "vicreg", "fastsiam"])
def test_every_size_passes_by_itself_once_and_all_views_reach_the_loss(method):
    model = build(small(method)).double()
    large = model.views_per_image
    views = [*torch.rand(large, 6, 3, 16, 16).double(), *torch.rand(3, 6, 3, 8, 8).double()]
    seen = []
    model.backbone.register_forward_pre_hook(lambda module, given: seen.append(tuple(given[0].shape)))
    found = model.training_loss(*views)["loss"]
    assert seen == [(6 * large, 3, 16, 16), (18, 3, 8, 8)]
    parts = each_alone(model, views)
    if method == "cd":
        expected = losses.cd_loss_of_views(*parts)["loss"]
    elif method == "simclr":
        expected = losses.over_pairs(losses.instance_loss, parts[0], 0.5)
    elif method == "vicreg":
        expected = vicreg.vicreg_loss(*parts[0])["loss"]
    elif method == "fastsiam":
        expected = fastsiam.prediction_of_others(parts[0], parts[1][:large])
    else:
        log_p = [F.log_softmax(each, dim=1) for each in parts[1]]
        expected = losses.over_pairs(losses.instance_loss, parts[0], 0.5)
        expected = expected + losses.over_pairs(cc.cluster_contrast, log_p, 1.0)
        expected = expected + 2 * sum(map(cc.imbalance, log_p)) / 5
    alike(found, expected, *[p for p in model.parameters() if p.requires_grad])


def test_byols_target_sees_the_large_views_only():
    model = build(small("byol")).double()
    views, seen = [*torch.rand(2, 6, 3, 16, 16).double(), *torch.rand(3, 6, 3, 8, 8).double()], []
    model.backbone.register_forward_pre_hook(lambda module, given: seen.append(tuple(given[0].shape)))
    found = model.training_loss(*views)["loss"]
    assert seen == [(12, 3, 16, 16)]
    predictions = each_alone(lambda x: model.predictor(model.online(x)), views)[0]
    expected = byol.regression_of_views(predictions, model.target(torch.cat(views[:2])).chunk(2))
    alike(found, expected, *model.online.parameters(), *model.predictor.parameters())


def test_views_normalised_apart_pass_one_by_one():
    model, seen = build(small(per_view_batch_norm=True)), []
    model.backbone.register_forward_pre_hook(lambda module, given: seen.append(tuple(given[0].shape)))
    model.training_loss(*torch.rand(2, 6, 3, 16, 16), *torch.rand(2, 6, 3, 8, 8))
    assert seen == [(6, 3, 16, 16)] * 2 + [(6, 3, 8, 8)] * 2


# views


@pytest.mark.parametrize("both", [True, False])
def test_small_views_leave_the_large_ones_as_they_are(both):
    images, named = some_images(8), dict(both=both, blur=0.5)
    plain = TwoViews(16, **named)(images, torch.Generator().manual_seed(1))
    more = TwoViews(16, **named, small=3, small_size=9)(images, torch.Generator().manual_seed(1))
    assert [tuple(view.shape) for view in more] == [(8, 3, 16, 16)] * 2 + [(8, 3, 9, 9)] * 3
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(more, plain, strict=False))
    flat = torch.cat(more[2:]).flatten(1)
    assert len({row.sum().item() for row in flat}) == len(flat), "each small view has its own draws"
    for rank in (0, 1):
        generator = torch.Generator().manual_seed(1)
        part = TwoViews(16, **named, small=3, small_size=9)(images[4 * rank :][:4], generator, rank, 2)
        for mine, whole in zip(part, more, strict=True):
            torch.testing.assert_close(mine, whole[4 * rank :][:4])


def test_small_views_are_cut_from_the_stored_pixels_within_their_own_crop(monkeypatch):
    """At 64 px, crops of 4 to 9% of the area are 9 to 23 px along a side, whatever the size of the views."""
    drawn_for, draw = [], TwoViews.draw
    monkeypatch.setattr(TwoViews, "draw", lambda *given: drawn_for.append(draw(*given)) or drawn_for[-1])
    views = TwoViews(16, (0.5, 1.0), small=2, small_size=8, small_crop=(0.04, 0.09))
    views(some_images(200, side=64), torch.Generator().manual_seed(0))
    large, little = ((draws.height * draws.width / 64**2) for draws in drawn_for)
    assert large.min() > 0.45 and little.min() > 0.03 and little.max() < 0.1 and little.std() > 0.01
    assert (len(large), len(little)) == (400, 400)


def test_the_blur_of_a_view_is_in_proportion_to_its_size():
    draws = [TwoViews(32, blur=1.0).draw(500, 32, 32, "cpu", torch.Generator().manual_seed(0), s) for s in (32, 16)]
    torch.testing.assert_close(draws[0].sigma, 2 * draws[1].sigma)


def test_large_views_grow_with_the_run():
    views = TwoViews(16, both=False, grow=((8, 0.3), (12, 0.6)), small=1, small_size=5)
    for done, size in ((0.0, 8), (0.29, 8), (0.3, 12), (0.59, 12), (0.6, 16), (0.99, 16), (1.0, 16)):
        assert [view.shape[-1] for view in views(some_images(2), done=done)] == [size, size, 5]
    assert [view.shape[-1] for view in views(some_images(2))] == [16, 16, 5], "outside of a run they are full size"


def test_what_is_made_from_settings_outside_of_training_is_two_full_views():
    """The measures of agreement between views, and the notebooks, unpack two."""
    x1, x2 = TwoViews.of(small(**SEVERAL))(some_images(4))
    assert x1.shape == x2.shape == (4, 3, 16, 16)


# settings and runs


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (dict(grow="40@0.3"), "grow '40@0.3': must be sizes below 16 with rising fractions"),
        (dict(grow="16@0.3"), "grow '16@0.3'"),
        (dict(grow="8@0.5,12@0.5"), "rising fractions"),
        (dict(grow="8@1.0"), "rising fractions"),
        (dict(grow="8@0.0"), "rising fractions"),
        (dict(grow="8"), "as in 16@0.4,24@0.75"),
        (dict(grow="8@0.5,"), "as in 16@0.4,24@0.75"),
        (dict(small_views=-1), "small_views -1: must be at least 0"),
        (dict(small_size=0), "small_size 0"),
        (dict(small_crop=(0.5, 0.1)), "small_crop (0.5, 0.1): the lower fraction of the area comes first"),
        (dict(small_crop=(0.0, 0.1)), "small_crop (0.0, 0.1): must be above 0"),
        (dict(small_views=2, method="dac"), "small_views 2: dac takes views of one size only"),
        (dict(grow="8@0.5", method="vae"), "grow 8@0.5: vae takes views of one size only; leave it away, or take"),
    ],
)
def test_settings_that_cannot_be_are_one_line(settings, says):
    with pytest.raises(UserError) as error:
        small(**settings)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_settings_survive_the_way_to_disk():
    config = small(**SEVERAL, small_crop=(0.1, 0.3))
    assert Config.from_dict(config.as_dict()) == config and config.as_dict()["small_crop"] == [0.1, 0.3]
    assert config.sizes() == ((8, 0.3), (12, 0.6)) and small(grow="8@.3, 12@0.6").sizes() == config.sizes()
    assert small().sizes() == ()
    older = {name: value for name, value in small().as_dict().items() if "small" not in name and name != "grow"}
    assert Config.from_dict(older) == small()


class OfANotebook(Method):
    def training_loss(self, x1, x2, x=None):
        raise AssertionError


def test_a_model_of_ones_own_says_what_it_takes():
    with pytest.raises(UserError, match="OfANotebook takes views of one size only; leave small_views and grow away"):
        trainer.fit(small(small_views=1), some_images(), model=OfANotebook())
    with pytest.raises(UserError, match="Linear is no method of cdlearn; make it a subclass of"):
        trainer.fit(small(), some_images(), model=torch.nn.Linear(2, 2))


@pytest.mark.parametrize("method", MULTI_CROP)
def test_a_run_counts_what_it_shows_and_uses_every_size(method, monkeypatch):
    shown = []
    of = TwoViews.__call__
    monkeypatch.setattr(TwoViews, "__call__", lambda *given: shown.append(of(*given)) or shown[-1])
    model = trainer.fit(small(method, **SEVERAL), some_images())
    large, row = model.views_per_image, model.history[-1]
    assert [views[0].shape[-1] for views in shown] == [8] * 3 + [12] * 3 + [16] * 3
    assert all(len(views) == large + 2 and views[-1].shape[-1] == 8 for views in shown)
    assert row["views/s"] == pytest.approx((large + 2) * 48 / row["seconds"], rel=0.1)
    by_views = small(method, small_views=4, epochs=0, views=9600)
    assert by_views.epochs_for(48) == round(9600 / ((large + 4) * 48))
    assert small(method, epochs=0, views=9600).epochs_for(48) == round(9600 / (large * 48))


@pytest.mark.parametrize(("method", "stop_at"), [("cd", 1), ("cd", 3), ("cd", 7), ("byol", 5), ("fastsiam", 6)])
def test_a_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one(tmp_path, monkeypatch, method, stop_at):
    config, images = small(method, **SEVERAL), some_images()
    whole = trainer.fit(config, images)
    step = trainer.Trainer.train_step

    def stopping(self):
        result = step(self)
        if self.step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "train_step", stopping)
        with pytest.raises(trainer.Interrupted):
            trainer.fit(config, images, tmp_path)
    resumed = trainer.fit(config, images, tmp_path, resume=True)
    for mine, theirs in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
