"""More checks of notebook 03: what one head encodes, by its rank AUC, and the best of many heads on noise."""

import numpy as np
import torch
from torch import Tensor

from cdlearn.course.checks.grade import StillBroken, call, checker, close, diagnose_all, number
from cdlearn.disentanglement import rank_auc


@checker
def check_rank_auc(given):
    """Checks ``given(outputs, has_value) -> float``; outputs: (N,), has_value: bool (N,)."""
    cases = (
        ([0.9, 0.6, 0.6, 0.3, 0.1], [1, 1, 0, 0, 0]),  # the notebook's example: 5.5 of 6
        ([0.5, 0.5, 0.5, 0.5, 0.9, 0.1, 0.2], [0, 1, 0, 0, 1, 0, 0]),
        ([0.2, 0.7, 0.4, 0.55, 0.8, 0.1], [1, 0, 1, 0, 1, 0]),
        ([0.5, 0.5, 0.5, 0.1, 0.9, 0.5, 0.2], [1, 0, 0, 1, 0, 1, 1]),
        ([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0]),  # a head that is low for the value: 0, and not 1
        ([-2.0, 3.0, 1.0, -2.0], [0, 1, 0, 1]),  # logits are ranked as well as outputs
    )
    got, want, slips = {}, {}, {}
    for numbers, truth in cases:
        outputs, has = torch.tensor(numbers), torch.tensor(truth, dtype=torch.bool)
        case = f"outputs {numbers} and value {truth}"
        got[case] = number(call(given, outputs, has), "The AUC")
        want[case] = wins(outputs, has).mean()
        for words, value in auc_slips(outputs, has).items():
            slips.setdefault(words, {})[case] = value
    diagnose_all(got, want, slips, "Compare each image that has the value with each that lacks it.")
    return "Threshold and scale do not matter: logits, outputs and squared outputs all have the same rank AUC."


def wins(outputs: Tensor, has: Tensor, tie: float = 0.5) -> Tensor:
    """One row per image with the value, one column per image without: 1 where it has the larger output."""
    one, other = outputs[has][:, None], outputs[~has][None, :]
    return (one > other).float() + tie * (one == other).float()


def auc_slips(outputs: Tensor, has: Tensor) -> dict[str, Tensor]:
    """What went wrong with the AUC, in words -> the value that it gives."""
    won = wins(outputs, has)
    right, (p, n) = won.mean(), won.shape
    order = torch.argsort(torch.argsort(outputs, stable=True)).float() + 1  # ties broken by place
    tie = "A tie is half a win. Otherwise a head with the constant output 0.5 would score {} instead of 0.5"
    return {
        "Ties count as lost. " + tie.format(0): wins(outputs, has, 0).mean(),
        "Ties count as won. " + tie.format(1): wins(outputs, has, 1).mean(),
        "The sign is wrong: the image *with* the value should get the larger output": 1 - right,
        "This is folded to 0.5-1. Folding comes later, and on other images than the scored ones. The AUC itself shows "
        "which way the head points": max(right, 1 - right),
        "You count wins but do not divide by the number of pairs, with x without": won.sum(),
        "You divide by all N x N pairs. Only pairs of one image with the value and one without it count":
            won.sum() / len(outputs) ** 2,
        "This is the accuracy of 'output > 0.5'. An AUC needs no threshold: it compares pairs":
            ((outputs > 0.5) == has).float().mean(),
        "Equal outputs get different ranks, by their place in the list. Give them their mean rank "
        "(scipy.stats.rankdata), or compare pairs": (order[has].sum() - p * (p + 1) / 2) / (p * n),
        "Subtract the smallest possible sum of ranks, P(P+1)/2": order[has].sum() / (p * n),
    }  # fmt: skip


def held_out_cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Outputs (40, 12) and values (40,): six times noise, a head high for the value, and a head low for the value."""
    cases = {}
    for seed in range(8):
        draw = np.random.default_rng(seed)
        outputs, value = draw.random((40, 12)), draw.permutation(40) % 2 == 0
        name = f"noise, draw {seed + 1}"
        if seed == 6:
            name, outputs[:, 3] = "a head that is high for the value", outputs[:, 3] + 0.5 * value
        if seed == 7:
            name, outputs[:, 5] = "a head that is low for the value", outputs[:, 5] - 0.5 * value
        cases[name] = outputs, value
    return cases


def held_out_slips(outputs: np.ndarray, value: np.ndarray) -> tuple[float, float, dict[str, float]]:
    """The right held-out AUC, that of the function with the bug, and what else may be wrong, in words -> value."""
    half = len(outputs) // 2
    first, second = rank_auc(outputs[:half], value[:half]), rank_auc(outputs[half:], value[half:])
    every = rank_auc(outputs, value)

    def scored(chosen: np.ndarray, on: np.ndarray) -> float:
        best = np.abs(chosen - 0.5).argmax()
        return float(on[best] if chosen[best] >= 0.5 else 1 - on[best])

    best = np.abs(first - 0.5).argmax()
    slips = {
        "You look only for heads that are high for the value. A head that is low for it encodes it as well": second[
            first.argmax()
        ],
        "You forget the head's sign on the first half. If it is low for the value there, turn its AUC on the "
        "second half round, 1 - AUC": second[best],
        "You score on the half that chose the head": scored(first, first),
        "You choose the head on the half that scores it": scored(second, second),
        "All images took part in the choice, the scored ones too": scored(every, second),
        "You choose on the first half, but score on all images, the choosing ones too": scored(first, every),
        "All images choose, and all images score: nothing is held out": scored(every, every),
        "The halves are swapped: choose on the first, score on the second": scored(second, first),
    }
    return scored(first, second), float(max(second[best], 1 - second[best])), slips


@checker
def check_held_out_auc(given):
    """Checks ``given(outputs, has_value) -> float``, arrays (N, K), bool (N,). The stub folds what it scores."""
    got, want, folded, slips = {}, {}, {}, {}
    for name, (outputs, value) in held_out_cases().items():
        got[name] = number(call(given, outputs.copy(), value.copy()), "The AUC")
        want[name], folded[name], wrong = held_out_slips(outputs, value)
        for words, number_ in wrong.items():
            slips.setdefault(words, {})[name] = number_
    if all(close(got[name], folded[name]) for name in got):
        noise = [got[name] for name in got if name.startswith("noise")]
        raise StillBroken(
            f"We tried heads that are pure noise, {len(noise)} times. Your held-out AUC was {np.mean(noise):.2f} on "
            f"average and never below {min(noise):.2f}, although no head encodes anything. Expect about 0.5."
        )
    diagnose_all(got, want, slips, "Choose head and sign on the first half, and only read off the second.")
    return (
        "On noise the score now scatters around 0.5. The sign is a choice like the head itself, so it belongs to the "
        "half that chooses."
    )
