"""BYOL, VICReg and FastSiam: losses and gradients against loops in float64, the target that follows, four views."""

import math

import pytest
import torch

from cdlearn import trainer
from cdlearn.augment import TwoViews, to_size
from cdlearn.config import Config
from cdlearn.methods import build, byol, fastsiam, vicreg
from cdlearn.runtime.errors import UserError

SMALL = {"limit": 48, "size": 16, "batch_size": 16, "epochs": 2, "kmeans_seeds": 1}


def small(method, **settings):
    return Config.preset("smoke", **{**SMALL, "method": method, **settings})


def some_images(n=48):
    return torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


def alike(fast, slow, *inputs):
    """Both scalars agree, and so do their gradients for every input."""
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    mine, theirs = (torch.autograd.grad(value, inputs, retain_graph=True) for value in (fast, slow))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def cosine(a, b):
    return (a * b).sum() / ((a * a).sum().sqrt() * (b * b).sum().sqrt())


def slow_regression(prediction, target):
    """BYOL's Eq. 2 as printed: the squared distance of the normalised rows."""
    total = 0.0
    for p, t in zip(prediction, target, strict=True):
        total = total + ((p / p.norm() - t / t.norm()) ** 2).sum()
    return total / len(prediction)


def slow_spread(column):
    """Standard deviation with n - 1, and 1e-4 under the root."""
    mean = sum(column) / len(column)
    return torch.sqrt(sum((value - mean) ** 2 for value in column) / (len(column) - 1) + 1e-4)


def slow_vicreg(z1, z2):
    n, d = z1.shape
    invariance = sum((z1[i, j] - z2[i, j]) ** 2 for i in range(n) for j in range(d)) / (n * d)
    variance, covariance = 0.0, 0.0
    for z in (z1, z2):
        variance = variance + sum(torch.clamp(1 - slow_spread(z[:, j]), min=0) for j in range(d)) / d / 2
        means = [sum(z[i, j] for i in range(n)) / n for j in range(d)]
        for j in range(d):
            for k in range(d):
                if j != k:
                    of = sum((z[i, j] - means[j]) * (z[i, k] - means[k]) for i in range(n)) / (n - 1)
                    covariance = covariance + of**2 / d
    return 25 * invariance + 25 * variance + covariance, invariance, variance, covariance


def slow_fastsiam(predictions, targets):
    total, count = 0.0, len(targets)
    for i in range(count):
        for row in range(len(targets[0])):
            mean = sum(targets[j][row] for j in range(count) if j != i) / (count - 1)
            total = total - cosine(predictions[i][row], mean)
    return total / count / len(targets[0])


def test_regression_is_the_loop_with_its_gradient_and_leaves_the_target_alone():
    p, t = drawn(6, 5), drawn(6, 5, seed=1)
    alike(byol.regression(p, t), slow_regression(p, t.detach()), p)
    assert torch.autograd.grad(byol.regression(p, t), t, allow_unused=True) == (None,)
    assert byol.regression(p, 3 * p).item() == pytest.approx(0) and byol.regression(p, -p).item() == pytest.approx(4)


def test_the_momentum_rises_from_its_start_to_one_along_half_a_cosine():
    kept = [byol.momentum(step, 100, 0.996) for step in range(101)]
    assert kept[0] == pytest.approx(0.996) and kept[50] == pytest.approx(0.998) and kept[100] == 1
    assert kept == sorted(kept)
    assert kept[25] == pytest.approx(1 - 0.004 * (math.cos(math.pi / 4) + 1) / 2)


def test_byols_loss_is_symmetric_and_adds_both_directions():
    model = build(small("byol", per_view_batch_norm=True)).double()
    with torch.no_grad():
        for weight in model.backbone.parameters():  # a target like the online network would hide a mix-up
            weight.mul_(1.3)
    x1, x2 = torch.rand(2, 6, 3, 16, 16, dtype=torch.float64)
    q1, q2 = (model.predictor(model.online(x)) for x in (x1, x2))
    with torch.no_grad():
        z1, z2 = (model.projector(model.backbone(x)) for x in (x1, x2))
    expected = slow_regression(q1, z2) + slow_regression(q2, z1)
    learned = [p for p in model.parameters() if p.requires_grad]
    alike(model.training_loss(x1, x2)["loss"], expected, *learned)
    torch.testing.assert_close(model.training_loss(x2, x1)["loss"], expected)


def test_byols_target_begins_as_the_online_network_and_follows_it():
    config = small("byol", target_momentum=0.7)
    made = trainer.Trainer(config, some_images())
    model = made.model
    names = [name for name, _ in model.online.named_parameters()]
    theirs = lambda: [p.detach().double().clone() for p in model.online.parameters()]  # noqa: E731
    mine = lambda: [p.detach().double() for part in (model.backbone, model.projector) for p in part.parameters()]  # noqa: E731
    assert all(torch.equal(a, b) for a, b in zip(mine(), theirs(), strict=True))
    followed = theirs()
    for step in range(made.steps):
        made.train_step()
        keep = 1 - 0.3 * (math.cos(math.pi * step / made.steps) + 1) / 2
        followed = [keep * old + (1 - keep) * new for old, new in zip(followed, theirs(), strict=True)]
        for name, one, other in zip(names, mine(), followed, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, msg=lambda told, name=name: f"{name}: {told}")
    assert any(not torch.equal(a, b) for a, b in zip(mine(), theirs(), strict=True))


def test_byols_target_is_saved_but_not_trained():
    made = trainer.Trainer(small("byol"), some_images())
    made.train_step()
    model, state = made.model, made.state()
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in model.named_parameters() if n.startswith(("backbone.", "projector."))}
    assert frozen < set(state["model"]) and all(model.get_parameter(name).grad is None for name in frozen)
    places = [number for number, (name, _) in enumerate(model.named_parameters()) if name not in frozen]
    assert sorted(state["optimizer"]["state"]) == places  # Adam remembers nothing of the target


def test_byol_shows_its_target():
    model = build(small("byol")).eval()
    with torch.no_grad():
        for weight in model.online.parameters():
            weight.zero_()
    x = to_size(some_images(6), 16)
    found = model.represent(x)
    torch.testing.assert_close(found["backbone"], model.backbone(x))
    torch.testing.assert_close(found["output"], model.projector(model.backbone(x)))
    assert found["output"].std() > 0


def test_vicreg_is_the_loops_with_its_gradients():
    z1, z2 = drawn(7, 4), drawn(7, 4, seed=1)
    with torch.no_grad():
        z1[:, 0] *= 5  # spread out enough: no pull
        z2[:, 1] *= 0.01
    terms, slow = vicreg.vicreg_loss(z1, z2), slow_vicreg(z1, z2)
    for name, theirs in zip(("loss", "invariance", "variance", "covariance"), slow, strict=True):
        alike(terms[name], theirs, z1, z2)


def test_vicreg_at_its_best_and_at_its_worst():
    best = 2 * torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert vicreg.vicreg_loss(best, best)["loss"] == 0
    terms = vicreg.vicreg_loss(torch.ones(4, 2), torch.ones(4, 2))
    assert terms["variance"].item() == pytest.approx(1 - 0.01) and terms["covariance"] == 0
    same = best[:, :1].repeat(1, 2)
    assert vicreg.vicreg_loss(same, same)["covariance"].item() == pytest.approx(2 * (16 / 3) ** 2)
    with pytest.raises(ValueError, match="at least 2 images"):
        vicreg.vicreg_loss(torch.ones(1, 4), torch.ones(1, 4))


@pytest.mark.parametrize("views", [2, 4])
def test_fastsiam_is_the_loop_with_its_gradients(views):
    predictions = [drawn(5, 6, seed=s) for s in range(views)]
    targets = [drawn(5, 6, seed=10 + s) for s in range(views)]
    fast = fastsiam.prediction_of_others(predictions, targets)
    alike(fast, slow_fastsiam(predictions, [t.detach() for t in targets]), *predictions)
    assert set(torch.autograd.grad(fast, targets, allow_unused=True)) == {None}


def test_fastsiam_needs_another_view():
    with pytest.raises(ValueError, match="at least 2 views"):
        fastsiam.prediction_of_others([torch.ones(3, 2)], [torch.ones(3, 2)])


def test_fastsiam_puts_its_parts_together():
    model = build(small("fastsiam", per_view_batch_norm=True)).double()
    *views, x = torch.rand(5, 6, 3, 16, 16, dtype=torch.float64)
    targets = [model.projector(model.backbone(view)) for view in views]
    torch.testing.assert_close(targets[0].mean(0), torch.zeros(16, dtype=torch.float64), rtol=0, atol=1e-9)
    predictions = [model.predictor(target) for target in targets]
    expected = slow_fastsiam(predictions, [target.detach() for target in targets])
    alike(model.training_loss(*views, x=x)["loss"], expected, *model.parameters())


def test_the_trainer_shows_as_many_views_as_the_method_asks_for():
    two, four = small("byol", epochs=0, views=9600), small("fastsiam", epochs=0, views=9600)
    assert two.epochs_for(48) == 100 and four.epochs_for(48) == 50
    seen = []
    made = trainer.Trainer(four, some_images())
    made.network = lambda *views, x: seen.append((views, x)) or made.model.training_loss(*views)
    made.train_step()
    views, x = seen[0]
    assert len(views) == 4 and x is None and all(view.shape == (16, 3, 16, 16) for view in views)
    assert len({view.sum().item() for view in views}) == 4


@pytest.mark.parametrize("both", [True, False])
def test_the_first_views_are_the_same_however_many_ranks_draw_them(both):
    images = some_images(8)
    views = TwoViews(16, both=both, count=3)
    whole = views(images, torch.Generator().manual_seed(3))
    assert len(whole) == 3 and both != torch.equal(whole[0], to_size(images, 16))
    for rank in (0, 1):
        part = views(images[4 * rank :][:4], torch.Generator().manual_seed(3), rank, 2)
        for mine, all_of_them in zip(part, whole, strict=True):
            torch.testing.assert_close(mine, all_of_them[4 * rank :][:4])


@pytest.mark.parametrize("method", ["byol", "vicreg", "fastsiam"])
def test_half_precision_features_give_losses_in_float32(method):
    model = build(small(method))
    views = torch.rand(4, 8, 3, 16, 16)[: model.views_per_image]
    with torch.autocast("cpu", torch.bfloat16):
        terms = model.training_loss(*views)
    assert all(value.dtype == torch.float32 and torch.isfinite(value) for value in terms.values())


def test_a_momentum_out_of_range_is_refused():
    with pytest.raises(UserError, match=r"target_momentum 1\.2: must be between 0 and 1"):
        small("byol", target_momentum=1.2)
