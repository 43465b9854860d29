"""The methods of Tables 2 and 3 that go through phases or play games: losses and gradients against loops in float64."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import make_blobs
from sklearn.linear_model import Lasso
from sklearn.metrics import adjusted_rand_score
from test_methods import alike, drawn, slow_divergence, slow_imbalance, slow_q, small, some_images

from cdlearn import trainer
from cdlearn.methods import build, dac, dccm, dcgan, decnn, graph_linkage, jule, per_image, pica
from cdlearn.methods.cluster_centres import divergence, log_assignment, log_target


def with_k(method, **settings):
    return small(method, **{"clusters": 3, **settings})


def entropy(same, share, tiny):
    """Binary cross entropy of one share."""
    return -torch.log(share + tiny) if same else -torch.log(1 - share + tiny)


def finite(loss, *inputs):
    """A scalar that is finite, and so is its gradient for every input."""
    return all(torch.isfinite(value).all() for value in (loss, *torch.autograd.grad(loss, inputs)))


# DEC


def slow_target(q):
    """DEC's Eq. 3, image by image."""
    n, k = q.shape
    frequency = [sum(q[i, j] for i in range(n)) for j in range(k)]
    raised = [[q[i, j] ** 2 / frequency[j] for j in range(k)] for i in range(n)]
    return torch.tensor([[value / sum(row) for value in row] for row in raised], dtype=q.dtype)


@pytest.mark.parametrize("n", [1, 7])
def test_decs_target_and_loss_are_the_loops_with_their_gradients(n):
    h, middle = drawn(n, 5), drawn(3, 5, seed=1)
    log_q, q = log_assignment(h, middle), slow_q(h, middle)
    target = log_target(log_q.detach())
    torch.testing.assert_close(target.exp(), slow_target(q.detach()))
    alike(divergence(target, log_q), slow_divergence(slow_target(q.detach()), q), h, middle)


def test_decs_target_takes_an_empty_cluster():
    h = drawn(6, 2).detach().float().requires_grad_()
    middle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1e15, 1e15]], requires_grad=True)
    log_q = log_assignment(h, middle)
    assert torch.isfinite(log_target(log_q)).all()
    assert finite(divergence(log_target(log_q.detach()), log_q), h, middle)


def test_dec_agrees_with_clustpy():
    """Skipped where ClustPy is not installed.

    It is no requirement: it comes as source only (0.0.3), so that every learner would need a C compiler, and it refuses
    the oldest Python and SciPy that work here. ``pip install clustpy`` adds it.
    """
    theirs = pytest.importorskip("clustpy.deep.dec")
    h, middle = drawn(9, 5), drawn(4, 5, seed=1)
    log_q, q = log_assignment(h, middle), theirs._dec_predict(middle, h, 1.0, None)
    torch.testing.assert_close(log_q.exp(), q)
    target = theirs._dec_compression_value(q.detach())
    torch.testing.assert_close(log_target(log_q.detach()).exp(), target)
    # their loss is the cross entropy, which differs from ours by the target's entropy
    same = theirs._dec_compression_loss_fn(q) + (target * target.log()).sum(1).mean()
    torch.testing.assert_close(divergence(target.log(), log_q), same, rtol=0, atol=1e-6)
    mine, other = (torch.autograd.grad(value, (h, middle)) for value in (divergence(target.log(), log_q), same))
    torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)


def test_dec_learns_to_rebuild_first_and_to_cluster_then():
    made = trainer.Trainer(with_k("dec", epochs=2), some_images())
    codes = made.model.code.weight.clone()
    for _ in range(3):
        made.train_step()
    assert not made.model.clustering and not torch.equal(made.model.code.weight, codes)
    begun, rested = made.model.centres.clone(), made.model.decoder[0].weight.clone()
    made.train_step()
    z = per_image.encoded(made.model, lambda x: made.model.encode(made.model.backbone(x))[0], made.images, made.config)
    assert made.model.clustering and not torch.equal(made.model.centres, begun)
    assert torch.equal(made.model.decoder[0].weight, rested)
    assert made.model.target.of.shape == (48, 3)
    torch.testing.assert_close(made.model.target.of.exp().sum(1), torch.ones(48))
    near = torch.cdist(z, made.model.centres.detach()).argmin(1)
    assert near.unique().numel() == 3, "K-means put the centres among the codes"


def test_each_image_moves_towards_its_own_target():
    """The target of a batch is looked up by the images' numbers, whatever their order."""
    made = trainer.Trainer(with_k("dec", epochs=2, batch_size=48), some_images())
    made.step = 1
    model, x = made.model.train(), torch.rand(4, 3, 16, 16)
    model.target.of = torch.log_softmax(torch.randn(48, 3), dim=1)
    index = torch.tensor([40, 3, 17, 0])
    model.begin_step(1, 2, index)
    expected = slow_divergence(model.target.of[index].exp(), model.log_q(x).exp())
    torch.testing.assert_close(model.training_loss(x)["loss"], expected)


# DAC and DCCM


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 4)])
def test_the_pair_loss_is_the_loop_with_its_gradient(n, m):
    a, b = drawn(n, 3), drawn(m, 3, seed=1)
    p1, p2 = a.softmax(1), b.softmax(1)
    same, used = torch.arange(n * m).view(n, m) % 2 == 0, torch.arange(n * m).view(n, m) % 3 < 2
    costs = []
    for i in range(n):
        for j in range(m):
            if used[i, j]:
                costs.append(entropy(same[i, j], (p1[i] / p1[i].norm()) @ (p2[j] / p2[j].norm()), dac.TINY))
    alike(dac.pair_loss(same, dac.cosines(p1, p2), used), sum(costs) / len(costs), a, b)


def test_pairs_that_are_wrong_beyond_doubt_and_no_pairs_at_all_stay_finite():
    logits = (60 * torch.eye(3).repeat(2, 1)).requires_grad_()
    p = logits.softmax(1)
    assert finite(dac.pair_loss(torch.eye(6) == 0, dac.cosines(p, p), torch.ones(6, 6, dtype=torch.bool)), logits)
    p = logits.softmax(1)
    none = dac.pair_loss(torch.eye(6) > 0, dac.cosines(p, p), torch.zeros(6, 6, dtype=torch.bool))
    assert none == 0 and finite(none, logits)


def test_dacs_thresholds_start_apart_and_meet_in_the_last_epoch():
    model = build(with_k("dac"))
    model.begin_epoch(0, 9, some_images())
    assert model.relaxed == 0
    x1, x2, x = torch.rand(3, 8, 3, 16, 16)
    expected = model(x)  # in training mode, as the plain images pass
    known = dac.cosines(expected, expected)
    used = (known >= 0.95) | (known < 0.455)
    terms = model.training_loss(x1, x2, x)
    assert terms["used"].item() == pytest.approx(used.float().mean().item())
    p1, p2 = model(torch.cat([x1, x2])).chunk(2)
    torch.testing.assert_close(terms["loss"], dac.pair_loss(known >= 0.95, dac.cosines(p1, p2), used))
    model.begin_epoch(8, 9, some_images())
    assert model.relaxed.item() == pytest.approx(0.45)
    assert model.training_loss(x1, x2, x)["used"] == 1


@pytest.mark.parametrize("n", [1, 6])
def test_dccms_label_loss_is_the_loop_with_its_gradient(n):
    a = drawn(n, 3)
    p, labels, sure = a.softmax(1), torch.arange(n) % 3, torch.arange(n) % 2 == 0
    slow = 0
    for i in range(n):
        if sure[i]:
            slow = slow + sum(entropy(labels[i] == j, p[i, j], dac.TINY) for j in range(3)) / 3
    alike(dccm.label_loss(p, labels, sure), slow / n, a)
    assert dccm.label_loss(p, labels, torch.zeros(n, dtype=torch.bool)) == 0


def test_dccm_compares_an_image_with_one_of_its_graph_and_with_one_outside():
    labels = torch.tensor([0, 1, 0, 1, 0, 2])
    same = labels.unsqueeze(1) == labels
    seen = set()
    for _ in range(50):
        inside, outside, some = dccm.drawn_pairs(same)
        assert (labels[inside] == labels).all() and (labels[outside] != labels).all() and some.all()
        assert (inside[:5] != torch.arange(5)).all() and inside[5] == 5, "itself only where there is no other"
        seen.add((inside[0].item(), outside[0].item()))
    assert {i for i, _ in seen} == {2, 4} and {o for _, o in seen} == {1, 3, 5}
    assert not dccm.drawn_pairs(torch.ones(3, 3, dtype=torch.bool))[2].any()


@pytest.mark.parametrize("alone", [False, True])
def test_dccms_mutual_information_is_the_loop(alone, monkeypatch):
    model = build(with_k("dccm")).double()
    n = 1 if alone else 4
    channels = model.discriminator[0].in_features - 3
    logits, early = drawn(n, 3), drawn(n, channels * dccm.PLACES**2, seed=1)
    inside, outside = torch.arange(n).roll(1), torch.arange(n).roll(2)
    some = torch.tensor([not alone] * n)
    monkeypatch.setattr(dccm, "drawn_pairs", lambda same: (inside, outside, some))
    own = related = strange = 0
    for i in range(n):
        for place in range(dccm.PLACES**2):

            def score(j, i=i, place=place):
                seen = early[j].view(channels, dccm.PLACES**2)[:, place]
                return model.discriminator(torch.cat([seen, logits[i]]))

            own = own - torch.log(torch.sigmoid(score(i)))
            related = related - torch.log(torch.sigmoid(score(inside[i])))
            strange = strange - torch.log(1 - torch.sigmoid(score(outside[i]))) * some[i]
    slow = ((own + related) / 2 + strange).squeeze() / (n * dccm.PLACES**2)
    alike(model.local_loss(logits, early, torch.ones(n, n, dtype=torch.bool)), slow, logits, early)


def test_dccm_adds_its_terms_and_its_targets_stand_still():
    model = build(with_k("dccm")).double()
    x1, x2, x = (torch.rand(8, 3, 16, 16, dtype=torch.float64).requires_grad_() for _ in range(3))
    terms = model.training_loss(x1, x2, x)
    torch.testing.assert_close(terms["loss"], terms["graph"] + 5 * terms["labels"] + 0.05 * terms["local"])
    terms["loss"].backward()
    assert x.grad is None and x1.grad.any() and x2.grad.any()


def test_a_cluster_that_is_empty_keeps_dac_and_dccm_finite():
    for method in ("dac", "dccm"):
        model = build(with_k(method))
        model.clusters[-1].bias.data[1] = -1e4
        x1, x2, x = torch.rand(3, 8, 3, 16, 16)
        loss = model.training_loss(x1, x2, x)["loss"]
        loss.backward()
        assert torch.isfinite(loss) and all(torch.isfinite(p.grad).all() for p in model.parameters())


# PICA


@pytest.mark.parametrize("n", [1, 7])
def test_picas_loss_is_the_loop_with_its_gradient(n):
    a, b = drawn(n, 4), drawn(n, 4, seed=1)
    p, p1 = a.softmax(1), b.softmax(1)
    slow = 0
    for j in range(4):
        close = [torch.exp(p[:, j] @ p1[:, k] / (p[:, j].norm() * p1[:, k].norm())) for k in range(4)]
        slow = slow - torch.log(close[j] / sum(close)) / 4
    alike(pica.uncertainty(a.log_softmax(1), b.log_softmax(1)), slow, a, b)


def test_pica_adds_its_terms_for_both_heads():
    model = build(with_k("pica")).double()
    x1, x = torch.rand(2, 8, 3, 16, 16, dtype=torch.float64)
    terms = model.training_loss(x1, x1, x)
    (few, few1), (many, many1) = (each.chunk(2) for each in model(torch.cat([x, x1])))
    assert many.shape == (8, 21)
    parts = [pica.uncertainty(a.log_softmax(1), b.log_softmax(1)) for a, b in ((few, few1), (many, many1))]
    expected = sum(parts) + 2 * slow_imbalance(few.softmax(1)) + 2 * slow_imbalance(many.softmax(1))
    torch.testing.assert_close(terms["loss"], expected)


def test_picas_floor_and_ceiling():
    sure = F.log_softmax(torch.eye(4).repeat(3, 1) * 100, dim=1)
    assert pica.uncertainty(sure, sure).item() == pytest.approx(math.log(1 + 3 / math.e), abs=1e-5)
    alike_ = torch.zeros(5, 4).log_softmax(1)
    assert pica.uncertainty(alike_, alike_).item() == pytest.approx(math.log(4), abs=1e-6)


@pytest.mark.parametrize("empty", [-1e4, -200.0, -60.0])
def test_an_empty_cluster_of_picas_can_come_back(empty):
    logits = [drawn(9, 4, seed=s).detach().float() for s in (0, 1)]
    for each in logits:
        each[:, 1] += empty
    logits = [each.requires_grad_() for each in logits]
    logs = [each.log_softmax(1) for each in logits]
    loss = pica.uncertainty(*logs)
    gradients = torch.autograd.grad(loss, logits)
    assert torch.isfinite(loss) and all(torch.isfinite(g).all() and g[:, 1].abs().max() > 1e-6 for g in gradients)


# JULE


@pytest.mark.parametrize("n", [1, 6])
def test_jules_triplet_loss_is_the_loop_with_its_gradient(n):
    a, b = drawn(n, 4), drawn(n, 4, seed=1)
    unit_a, unit_b = (each / each.norm(dim=1, keepdim=True) for each in (a, b))
    labels = torch.arange(n) // 2 % 2
    negatives = torch.randint(n, (n, 5), generator=torch.Generator().manual_seed(0))
    costs = []
    for i in range(n):
        for p in range(n):
            for s in negatives[i].tolist():
                if labels[p] == labels[i] and labels[s] != labels[i]:
                    near, far = (unit_a[i] - unit_b[p]).square().sum(), (unit_a[i] - unit_b[s]).square().sum()
                    costs.append(F.relu(near - far + 0.2))
    loss = jule.triplet_loss(unit_a, unit_b, labels, negatives)
    if costs:
        alike(loss, sum(costs) / len(costs), a, b)
    else:  # a single image, or a single cluster, has no strangers
        assert loss == 0 and finite(loss, a, b)


def slow_merge(rows, labels, left):
    """Graph degree linkage from its definition: all affinities anew before every merge."""
    n = len(rows)
    apart = np.array([[((a - b) ** 2).sum() for b in rows] for a in rows])
    near = [
        sorted((j for j in range(n) if j != i), key=lambda j: apart[i, j])[: graph_linkage.NEIGHBOURS] for i in range(n)
    ]
    scale = np.mean([apart[i, j] for i in range(n) for j in near[i]])
    graph = np.zeros((n, n))
    for i in range(n):
        for j in near[i]:
            graph[i, j] = np.exp(-apart[i, j] / scale)
    clusters = [[i for i in range(n) if labels[i] == c] for c in sorted(set(labels))]
    while len(clusters) > left:
        affinity = np.full((len(clusters),) * 2, -np.inf)
        for x, a in enumerate(clusters):
            for y, b in enumerate(clusters):
                if x != y:
                    there, back = graph[np.ix_(a, b)], graph[np.ix_(b, a)]
                    affinity[x, y] = (there @ back).sum() / len(a) ** 2 + (back @ there).sum() / len(b) ** 2
        leads = []
        for row in affinity:
            best = sorted(row[np.isfinite(row)], reverse=True)[: graph_linkage.NEAREST]
            leads.append(best[0] + sum(best[0] - other for other in best[1:]) / (graph_linkage.NEAREST - 1))
        x = int(np.argmax(leads))
        y = int(np.argmax(affinity[x]))
        clusters[x] += clusters[y]
        del clusters[y]
    found = np.zeros(n, int)
    for number, members in enumerate(clusters):
        found[members] = number
    return found


@pytest.mark.parametrize("left", [2, 3, 9])
def test_merging_is_graph_degree_linkage(left, monkeypatch):
    monkeypatch.setattr(graph_linkage, "NEIGHBOURS", 6)
    rows = np.random.default_rng(0).standard_normal((24, 3))
    labels = np.arange(24) % 15
    assert adjusted_rand_score(graph_linkage.merged(rows, labels, left), slow_merge(rows, labels, left)) == 1


def test_merging_finds_separate_groups_and_never_parts_what_is_one():
    rows, truth = make_blobs(120, centers=4, n_features=3, cluster_std=0.5, random_state=0)
    found = graph_linkage.merged(rows, np.arange(120), 4)
    assert adjusted_rand_score(found, truth) == 1
    fewer = graph_linkage.merged(rows, found, 2)
    assert {len({*fewer[found == cluster]}) for cluster in range(4)} == {1} and {*fewer} == {0, 1}
    distant, truth = make_blobs(90, centers=3, cluster_std=0.01, random_state=0)  # no edge from group to group
    assert {*graph_linkage.merged(distant, truth, 1)} == {0}


@pytest.mark.parametrize("rows", [np.zeros((30, 2)), np.zeros((1, 2)), np.array([[0.0, 0], [1, 0]])])
def test_equal_and_few_rows_are_merged_too(rows):
    assert graph_linkage.merged(rows, np.arange(len(rows)), 2).max() == min(2, len(rows)) - 1


def test_jule_merges_from_small_clusters_to_k_over_the_epochs():
    config = with_k("jule", epochs=16, batch_size=48)
    made = trainer.Trainer(config, some_images())
    counts, parents = [], None
    for epoch in range(16):
        made.train_step()
        groups = made.model.groups.of
        assert made.model.merging == (epoch >= 2) == (len(groups) == 48)
        if made.model.merging:
            counts.append(groups[:, 1].unique().numel())
            assert parents is None or len({*zip(parents.tolist(), groups[:, 1].tolist(), strict=True)}) == counts[-2]
            parents = groups[:, 1]
    assert counts[0] == 6 and counts[10:] == [3] * 4 and counts == sorted(counts, reverse=True)
    torch.testing.assert_close(made.model.means.norm(dim=1), torch.ones(3))


# DeCNN


def matrix(filters, shape):
    """The linear map from maps to image, column by column: (pixels, places)."""
    count = math.prod(shape)
    columns = [decnn.rebuilt(one.view(1, *shape), filters).flatten() for one in torch.eye(count, dtype=filters.dtype)]
    return torch.stack(columns, dim=1)


def test_an_image_is_rebuilt_from_filters_laid_where_the_maps_are():
    maps, filters = drawn(1, 2, 3, 3), drawn(2, 1, 6, 6, seed=1)
    canvas = torch.zeros(10, 10, dtype=torch.float64)
    for d in range(2):
        for i in range(3):
            for j in range(3):
                laid = torch.zeros(10, 10, dtype=torch.float64)
                laid[2 * i : 2 * i + 6, 2 * j : 2 * j + 6] = 1
                pasted = F.pad(filters[d, 0], (2 * j, 4 - 2 * j, 2 * i, 4 - 2 * i))
                canvas = canvas + maps[0, d, i, j] * pasted * laid
    alike(decnn.rebuilt(maps, filters).square().sum(), canvas[2:8, 2:8].square().sum(), maps, filters)


def test_decnns_costs_are_the_loops_with_their_gradients():
    x, maps, filters = drawn(2, 1, 6, 6, seed=2), drawn(2, 3, 3, 3), drawn(3, 1, 6, 6, seed=1)
    whole = matrix(filters.detach(), (3, 3, 3))
    error, penalty = decnn.costs(x, maps, filters)
    slow = sum(0.5 * (whole @ maps[i].flatten() - x[i].flatten()).square().sum() for i in range(2)) / 72
    alike(error, slow, x, maps)
    alike(penalty, 0.5 * sum(value.abs() for value in maps.flatten()) / 72, maps)


def test_the_maps_are_those_of_the_lasso():
    filters = F.normalize(drawn(3, 1, 6, 6).detach().flatten(1), dim=1).view(3, 1, 6, 6)
    x = drawn(2, 1, 8, 8, seed=1).detach() * 3
    found = decnn.inferred(x, filters, steps=2000)
    assert (found == 0).any() and found.any()
    whole = matrix(filters, (3, 4, 4)).numpy()
    for image, maps in zip(x, found, strict=True):
        lasso = Lasso(decnn.L1_WEIGHT / len(whole), fit_intercept=False, tol=1e-12, max_iter=100_000)
        expected = lasso.fit(whole, image.flatten().numpy()).coef_
        np.testing.assert_allclose(maps.flatten().numpy(), expected, atol=1e-4)


def test_the_step_is_safe_and_not_much_too_short():
    filters = F.normalize(drawn(5, 2, 6, 6).detach().flatten(1), dim=1).view(5, 2, 6, 6)
    largest = torch.linalg.matrix_norm(matrix(filters, (5, 6, 6)), ord=2) ** 2
    assert largest <= decnn.steepest(filters) <= 9 * 5**0.125 * largest


def test_decnns_layers_learn_one_after_the_other():
    made = trainer.Trainer(small("decnn", epochs=2), some_images())
    for _ in range(2):
        before = [weight.clone() for weight in made.model.backbone.filters]
        for _ in range(3):
            made.train_step()
        changed = [not torch.equal(*pair) for pair in zip(before, made.model.backbone.filters, strict=True)]
        assert changed == [made.model.layer == 0, made.model.layer == 1]


@pytest.mark.parametrize("size", [3, 9, 16])
def test_decnn_takes_blank_images_of_any_size(size):
    model = build(small("decnn", size=size))
    x = torch.stack([torch.zeros(3, size, size), torch.rand(3, size, size)])
    for model.layer in (0, 1):
        assert torch.isfinite(model.training_loss(x)["loss"])
    found = model.represent(x)
    assert not found["output"][0].any() and found["output"][1].any() and torch.isfinite(found["output"]).all()


# DCGAN


def test_the_players_losses_are_binary_cross_entropies():
    real, fake = drawn(5, 1), drawn(5, 1, seed=1)
    entropy_ = F.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(5, 1, dtype=torch.float64), torch.zeros(5, 1, dtype=torch.float64)
    alike(dcgan.discriminator_loss(real, fake), entropy_(real, ones) + entropy_(fake, zeros), real, fake)
    alike(dcgan.generator_loss(fake), entropy_(fake, ones), fake)
    assert dcgan.discriminator_loss(0 * real, 0 * fake).item() == pytest.approx(2 * math.log(2))


def test_each_player_gets_the_gradient_of_its_own_loss():
    model = build(small("dcgan")).double()
    x = torch.rand(8, 3, 16, 16, dtype=torch.float64)
    players = {"discriminator": [*model.backbone.parameters(), *model.discriminator.parameters()]}
    players["generator"] = [*model.generator.parameters()]
    torch.manual_seed(0)
    terms = model.training_loss(x)
    both = {name: torch.autograd.grad(terms["loss"], of, retain_graph=True) for name, of in players.items()}
    torch.manual_seed(0)
    made = model.generate(torch.randn(8, model.config.dim, dtype=torch.float64))
    alone = {
        "discriminator": dcgan.discriminator_loss(model(x), model(made.detach())),
        "generator": dcgan.generator_loss(model(made)),
    }
    for name, of in players.items():
        torch.testing.assert_close(terms[name], alone[name])
        for mine, theirs in zip(both[name], torch.autograd.grad(alone[name], of), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_the_judges_statistics_are_those_of_real_images():
    model, x = build(small("dcgan")), torch.rand(8, 3, 16, 16)
    other = build(small("dcgan"))
    other.load_state_dict(model.state_dict())
    model.training_loss(x)
    other(x)
    for (name, mine), theirs in zip(model.backbone.named_buffers(), other.backbone.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, msg=name)


# What they share


def test_encoding_sees_every_image_alone_and_in_order(monkeypatch):
    monkeypatch.setattr(per_image, "BATCH", 5)
    model, images = build(with_k("jule")).train(), some_images(13)
    found = per_image.encoded(model, model, images, with_k("jule", amp=False))
    model.eval()
    alone = torch.cat([model(images[i : i + 1] / 255) for i in range(13)])
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)
    assert not found.requires_grad
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    per_image.encoded(model, model, images, with_k("jule"))
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_k_means_on_a_part_of_the_images_serves_all(monkeypatch):
    rows, truth = make_blobs(200, centers=3, cluster_std=0.1, random_state=0)
    monkeypatch.setattr(per_image, "FITTED", 40)
    centres, near = per_image.k_means(torch.from_numpy(rows), 3, 0, 5)
    assert adjusted_rand_score(near, truth) == 1 and centres.dtype == torch.float64
    assert per_image.k_means(torch.from_numpy(rows), 190, 0, 1)[0].shape == (190, 2)


def test_what_is_remembered_of_every_image_comes_back_from_a_checkpoint(tmp_path):
    for method in ("dec", "jule"):
        model = trainer.fit(with_k(method), some_images(), tmp_path)
        loaded, _ = trainer.checkpoint.load_model(tmp_path)
        for (name, mine), theirs in zip(model.state_dict().items(), loaded.state_dict().values(), strict=True):
            assert torch.equal(mine, theirs), name
        assert "target.of" in loaded.state_dict() or "groups.of" in loaded.state_dict()


@pytest.mark.parametrize("method", ["jule", "dec", "dac", "dccm", "pica"])
def test_images_all_alike_break_nothing(method):
    images = torch.full((48, 3, 16, 16), 128, dtype=torch.uint8)
    model = trainer.fit(with_k(method, epochs=8, batch_size=48), images)
    assert trainer.checkpoint.all_finite(model)
