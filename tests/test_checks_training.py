"""The graders of notebook 05: right answers pass, each slip is named."""

import math

import pytest
import torch

from cdlearn.course.checks.training import check_clip, check_learning_rate, check_total_loss
from cdlearn.course.checks.training_more import check_heads_curve, check_loss_end, check_step
from cdlearn.losses import cd_loss, normalized_entropy, nt_xent


def rate(step, steps, peak, warmup):
    rise = min(1, (step + 1) / warmup) if warmup else 1
    return peak * rise * (1 + math.cos(math.pi * step / steps)) / 2


def total(z1, z2, logits1, logits2, alpha):
    return cd_loss(z1, z2, logits1, logits2, alpha)["loss"]


def clip(gradients, largest):
    parameters = [torch.zeros_like(g, requires_grad=True) for g in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    torch.nn.utils.clip_grad_norm_(parameters, largest)
    return [parameter.grad for parameter in parameters]


CHECKS = {check_learning_rate: rate, check_total_loss: total, check_clip: clip}


@pytest.mark.parametrize("check", CHECKS)
def test_right_and_untouched(check):
    assert check(CHECKS[check]).solved is True
    assert check(lambda *a: ...).solved is None
    raised = check(lambda *a: 1 / 0)
    assert raised.solved is False and "ZeroDivisionError" in raised.message


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda t, T, p, w: rate(t, T, p, 0) * min(1, t / max(1, w)), "0 in the very first step"),
        (lambda t, T, p, w: rate(t, T, p, 0), "no warm-up"),
        (lambda t, T, p, w: p * min(1, (t + 1) / max(1, w)), "no decay"),
        (lambda t, T, p, w: rate(t, T, p, 0) * (t + 1) / max(1, w), "never ends"),
        (lambda t, T, p, w: rate(t, T, p, w) * 2 - p * min(1, (t + 1) / max(1, w)), "negative"),
        (lambda t, T, p, w: rate(2 * t, T, p, 0) * min(1, (t + 1) / max(1, w)), "whole turn"),
        (lambda t, T, p, w: 2 * rate(t, T, p, w), "½ is missing"),
        (lambda t, T, p, w: rate(t, T, 1, w), "multiply by peak"),
        (lambda t, T, p, w: p * min(1, (t + 1) / max(1, w)) * (1 - t / T), "straight line"),
        (lambda t, T, p, w: rate(t, max(2, T) - 1, p, w), "counts to steps − 1"),
        (lambda t, T, p, w: p * (t + 1) / w if t < w else rate(t, T, p, 0), "your cosine is missing"),
        (lambda t, T, p, w: 0.3, "should be"),
        (lambda t, T, p, w: p * min(1, (t + 1) / w) * (1 + math.cos(math.pi * t / T)) / 2, "ZeroDivisionError"),
        (lambda t, T, p, w: torch.ones(3), "should be one number"),
    ],
)
def test_learning_rate(wrong, says):
    found = check_learning_rate(wrong)
    assert found.solved is False and says in found.message


def terms(z1, z2, l1, l2):
    y1, y2 = answers(l1, l2)
    entropy = (normalized_entropy(l1) + normalized_entropy(l2)) / 2
    return nt_xent(z1, z2, 0.5), nt_xent(y1.T, y2.T, 1.0), entropy


def answers(l1, l2):
    return l1.sigmoid(), l2.sigmoid()


def combined(combine):
    """A learner's function that puts the right terms together wrongly."""
    return lambda z1, z2, l1, l2, alpha: combine(*terms(z1, z2, l1, l2), alpha)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (combined(lambda i, f, e, a: i + f + a * e), "as confident as"),
        (combined(lambda i, f, e, a: i + a * f - e), "before the feature loss"),
        (combined(lambda i, f, e, a: i + a * (f - e)), "whole bracket"),
        (combined(lambda i, f, e, a: i + f - e), "not used"),
        (combined(lambda i, f, e, a: f - a * e), "instance loss is missing"),
        (combined(lambda i, f, e, a: i + f), "entropy is missing"),
        (combined(lambda i, f, e, a: i + f - 2 * a * e), "add up both"),
        (combined(lambda i, f, e, a: -(i + f - a * e)), "wrong sign"),
        (combined(lambda i, f, e, a: i * 2), "Print your three terms"),
        (lambda a, b, c, d, s: total(a, b, c, d, s) + nt_xent(*answers(c, d), 1) - terms(a, b, c, d)[1], "rows of y"),
        (lambda a, b, c, d, s: total(a, b, c, d, s) + nt_xent(c.T, d.T, 1) - terms(a, b, c, d)[1], "given the logits"),
        (lambda a, b, c, d, s: sum(terms(a, b, c, d)[:2]) - s * normalized_entropy(c), "first view"),
        (lambda a, b, c, d, s: sum(terms(a, b, c, d)[:2]) - s * normalized_entropy(d), "second view"),
        (lambda a, b, c, d, s: cd_loss(a, b, c, d, s, 1.0, 0.5)["loss"], "swapped"),
        (lambda a, b, c, d, s: cd_loss(a, b, c, d, s), "dict"),
        (lambda *of: total(*of).item(), "carries no gradient"),
        (lambda a, b, c, d, s: total(a.detach(), b, c, d, s), "no gradient reaches"),
    ],
)
def test_total_loss(wrong, says):
    found = check_total_loss(wrong)
    assert found.solved is False and says in found.message


def together(gradients):
    return torch.cat([g.flatten() for g in gradients]).norm()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda gs, c: [clip([g], c)[0] for g in gs], "each tensor by itself"),
        (lambda gs, c: [g.clamp(-c, c) for g in gs], "by value"),
        (lambda gs, c: [g * c / max(together(gs), 1e-9) for g in gs], "never lengthens"),
        (lambda gs, c: [g * min(1, c / max(1e-9, sum(x.norm() for x in gs))) for g in gs], "sum of the tensors' norms"),
        (lambda gs, c: [g * min(1, c / max(1e-9, *(x.norm() for x in gs))) for g in gs], "largest of the tensors"),
        (lambda gs, c: [g * min(1, c / max(1e-9, together(gs) ** 2)) for g in gs], "square root is missing"),
        (lambda gs, c: gs, "nothing is clipped"),
        (lambda gs, c: [g / together(gs) * together(gs).clamp(max=c) for g in gs], "division by 0"),
        (lambda gs, c: together(gs), "list of 2 tensors"),
        (lambda gs, c: [g * 0.01 for g in gs], "in the direction they had"),
    ],
)
def test_clip(wrong, says):
    found = check_clip(wrong)
    assert found.solved is False and says in found.message


def step(order, together=True, value=False, pairs=slice(None)):
    """A learner's step that does what ``order`` says, letter by letter: zero, backward, clip, optimiser."""

    def taken(model, optimizer, x1, x2, largest):
        z, logits = model(torch.cat([x1, x2]))
        z, logits = z[pairs], logits[pairs]
        loss = total(*z.chunk(2), *logits.chunk(2), 1.0)
        parts = [list(model.parameters())] if together else [[p] for p in model.parameters()]
        clipping = torch.nn.utils.clip_grad_value_ if value else torch.nn.utils.clip_grad_norm_
        do = {"z": optimizer.zero_grad, "b": loss.backward, "o": optimizer.step}
        for letter in order:
            if letter == "c":
                for part in parts:
                    clipping(part, largest)
            else:
                do[letter]()
        return loss

    return taken


@pytest.mark.parametrize("order", ["zbco", "bcoz"])
def test_a_right_step(order):
    assert check_step(step(order)).solved is True


@pytest.mark.parametrize("order", ["zcbo", "czbo", "zboc", "zbo"])
def test_a_step_that_clips_nothing_is_not_solved_yet(order):
    found = check_step(step(order))
    assert found.solved is None and "nothing was clipped" in found.message and "Find the bug" in found.message


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (step("bco"), "add up: the first step"),
        (step("bo"), "nothing is clipped either"),
        (step("bzo"), "stand still"),
        (step("bz"), "stand still"),
        (step("zbco", together=False), "by itself, so the step turns"),
        (step("zbco", value=True), "Clip by the joint norm"),
        (step("zbco", pairs=[0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]), "show different images"),
        (step("zbcoo"), "not where they should be"),
        (lambda *of: step("zbco")(*of) and None, "returns nothing"),
        (lambda *of: step("zbco")(*of) * 2, "the step returns"),
    ],
)
def test_a_wrong_step(wrong, says):
    found = check_step(wrong)
    assert found.solved is False and says in found.message


@pytest.mark.parametrize(
    ("guess", "solved", "says"),
    [
        (..., None, "Predict"),
        (4.0, True, "ends slightly above"),
        (3.985, True, "4.09"),
        (5.54, False, "where the loss begins"),
        (3.57, False, "two patches orthogonal"),
        (0, False, "out of reach"),
        (3.7, False, "too much alike"),
        (4.9, False, "Twelve epochs"),
    ],
)
def test_the_loss_to_predict(guess, solved, says):
    found = check_loss_end(guess, check_loss_end.typical)
    assert found.solved is solved and says in found.message


def test_reading_the_curve_of_the_heads():
    assert check_heads_curve(...).solved is None and check_heads_curve("b").solved is True
    for letter, says in {"a": "little room", "c": "4.55", "d": "uncertain outputs"}.items():
        found = check_heads_curve(letter)
        assert found.solved is False and says in found.message
