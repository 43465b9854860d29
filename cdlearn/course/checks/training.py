"""Graders of notebook 05: the learning rate's schedule, the whole objective, clipping by the global norm."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cdlearn import losses
from cdlearn.course.checks.grade import Wrong, call, checker, diagnose, number, tensor
from cdlearn.course.checks.grade import gradients as gradients_of


def schedule(step: int, steps: int, peak: float, warmup: int) -> float:
    """A linear rise over ``warmup`` steps, times a cosine that falls to zero over all steps."""
    return peak * min(1.0, (step + 1) / max(1, warmup)) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _rise(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / max(1, warmup))


# what went wrong, in words -> the schedule that it gives
SCHEDULE_SLIPS: dict[str, Callable[[int, int, float, int], float]] = {
    "Your learning rate is 0 in the very first step, so that step learns nothing: steps count from 0, so the rise is "
    "(step + 1) / warmup.": lambda t, T, peak, w: (
        peak * min(1.0, t / max(1, w)) * 0.5 * (1 + math.cos(math.pi * t / T))
    ),
    "There is no warm-up: the first step already has the full rate. Multiply by min(1, (step + 1) / warmup).": (
        lambda t, T, peak, w: peak * 0.5 * (1 + math.cos(math.pi * t / T))
    ),
    "There is no decay: after the warm-up your rate stays where it is. Multiply by ½ (1 + cos(π step / steps)).": (
        lambda t, T, peak, w: peak * _rise(t, w)
    ),
    "Your warm-up never ends: past step = warmup the factor (step + 1) / warmup goes on growing above 1. Cap it with "
    "min(1, …).": lambda t, T, peak, w: peak * (t + 1) / max(1, w) * 0.5 * (1 + math.cos(math.pi * t / T)),
    "Your cosine runs from 1 to −1, so the rate becomes negative in the second half and the steps go uphill. "
    "½ (1 + cos) runs from 1 to 0.": lambda t, T, peak, w: peak * _rise(t, w) * math.cos(math.pi * t / T),
    "Your cosine makes a whole turn: the rate falls to 0 half way and rises again, a restart. Use half a "
    "turn, π, which has no restart.": lambda t, T, peak, w: (
        peak * _rise(t, w) * 0.5 * (1 + math.cos(2 * math.pi * t / T))
    ),
    "The π is missing: cos(step / steps) only goes from 1 to 0.54, so the rate never comes near 0.": (
        lambda t, T, peak, w: peak * _rise(t, w) * 0.5 * (1 + math.cos(t / T))
    ),
    "The ½ is missing: 1 + cos runs from 2 to 0, so your rate is twice what was asked for.": (
        lambda t, T, peak, w: peak * _rise(t, w) * (1 + math.cos(math.pi * t / T))
    ),
    "Your rate falls along a straight line. That works too, but the task (and the paper) has a cosine, which stays "
    "high for longer and lands softly.": lambda t, T, peak, w: peak * _rise(t, w) * (1 - t / T),
    "Your cosine begins where the warm-up ends. Many libraries do so, and it is a fair choice; here it counts from "
    "step 0, so progress is step / steps.": lambda t, T, peak, w: (
        peak * _rise(t, w) * (1 if t < w else 0.5 * (1 + math.cos(math.pi * (t - w) / (T - w))))
    ),
    "Your cosine counts to steps − 1, so the last step has the rate 0 and learns nothing: progress is step / steps.": (
        lambda t, T, peak, w: peak * _rise(t, w) * 0.5 * (1 + math.cos(math.pi * t / max(1, T - 1)))
    ),
    "While the rate rises, your cosine is missing. Both factors count from step 0, so multiply them.": (
        lambda t, T, peak, w: peak * (_rise(t, w) if t < w else 0.5 * (1 + math.cos(math.pi * t / T)))
    ),
    "Your values are fractions of the peak: multiply by peak.": lambda t, T, peak, w: schedule(t, T, 1.0, w),
}


@checker
def check_learning_rate(given) -> str:
    """Checks ``given(step, steps, peak, warmup) -> rate``: linear warm-up times cosine decay, steps from 0."""
    for steps, peak, warmup in ((100, 2.0, 10), (37, 0.5, 5), (40, 3.0, 1), (24, 1.5, 0)):
        when = sorted({0, warmup // 2, max(0, warmup - 1), warmup, steps // 2, 3 * steps // 4, steps - 1})
        got = [number(call(given, t, steps, peak, warmup), f"The rate at step {t} of {steps}") for t in when]
        slips = {words: [slip(t, steps, peak, warmup) for t in when] for words, slip in SCHEDULE_SLIPS.items()}
        want = [schedule(t, steps, peak, warmup) for t in when]
        worst = max(range(len(when)), key=lambda i: abs(got[i] - want[i]))
        diagnose(
            torch.tensor(got),
            torch.tensor(want),
            {words: torch.tensor(values) for words, values in slips.items()},
            f"At step {when[worst]} of {steps}, with peak {peak} and warmup {warmup}, your rate is {got[worst]:.4f} "
            f"and should be {want[worst]:.4f}. Look at the two factors one at a time.",
        )
    return "The last step's rate is nearly 0, so the final weights have come to rest."


def _parts(z1: Tensor, z2: Tensor, l1: Tensor, l2: Tensor) -> dict[str, float]:
    """Every term of the objective, right and wrong, as floats."""
    y1, y2 = l1.sigmoid(), l2.sigmoid()
    made = {
        "inst": losses.nt_xent(z1, z2, 0.5),
        "inst τ=1": losses.nt_xent(z1, z2, 1.0),
        "feat": losses.nt_xent(y1.T, y2.T, 1.0),
        "feat τ=½": losses.nt_xent(y1.T, y2.T, 0.5),
        "feat on rows": losses.nt_xent(y1, y2, 1.0),
        "feat of logits": losses.nt_xent(l1.T, l2.T, 1.0),
        "ent 1": losses.normalized_entropy(l1),
        "ent 2": losses.normalized_entropy(l2),
        "ent of y": (losses.normalized_entropy(y1) + losses.normalized_entropy(y2)) / 2,
    }
    made["ent"] = (made["ent 1"] + made["ent 2"]) / 2
    return {name: float(value) for name, value in made.items()}


@checker
def check_total_loss(given) -> str:
    """Checks ``given(z1, z2, logits1, logits2, alpha) -> scalar``: L_inst + L_feat − α L_entropy of Algorithm 1."""
    draw = torch.Generator().manual_seed(8)
    for n, d, k, alpha in ((5, 4, 3, 0.7), (4, 6, 7, 2.5), (3, 2, 3, 0.0)):
        z1, z2 = torch.randn(n, d, generator=draw), torch.randn(n, d, generator=draw)
        l1, l2 = 2 * torch.randn(n, k, generator=draw), 0.7 * torch.randn(n, k, generator=draw)
        p = _parts(z1, z2, l1, l2)
        total = p["inst"] + p["feat"] - alpha * p["ent"]
        diagnose(
            number(call(given, z1, z2, l1, l2, alpha), "The loss"),
            total,
            {
                "You add the entropy, so minimising the loss makes every head as confident as it can be. Entropy "
                "should be *maximised*: subtract it.": p["inst"] + p["feat"] + alpha * p["ent"],
                "α stands before the feature loss; it weighs the entropy alone (Eq. 11).": (
                    p["inst"] + alpha * p["feat"] - p["ent"]
                ),
                "α multiplies the whole bracket L_feat − L_entropy; it weighs the entropy alone (Eq. 11).": (
                    p["inst"] + alpha * (p["feat"] - p["ent"])
                ),
                "α is not used: your loss is always the one for α = 1.": p["inst"] + p["feat"] - p["ent"],
                "Your feature loss compares rows of y: that is the instance level again. Heads are columns: give "
                "nt_xent the transposes, y1.T and y2.T.": p["inst"] + p["feat on rows"] - alpha * p["ent"],
                "Your feature loss was given the logits; Eq. 6 compares the outputs y = sigmoid(logits). Cosines of "
                "logits can be negative, those of outputs cannot.": p["inst"] + p["feat of logits"] - alpha * p["ent"],
                "Your entropy is of the first view alone; Eq. 10 takes the mean over both views' heads.": (
                    p["inst"] + p["feat"] - alpha * p["ent 1"]
                ),
                "Your entropy is of the second view alone; Eq. 10 takes the mean over both views' heads.": (
                    p["inst"] + p["feat"] - alpha * p["ent 2"]
                ),
                "You add up both views' entropies; Eq. 10 is their mean, so yours doubles α.": (
                    p["inst"] + p["feat"] - 2 * alpha * p["ent"]
                ),
                "normalized_entropy takes logits and applies the sigmoid itself; you gave it outputs that had gone "
                "through a sigmoid already.": p["inst"] + p["feat"] - alpha * p["ent of y"],
                "The two temperatures are swapped: 0.5 belongs to the instances, 1.0 to the heads.": (
                    p["inst τ=1"] + p["feat τ=½"] - alpha * p["ent"]
                ),
                "Both levels have temperature 0.5; the heads' is 1.0.": p["inst"] + p["feat τ=½"] - alpha * p["ent"],
                "Both levels have temperature 1.0; the instances' is 0.5.": p["inst τ=1"]
                + p["feat"]
                - alpha * p["ent"],
                "The instance loss is missing: yours is Eq. 11 alone, L_feat − α L_entropy.": (
                    p["feat"] - alpha * p["ent"]
                ),
                "The entropy is missing: L_inst + L_feat is what α = 0 would give.": p["inst"] + p["feat"],
                "Your loss has the wrong sign: minimising it would maximise the right loss.": -total,
            },
            f"With N = {n} images, K = {k} heads and α = {alpha} your loss is not L_inst + L_feat − α L_entropy "
            f"= {p['inst']:.3f} + {p['feat']:.3f} − {alpha} · {p['ent']:.3f}. Print your three terms beside these.",
        )
        inputs = [x.requires_grad_() for x in (z1, z2, l1, l2)]
        gradients_of(call(given, *inputs, alpha), *inputs)
    return "Three terms, one with a minus. A wrong sign here raises no error; it just trains something else."


def clipped(gradients: list[Tensor], largest: float) -> list[Tensor]:
    """All gradients times min(1, largest / their joint norm)."""
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    return [g * min(1.0, largest / max(float(norm), 1e-12)) for g in gradients]


def _scaled_by(size: Callable[[list[Tensor]], float]) -> Callable[[list[Tensor], float], list[Tensor]]:
    return lambda gradients, c: [g * min(1.0, c / max(size(gradients), 1e-12)) for g in gradients]


CLIP_SLIPS: dict[str, Callable[[list[Tensor], float], list[Tensor]]] = {
    "You clip each tensor by itself. Then layers with large gradients shrink and the others do not, and the step turns "
    "to another direction. Take one norm over all of them.": lambda gradients, c: [
        clipped([g], c)[0] for g in gradients
    ],
    "You clip each number to [−largest, largest]. That is clipping by value, and it turns the step to another "
    "direction; clipping by norm only shortens it.": lambda gradients, c: [g.clamp(-c, c) for g in gradients],
    "You scale every step to the length `largest`, the small ones too. Clipping never lengthens: use min(1, largest / "
    "norm).": lambda gradients, c: [g * c / _norm(gradients) for g in gradients],
    "Your norm is the sum of the tensors' norms, which is too large. Squares add up: √(‖a‖² + ‖b‖² + …).": (
        _scaled_by(lambda gradients: sum(float(g.norm()) for g in gradients))
    ),
    "Your norm is the largest of the tensors' norms. The whole step is longer than its longest part: "
    "√(‖a‖² + ‖b‖² + …).": _scaled_by(lambda gradients: max(float(g.norm()) for g in gradients)),
    "The square root is missing: you divide by the sum of squares.": _scaled_by(lambda gs: _norm(gs) ** 2),
    "Your norm is the sum of absolute values; the Euclidean length is the root of the sum of squares.": (
        _scaled_by(lambda gradients: sum(float(g.abs().sum()) for g in gradients))
    ),
    "The gradients come back as they were: nothing is clipped.": lambda gradients, c: gradients,
}


def _norm(gradients: list[Tensor]) -> float:
    return max(float(torch.cat([g.flatten() for g in gradients]).norm()), 1e-12)


@checker
def check_clip(given) -> str:
    """Checks ``given(gradients, largest) -> gradients``: clipping by the norm of all of them together."""
    draw = torch.Generator().manual_seed(6)
    some = [4 * torch.randn(3, 2, generator=draw), torch.randn(5, generator=draw)]
    cases = (
        ([torch.tensor([3.0, 4.0]), torch.tensor([[12.0]])], 1.0),
        (some, 2.5),
        ([*some, torch.full((2, 2), 0.5)], 1.0),
        ([torch.tensor([0.3, 0.4])], 1.0),
        ([torch.zeros(2), torch.zeros(1, 3)], 1.0),
    )
    for gradients, largest in cases:
        got = call(given, [g.clone() for g in gradients], largest)
        if isinstance(got, Tensor) or not hasattr(got, "__len__") or len(got) != len(gradients):
            raise Wrong(f"The result should be a list of {len(gradients)} tensors, the gradients after clipping.")
        flat = [tensor(g, tuple(want.shape), "A gradient").flatten() for g, want in zip(got, gradients, strict=True)]

        def joined(tensors: list[Tensor]) -> Tensor:
            return torch.cat([g.flatten() for g in tensors])

        diagnose(
            joined(flat),
            joined(clipped(gradients, largest)),
            {words: joined(slip(gradients, largest)) for words, slip in CLIP_SLIPS.items()},
            f"Gradients of joint norm {_norm(gradients):.3f}, clipped to {largest}, come back with norm "
            f"{_norm(flat):.3f}; it should be {min(largest, _norm(gradients)):.3f}, in the direction they had.",
        )
    return "Direction kept, length capped: one odd batch can no longer throw the weights far away."
