"""More checks of notebook 04: the objective of two-valued heads, where heads give up, and how a figure shows it."""

import math

import torch

from cdlearn.course.checks.entropy import LN2, bits
from cdlearn.course.checks.grade import call, checker, diagnose_all, number
from cdlearn.course.checks.kinds import Choice, Prediction
from cdlearn.losses import nt_xent_start


def two_valued_slips(low: float, high: float, share: float, heads: int, alpha: float) -> tuple[float, dict[str, float]]:
    """L_feat - alpha L_entropy of heads whose output is ``high`` for a fraction of the images and ``low`` for the rest.

    Returns it, and what may go wrong, in words -> the value that it gives.
    """
    mean, square = (share * high**e + (1 - share) * low**e for e in (1, 2))
    cosine, h = mean**2 / square, bits(torch.tensor([low, high], dtype=torch.float64))
    doubt = alpha * float(share * h[1] + (1 - share) * h[0])
    of_mean = alpha * float(bits(torch.tensor(mean, dtype=torch.float64)))

    def feature(c: float, negatives: int = 2 * heads - 2) -> float:
        return math.log(1 + negatives * math.exp(c - 1))

    want = feature(cosine) - doubt
    return want, {
        "You add the entropy. It is maximised, so subtract alpha times the entropy": want + 2 * doubt,
        "Your entropy is in nats. Eq. 9 measures it in bits, so divide by ln 2": want + doubt * (1 - LN2),
        "You took the entropy of the mean output. Eq. 9 is the mean of the two outputs' entropies, weighted with share "
        "and 1 - share": feature(cosine) - of_mean,
        "You weight the two outputs' entropies equally, but only `share` of the images get high":
            feature(cosine) - alpha * float(h.mean()),
        "You count K - 1 negatives. Both views of each other head are negatives: 2K - 2":
            feature(cosine, heads - 1) - doubt,
        "You count 2K - 1 negatives. The positive is not one of them: it is the 1 in 1 + (2K-2) …":
            feature(cosine, 2 * heads - 1) - doubt,
        "You assume that other heads are orthogonal (cosine 0). Outputs are never negative, so two independent "
        "heads still have the same mean: the cosine is mean² / mean of squares": feature(0) - doubt,
        "The cosine is not divided by the lengths: mean² is the dot product. Divide by the mean of squares":
            feature(mean**2) - doubt,
        "That is the all-0.5 baseline, ln(2K-1) - alpha. These heads do vary":
            nt_xent_start(heads) - alpha,
        "The positive is missing from the denominator, which is 1 + (2K-2) exp(cosine - 1)":
            math.log(2 * heads - 2) + cosine - 1 - doubt,
        "A -1 is missing. The positive's logit is 1, so after division by exp(1) each negative counts exp(cosine - 1)":
            feature(cosine + 1) - doubt,
        "The positive's own logit is missing: divide the sum of all exp(cos) by exp(1) before the logarithm":
            want + 1,
    }  # fmt: skip


@checker
def check_two_valued(given):
    """Checks ``given(low, high, share, heads, alpha) -> scalar``, temperature 1, both views identical."""
    cases = ((0.2, 0.7, 0.3, 128, 1.0), (0.01, 0.9, 0.1, 16, 0.5), (0.4, 0.6, 0.5, 64, 2.0), (0.3, 0.8, 0.6, 3, 0.0))
    got, want, slips = {}, {}, {}
    for low, high, share, heads, alpha in cases:
        case = f"low {low}, high {high}, share {share}, heads {heads}, alpha {alpha}"
        got[case] = number(call(given, low, high, share, heads, alpha), "The objective")
        want[case], wrong = two_valued_slips(low, high, share, heads, alpha)
        for words, value in wrong.items():
            slips.setdefault(words, {})[case] = value
    cosine = (0.3 * 0.7 + 0.7 * 0.2) ** 2 / (0.3 * 0.49 + 0.7 * 0.04)
    hint = (
        f"Find the cosine of two heads first, {cosine:.4f} with low 0.2, high 0.7, share 0.3; then the entropy, 0.7697."
    )
    diagnose_all(got, want, slips, hint)
    return "Any two-valued head can now be scored without a network; low = high = 0.5 gives the all-0.5 baseline."


check_tipping_point = Prediction(
    within=0.1,
    praise=(
        "Feature contrast gains 4a², and the entropy costs α · 2a² / ln 2. Both grow like a², so the sign of the "
        "difference is the same for every small a, and α* = 2 ln 2 = 1.39 decides for all of them."
    ),
    low="Too low. The entropy wins where α · 2a² / ln 2 exceeds 4a².",
    high="Too high. The entropy wins where α · 2a² / ln 2 exceeds 4a².",
    typical=1.39,
    slips={
        "You counted the entropy in nats. In bits, as in Eq. 9, it falls by 2a² / ln 2": 2.0,
        "A factor of 2 is missing: α · 2a² / ln 2 = 4a² gives α = 2 ln 2": 0.69,
        "It is the other way up: α = 4 divided by 2 / ln 2": 0.72,
        "Dividing by 1 / ln 2 is multiplying by ln 2: α = 2 ln 2, not 2 / ln 2": 2.89,
        "That is the paper's α. Is it exactly where the two sides balance?": 1.0,
    },
)  # fmt: skip

check_floor_figure = Choice(
    "b",
    "These heads score worse than heads whose outputs are all 0.5, and yet they do not give in. They cannot: "
    "BatchNorm stretches whatever is left to a spread of its own, even if what is left is noise.",
    {
        "a": "The panel shows baseline minus objective, and the objective is minimised. Which sign is good, then?",
        "c": "A run that diverges does not stop within 0.1 nats of the baseline. And a difference to the baseline may "
        "have either sign.",
        "d": "The middle panel shows losses, which do not depend on the photographs. The right panel is about those, "
        "and it is not at 0 there.",
    },
)
