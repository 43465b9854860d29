"""Losses against slow, obvious references in float64, and against values worked out by hand."""

import math

import pytest
import torch

from cdlearn import losses


def slow_nt_xent(a, b, temperature):
    """Eq. 2-4 as printed: two loops."""
    rows = torch.cat([a, b])
    m, total = len(a), 0.0
    for i in range(2 * m):
        pos = i + m if i < m else i - m
        similarity = [torch.dot(rows[i], rows[k]) / (rows[i].norm() * rows[k].norm()) for k in range(2 * m)]
        below = sum(torch.exp(similarity[k] / temperature) for k in range(2 * m) if k != i)
        total = total - torch.log(torch.exp(similarity[pos] / temperature) / below)
    return total / (2 * m)


def slow_entropy(y):
    """Eq. 9 and 10 with p log p, in base 2."""
    return torch.stack([-(p * torch.log2(p) + (1 - p) * torch.log2(1 - p)) for p in y.flatten()]).mean()


def slow_correlation_loss(y1, y2, temperature):
    """Pearson's correlations by loops, then the loops of the contrast."""
    columns = [*y1.T, *y2.T]
    k, total = y1.shape[1], 0.0

    def correlation(a, b):
        a, b = a - sum(a) / len(a), b - sum(b) / len(b)
        return sum(a * b) / torch.sqrt(sum(a * a) * sum(b * b))

    for i in range(2 * k):
        close = [torch.exp(correlation(columns[i], other) / temperature) for other in columns]
        total = total - torch.log(close[(i + k) % (2 * k)] / sum(c for j, c in enumerate(close) if j != i))
    return total / (2 * k)


def slow_mean_entropy(y):
    """The entropy of every column's mean, in bits, averaged over the columns."""
    n, k = y.shape
    means = [sum(y[i, j] for i in range(n)) / n for j in range(k)]
    return sum(-(p * torch.log2(p) + (1 - p) * torch.log2(1 - p)) for p in means) / k


def pair(n=5, d=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2)]


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_nt_xent_is_the_double_loop_with_its_gradients(temperature):
    a, b = pair()
    fast, slow = losses.nt_xent(a, b, temperature), slow_nt_xent(a, b, temperature)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(torch.autograd.grad(fast, (a, b)), torch.autograd.grad(slow, (a, b)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_gradients_are_those_of_finite_differences():
    a, b = pair(3, 4)
    assert torch.autograd.gradcheck(lambda a, b: losses.nt_xent(a, b, 0.5), (a, b))
    assert torch.autograd.gradcheck(losses.normalized_entropy, (a,))


def test_feature_loss_is_nt_xent_across_columns():
    a, b = (torch.sigmoid(t) for t in pair(6, 4))
    torch.testing.assert_close(losses.feature_loss(a, b), slow_nt_xent(a.T, b.T, 1.0), rtol=1e-12, atol=1e-12)
    assert losses.feature_loss(a, b) != losses.instance_loss(a, b, 1.0)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_heads_by_correlation_are_the_loops_with_their_gradients(temperature):
    a, b = pair(6, 4)
    fast = losses.feature_loss(torch.sigmoid(a), torch.sigmoid(b), temperature, "correlation")
    slow = slow_correlation_loss(torch.sigmoid(a), torch.sigmoid(b), temperature)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(torch.autograd.grad(fast, (a, b)), torch.autograd.grad(slow, (a, b)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_the_entropy_of_the_mean_is_the_loop_with_its_gradient():
    logits = 3 * pair(6, 4)[0]
    fast, slow = losses.mean_entropy(logits), slow_mean_entropy(torch.sigmoid(logits))
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    mine, theirs = (torch.autograd.grad(value, logits)[0] for value in (fast, slow))
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(losses.mean_entropy, (logits.detach().requires_grad_(),))


def test_independent_heads_have_more_room_by_correlation():
    """K = 128 independent heads with normal logits, equal in both views: the values that the docstring names."""
    y = torch.sigmoid(torch.randn(20_000, 128, generator=torch.Generator().manual_seed(0)))
    reached = {
        (similarity, temperature): losses.feature_loss(y, y, temperature, similarity).item()
        for similarity in losses.SIMILARITIES
        for temperature in (1.0, 0.2)
    }
    assert reached["cosine", 1.0] == pytest.approx(5.39, abs=0.01)
    assert reached["correlation", 1.0] == pytest.approx(4.55, abs=0.01)
    assert reached["correlation", 0.2] == pytest.approx(1.00, abs=0.01)
    assert reached["correlation", 0.2] == pytest.approx(losses.nt_xent_orthogonal(128, 0.2), abs=0.01)


def test_correlation_sees_neither_shift_nor_scale_and_cosine_sees_the_shift():
    a, b = (torch.sigmoid(t) for t in pair(8, 4))
    by = lambda a, b, how: losses.feature_loss(a, b, 0.5, how)  # noqa: E731
    torch.testing.assert_close(by(a, b, "correlation"), by(0.3 * a + 0.5, 0.1 * b, "correlation"))
    assert abs(by(a, b, "cosine") - by(a + 1, b, "cosine")) > 0.01


def test_constant_heads_are_unlike_all_others_and_do_not_blow_up():
    """All heads at 0.5 reach what identical heads reach, and a head that hardly varies gets no huge gradient."""
    still = torch.full((32, 6), 0.5).requires_grad_()
    loss = losses.feature_loss(still, still, 0.2, "correlation")
    loss.backward()
    assert loss.item() == pytest.approx(losses.nt_xent_start(6)) and still.grad.abs().max() < 1e3
    rounded = torch.full((128, 6), 0.5) + 3e-8 * torch.randn(128, 6, generator=torch.Generator().manual_seed(0)).sign()
    assert losses.feature_loss(rounded, rounded, 0.2, "correlation").item() == pytest.approx(math.log(11), abs=0.01)


def test_sure_heads_cost_nothing_by_the_mean_and_all_by_the_answers():
    confident = 30 * torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 1)
    assert (
        losses.mean_entropy(confident).item() == pytest.approx(1) and losses.normalized_entropy(confident).item() < 1e-6
    )
    assert losses.mean_entropy(torch.zeros(4, 3)) == 1
    assert losses.mean_entropy(torch.full((4, 3), 60.0)).item() == pytest.approx(0, abs=1e-6)


def test_views_and_scale_do_not_matter():
    a, b = pair()
    torch.testing.assert_close(losses.instance_loss(a, b), losses.instance_loss(b, a))
    torch.testing.assert_close(losses.instance_loss(a, b), losses.instance_loss(3 * a, 0.2 * b))


def test_analytic_values():
    same = torch.ones(128, 16)
    assert losses.instance_loss(same, same).item() == pytest.approx(math.log(255), abs=1e-5)
    assert losses.nt_xent_start(128) == pytest.approx(5.54, abs=0.005)
    apart = torch.eye(128)
    assert losses.instance_loss(apart, apart).item() == pytest.approx(losses.nt_xent_orthogonal(128, 0.5), abs=1e-5)
    assert losses.nt_xent_orthogonal(128, 0.5) == pytest.approx(3.57, abs=0.005)
    half = torch.zeros(32, 128)
    terms = losses.cd_loss(apart, apart, half.repeat(4, 1), half.repeat(4, 1))
    assert (terms["feature"] - terms["entropy"]).item() == pytest.approx(math.log(255) - 1, abs=1e-5)
    assert losses.all_half_loss(128) == pytest.approx(4.54, abs=0.005)


def test_entropy_against_p_log_p_and_its_ends():
    logits = torch.linspace(-8, 8, 33, dtype=torch.float64)
    torch.testing.assert_close(losses.normalized_entropy(logits), slow_entropy(torch.sigmoid(logits)))
    assert losses.normalized_entropy(torch.zeros(3, 3)) == 1
    assert losses.normalized_entropy(torch.full((2, 2), 60.0)) == pytest.approx(0, abs=1e-20)
    assert losses.normalized_entropy(-logits) == losses.normalized_entropy(logits)


@pytest.mark.parametrize("modified", [{}, {"heads_similarity": "correlation", "entropy_of": "mean"}])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_everything_is_finite_for_extreme_logits_under_autocast(dtype, modified):
    sign = torch.where(torch.rand(8, 6, generator=torch.Generator().manual_seed(0)) > 0.5, 60.0, -60.0)
    logits = [(sign * s).to(dtype).requires_grad_() for s in (1, -1)]
    z = [t.to(dtype).detach().requires_grad_() for t in pair(8, 6)]
    with torch.autocast("cpu", torch.bfloat16):
        terms = losses.cd_loss(*z, *logits, **modified)
    terms["loss"].backward()
    assert all(value.dtype == torch.float32 and torch.isfinite(value) for value in terms.values())
    assert all(torch.isfinite(t.grad).all() for t in [*z, *logits])


def test_autocast_does_not_round_the_losses():
    a, b = (t.float() for t in pair(64, 32))
    with torch.autocast("cpu", torch.bfloat16):
        inside = losses.instance_loss(a, b)
    assert inside == losses.instance_loss(a, b)


def test_cd_loss_adds_up():
    z1, z2 = pair(6, 5)
    l1, l2 = pair(6, 4, seed=1)
    terms = losses.cd_loss(z1, z2, l1, l2, alpha=0.3)
    y = torch.sigmoid(torch.cat([l1, l2]))
    expected = slow_nt_xent(z1, z2, 0.5) + slow_nt_xent(*(t.T for t in y.chunk(2)), 1.0) - 0.3 * slow_entropy(y)
    torch.testing.assert_close(terms["loss"], expected)


def test_mended_heads_add_up():
    z1, z2 = pair(6, 5)
    l1, l2 = pair(6, 4, seed=1)
    terms = losses.cd_loss(z1, z2, l1, l2, 0.3, 0.5, 0.2, heads_similarity="correlation", entropy_of="mean")
    y1, y2 = torch.sigmoid(l1), torch.sigmoid(l2)
    entropy = (slow_mean_entropy(y1) + slow_mean_entropy(y2)) / 2
    torch.testing.assert_close(terms["feature"], slow_correlation_loss(y1, y2, 0.2))
    torch.testing.assert_close(terms["entropy"], entropy)
    expected = slow_nt_xent(z1, z2, 0.5) + slow_correlation_loss(y1, y2, 0.2) - 0.3 * entropy
    torch.testing.assert_close(terms["loss"], expected)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: losses.feature_loss(torch.ones(4, 2), torch.ones(4, 2), 1.0, "cosines"),
            "unknown similarity 'cosines'",
        ),
        (lambda: losses.cd_loss(*4 * [torch.ones(4, 2)], entropy_of="means"), "unknown entropy_of 'means'"),
        (lambda: losses.instance_loss(torch.ones(1, 4), torch.ones(1, 4)), "at least 2 rows"),
        (lambda: losses.feature_loss(torch.ones(4, 1), torch.ones(4, 1)), "at least 2 rows"),
        (lambda: losses.nt_xent(torch.ones(3, 4), torch.ones(2, 4), 0.5), "one shape"),
        (lambda: losses.nt_xent(torch.ones(3, 4), torch.ones(3, 4), 0.0), "temperature"),
    ],
)
def test_what_cannot_be_contrasted_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
