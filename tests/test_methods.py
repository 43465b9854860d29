"""Contrastive Clustering, cluster centres and autoencoders: losses and gradients against loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans

from cdlearn import trainer
from cdlearn.augment import to_size
from cdlearn.config import Config
from cdlearn.methods import autoencoder, build, cc, cluster_centres

GIVEN_K = ("cc", "centres")
SMALL = {"limit": 48, "size": 16, "batch_size": 16, "epochs": 2, "kmeans_seeds": 1}


def small(method, **settings):
    return Config.preset("smoke", **{**SMALL, "method": method, "clusters": 3 if method in GIVEN_K else 0, **settings})


def some_images(n=48):
    return torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


def alike(fast, slow, *inputs):
    """Both scalars agree, and so do their gradients for every input."""
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-12)
    mine, theirs = (torch.autograd.grad(value, inputs, retain_graph=True) for value in (fast, slow))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-11)


def slow_columns(p1, p2, temperature):
    """CC's cluster contrast as printed: loops over the 2K columns."""
    k = p1.shape[1]
    columns = [*p1.T, *p2.T]
    total = 0.0
    for i, mine in enumerate(columns):
        close = [torch.exp(mine @ other / (mine.norm() * other.norm()) / temperature) for other in columns]
        total = total - torch.log(close[(i + k) % (2 * k)] / sum(c for j, c in enumerate(close) if j != i))
    return total / (2 * k)


def slow_imbalance(p):
    n, k = p.shape
    shares = [sum(p[i, j] for i in range(n)) / n for j in range(k)]
    return math.log(k) + sum(share * torch.log(share) for share in shares)


def slow_q(h, middle, alpha=1.0):
    rows = []
    for point in h:
        near = [(1 + ((point - m) ** 2).sum() / alpha) ** (-(alpha + 1) / 2) for m in middle]
        rows.append(torch.stack([value / sum(near) for value in near]))
    return torch.stack(rows)


def slow_p(q):
    n, k = q.shape
    rows = []
    for i in range(n):
        raised = [q[i, j] ** 2 / sum(q[m, j] for m in range(n)) for j in range(k)]
        rows.append(torch.stack([value / sum(raised) for value in raised]))
    return torch.stack(rows)


def slow_divergence(p, q):
    n, k = p.shape
    return sum(p[i, j] * (torch.log(p[i, j]) - torch.log(q[i, j])) for i in range(n) for j in range(k)) / n


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_cluster_contrast_and_imbalance_are_the_loops_with_their_gradients(temperature):
    a, b = drawn(7, 4), drawn(7, 4, seed=1)
    logs = [F.log_softmax(t, dim=1) for t in (a, b)]
    plain = [t.softmax(dim=1) for t in (a, b)]
    alike(cc.cluster_contrast(*logs, temperature), slow_columns(*plain, temperature), a, b)
    alike(cc.imbalance(logs[0]), slow_imbalance(plain[0]), a)


def test_cc_adds_its_terms_for_both_views():
    model = build(small("cc"))
    x1, x2 = torch.rand(2, 8, 3, 16, 16)
    terms = model.training_loss(x1, x2)
    (z1, z2), (l1, l2) = (t.chunk(2) for t in model(torch.cat([x1, x2])))
    p1, p2 = l1.softmax(1), l2.softmax(1)
    expected = slow_columns(z1.T, z2.T, 0.5) + slow_columns(p1, p2, 1.0) + slow_imbalance(p1) + slow_imbalance(p2)
    torch.testing.assert_close(terms["loss"], expected)
    torch.testing.assert_close(terms["loss"], terms["instance"] + terms["cluster"] + terms["imbalance"])


def test_balanced_clusters_cost_nothing_and_one_cluster_for_all_costs_log_k():
    even = torch.eye(4).repeat(3, 1) * 100
    assert cc.imbalance(F.log_softmax(even, 1)).item() == pytest.approx(0, abs=1e-6)
    one = torch.zeros(12, 4).index_fill(1, torch.tensor([2]), 100)
    assert cc.imbalance(F.log_softmax(one, 1)).item() == pytest.approx(math.log(4), abs=1e-6)
    alone = F.log_softmax(even, 1)
    assert cc.cluster_contrast(alone, alone).item() == pytest.approx(math.log(1 + 6 * math.exp(-1)), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("empty", [-1e4, -200.0, -60.0, -30.0])
def test_an_empty_cluster_gives_no_nan_and_can_come_back(dtype, empty):
    logits = [drawn(9, 4, seed=s).detach() for s in (0, 1)]
    for each in logits:
        each[:, 1] += empty
    logits = [each.to(dtype).requires_grad_() for each in logits]
    logs = [F.log_softmax(each.float(), dim=1) for each in logits]
    loss = cc.cluster_contrast(*logs) + cc.imbalance(logs[0]) + cc.imbalance(logs[1])
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(each.grad).all() and each.grad[:, 1].abs().max() > 1e-6 for each in logits)


def test_an_empty_cluster_counts_as_it_would_in_exact_arithmetic():
    """float32 with a column of 1e-30 gives the value of float64, which the eps of the normalisation does not change."""
    a, b = drawn(9, 4).detach(), drawn(9, 4, seed=1).detach()
    a[:, 1], b[:, 1] = a[:, 1] - 70, b[:, 1] - 70
    exact = slow_columns(a.softmax(1), b.softmax(1), 1.0)
    mine = cc.cluster_contrast(F.log_softmax(a.float(), 1), F.log_softmax(b.float(), 1))
    assert mine.item() == pytest.approx(exact.item(), abs=1e-5)


@pytest.mark.parametrize("alpha", [1.0, 2.5])
def test_q_p_and_divergence_are_the_loops_with_their_gradients(alpha):
    h, middle, other = drawn(6, 5), drawn(3, 5, seed=1), drawn(6, 5, seed=2)
    log_q, log_r = (
        cluster_centres.log_assignment(h, middle, alpha),
        cluster_centres.log_assignment(other, middle, alpha),
    )
    q, r = slow_q(h, middle, alpha), slow_q(other, middle, alpha)
    torch.testing.assert_close(log_q.exp(), q)
    torch.testing.assert_close(cluster_centres.log_target(log_q).exp(), slow_p(q))
    alike(cluster_centres.divergence(log_q, log_r), slow_divergence(q, r), h, middle, other)
    alike(
        cluster_centres.divergence(cluster_centres.log_target(log_q), log_q),
        slow_divergence(slow_p(q).detach(), q),
        h,
        middle,
    )


def test_divergence_goes_from_target_to_answer():
    """KL(p || q) is infinite if q is 0 where p is not; KL(q || p) is not."""
    sure, open_ = torch.tensor([[0.999, 0.001]]), torch.tensor([[0.5, 0.5]])
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Categorical(open_), torch.distributions.Categorical(sure)
    )
    assert cluster_centres.divergence(open_.log(), sure.log()).item() == pytest.approx(theirs.item(), abs=1e-5)
    assert cluster_centres.divergence(sure.log(), open_.log()) < cluster_centres.divergence(open_.log(), sure.log())


def test_targets_stand_still():
    """The target p has no gradient, and the anchor moves only the views, not the plain image."""
    h, middle = drawn(6, 5), drawn(3, 5, seed=1)
    assert not cluster_centres.log_target(cluster_centres.log_assignment(h, middle)).requires_grad
    model = build(small("centres", per_view_batch_norm=True))  # so that BatchNorm passes nothing between the views
    x, x1, x2 = (torch.rand(8, 3, 16, 16).requires_grad_() for _ in range(3))
    model.training_loss(x1, x2, x)["anchor"].backward()
    assert (x.grad is None or not x.grad.any()) and x1.grad.any() and x2.grad.any()


def test_the_three_losses_of_centres():
    model = build(small("centres", per_view_batch_norm=True)).double()
    x, x1, x2 = (torch.rand(8, 3, 16, 16, dtype=torch.float64) for _ in range(3))
    terms = model.training_loss(x1, x2, x)
    h, h1, h2 = (model.backbone(v) for v in (x, x1, x2))
    q, q1, q2 = (slow_q(each, model.centres) for each in (h, h1, h2))
    torch.testing.assert_close(terms["instance"], slow_columns(model.projector(h1).T, model.projector(h2).T, 0.5))
    torch.testing.assert_close(terms["clustering"], slow_divergence(slow_p(q), q))
    torch.testing.assert_close(terms["anchor"], slow_divergence(q, q1) + slow_divergence(q, q2))
    torch.testing.assert_close(terms["loss"], terms["instance"] + terms["clustering"] + terms["anchor"])


def test_features_far_from_every_centre_stay_finite():
    h = torch.tensor([[1e8, 0.0], [0.0, 0.0]], requires_grad=True)
    middle = torch.tensor([[0.0, 0.0], [1e-3, 0.0]], requires_grad=True)  # one image lies on a centre
    log_q = cluster_centres.log_assignment(h, middle)
    loss = cluster_centres.divergence(cluster_centres.log_target(log_q), log_q)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(h.grad).all() and torch.isfinite(middle.grad).all()


def test_centres_begin_where_k_means_finds_them_on_the_untrained_backbone():
    config, images = small("centres", batch_size=48), some_images() // 4
    images[::3] += 60
    images[1::3, 0] += 120  # three kinds, so that there is one best place for three centres
    made = trainer.Trainer(config, images)
    before = {name: value.clone() for name, value in made.model.backbone.state_dict().items()}
    made.model.prepare(made.images)
    assert all(torch.equal(value, before[name]) for name, value in made.model.backbone.state_dict().items())
    with torch.no_grad():  # one batch of all images, so that their order does not matter
        h = trainer.fresh_model(config).backbone.train()(to_size(images, 16))
    theirs = KMeans(3, n_init=10, random_state=0).fit(h.numpy())
    apart = torch.cdist(made.model.centres.detach(), torch.from_numpy(theirs.cluster_centers_))
    assert apart.min(1).values.max() < 1e-3 * h.norm(dim=1).mean() and apart.argmin(1).unique().numel() == 3


def test_the_vae_divergence_is_that_of_torch_distributions():
    mean, log_variance = drawn(6, 5), drawn(6, 5, seed=1)
    normal = torch.distributions.Normal
    theirs = torch.distributions.kl_divergence(normal(mean, torch.exp(log_variance / 2)), normal(0.0, 1.0))
    alike(autoencoder.normal_divergence(mean, log_variance), theirs.sum(1).mean(), mean, log_variance)


def test_the_vae_minimises_the_negative_evidence_lower_bound():
    model = build(small("vae")).double()
    x = torch.rand(8, 3, 16, 16, dtype=torch.float64)
    torch.manual_seed(5)
    terms = model.training_loss(x)
    torch.manual_seed(5)
    mean, log_variance = model.encode(model.backbone(x))
    rebuilt = model.decode(mean + torch.randn_like(mean) * torch.exp(log_variance / 2))
    spread = autoencoder.SPREAD
    likelihood = torch.distributions.Normal(rebuilt, spread).log_prob(x).sum((1, 2, 3)).mean()
    values = 3 * 16 * 16
    known = -0.5 * values * math.log(2 * math.pi * spread**2)
    bound = likelihood - known - terms["divergence"]
    torch.testing.assert_close(terms["loss"], -bound * 2 * spread**2 / values)


def test_the_dae_hides_a_quarter_from_the_encoder_and_is_to_rebuild_all():
    model, seen = build(small("dae")), []
    model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.rand(64, 3, 16, 16) + 0.01
    error = model.training_loss(x)["loss"]
    assert (seen[0] == 0).float().mean().item() == pytest.approx(autoencoder.MASKED, abs=0.01)
    assert torch.equal(seen[0][seen[0] > 0], x[seen[0] > 0])
    torch.testing.assert_close(error, F.mse_loss(model.decode(model.encode(model.backbone(seen[0]))[0]), x))
