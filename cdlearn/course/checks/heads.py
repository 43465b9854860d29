"""Checks of notebook 03: the loss across columns, its value to expect, and how many heads there really are."""

import math

import torch
from torch import Tensor

from cdlearn.course.checks.grade import Wrong, call, checker, close, diagnose_all, gradients, number
from cdlearn.course.checks.kinds import Choice, Prediction
from cdlearn.losses import nt_xent


@checker
def check_feature_loss(given):
    """Checks ``given(logits1, logits2, temperature) -> scalar`` against Eq. 5-8; logits: (N, K), before the sigmoid."""
    draws = torch.Generator().manual_seed(4)
    got, want, slips = {}, {}, {}
    for n, k, temperature in ((6, 6, 1.0), (5, 3, 1.0), (4, 7, 0.5)):  # N = K first: its shape does not reveal rows
        logits1 = 2 * torch.randn(n, k, generator=draws)
        logits2 = logits1 + 0.7 * torch.randn(n, k, generator=draws)
        case = f"N = {n} images, K = {k} heads and temperature {temperature}"
        try:
            got[case] = number(call(given, logits1, logits2, temperature), "The loss")
        except Wrong as wrong:
            hint = "" if n == k else " It works with as many images as heads: which dimension is N, which is K?"
            raise Wrong(f"{wrong} (tried with {case}).{hint}") from None
        want[case] = nt_xent(logits1.sigmoid().T, logits2.sigmoid().T, temperature)
        for words, value in feature_slips(logits1, logits2, temperature).items():
            slips.setdefault(words, {})[case] = value
    diagnose_all(got, want, slips, "It is NT-Xent of two K x N matrices, whose rows hold the N outputs of one head.")
    a, b = (torch.randn(5, 3, generator=draws, requires_grad=True) for _ in range(2))
    found = gradients(call(given, a, b, 1.0), a, b)
    wanted = torch.autograd.grad(nt_xent(a.sigmoid().T, b.sigmoid().T, 1.0), (a, b))
    if not all(close(one, right, 1e-3) for one, right in zip(found, wanted, strict=True)):
        raise Wrong("The value is right, but its gradient is not. Is a part of it detached?")
    return (
        "One transposition turns 'which image is this?' into 'which head is this?'. The matrix is now 2K x 2K, however "
        "large the batch is."
    )


def feature_slips(logits1: Tensor, logits2: Tensor, temperature: float) -> dict[str, Tensor]:
    """What went wrong with the feature loss, in words -> the value that it gives."""
    y1, y2 = logits1.sigmoid(), logits2.sigmoid()
    hard = [(y > 0.5).float() for y in (y1, y2)]
    other = "A head's positive is its outputs for the *other* view"
    return {
        "These are rows: you contrast images with images again. Eq. 5 transposes first, so that row i holds the "
        "outputs of head i over the batch": nt_xent(y1, y2, temperature),
        "You contrast the logits. Eq. 5 takes the outputs y = sigmoid(logits), which lie in (0, 1)":
            nt_xent(logits1.T, logits2.T, temperature),
        "These are rows, and logits besides: take the sigmoid, then transpose":
            nt_xent(logits1, logits2, temperature),
        "A softmax over the heads makes them compete, as the clusters of CC do. CD's heads are "
        "independent: use a sigmoid": nt_xent(logits1.softmax(1).T, logits2.softmax(1).T, temperature),
        "A softmax over the batch makes the images compete. A sigmoid takes each logit by itself":
            nt_xent(logits1.softmax(0).T, logits2.softmax(0).T, temperature),
        f"You use only the first view. {other}": nt_xent(y1.T, y1.T, temperature),
        f"You use only the second view. {other}": nt_xent(y2.T, y2.T, temperature),
        "You rounded the outputs to 0 and 1, and rounding has no gradient. Use them as they are":
            nt_xent(hard[0].T, hard[1].T, temperature),
        "You subtracted each head's mean, so this is a correlation. Eq. 6 is the cosine of the outputs as they are":
            nt_xent((y1 - y1.mean(0)).T, (y2 - y2.mean(0)).T, temperature),
        "The temperature is missing; 1 is only its usual value": nt_xent(y1.T, y2.T, 1.0),
        "The temperature multiplies; it must divide": nt_xent(y1.T, y2.T, 1 / temperature),
        "This is the sum over the 2K rows. Eq. 8 is their mean": 2 * y1.shape[1] * nt_xent(y1.T, y2.T, temperature),
    }  # fmt: skip


SIMILAR = 0.25 / (0.25 + 0.208**2)  # the cosine of two heads with independent outputs sigmoid(N(0, 1))


def row_loss(cosine: float, negatives: int = 254, temperature: float = 1.0) -> float:
    """NT-Xent of a row with one partner at cosine 1 and the negatives at ``cosine``."""
    return math.log(1 + negatives * math.exp((cosine - 1) / temperature))


check_drawn_loss = Prediction(
    within=0.02,
    praise=(
        "The cosine of two heads is 0.25 / (0.25 + 0.208²) = 0.852. Each row has one partner at cosine 1 and 254 "
        "others at 0.852, so its loss is ln(1 + 254 exp(0.852 - 1)). An untrained network with "
        "BatchNorm is expected there."
    ),
    low="Too low. How many of the 2K - 1 other rows are negatives, and which cosine do two of them have?",
    high="Too high. Identical heads score ln(2K - 1) = 5.541, and these heads do differ a little.",
    typical=5.394,
    slips={
        "That is ln(2K - 1), the loss of identical heads. These heads have the cosine 0.852": math.log(255),
        "That is the loss of orthogonal heads. Outputs are positive, so even independent heads have the cosine "
        "m² / (m² + s²)": row_loss(0),
        "You count K - 1 negatives. Both views of each other head are negatives: 2K - 2": row_loss(SIMILAR, 127),

        "That uses the instance loss's temperature, 0.5. Here τ = 1": row_loss(SIMILAR, temperature=0.5),
        "The partner's own logit is missing. The loss is the logarithm of all terms *divided by* exp(1), the term of "
        "the partner": row_loss(1 + SIMILAR),
        "That is the cosine of two heads. Put it into Eq. 6: one partner at cosine 1, and 2K - 2 others at this one":
            0.852,
        "The formula wants the variance: s² = 0.043, not s = 0.208": row_loss(0.25 / 0.458),
    },
    digits=3,
)  # fmt: skip

check_blocks = Choice(
    "b",
    "Towards yellow heads agree, towards dark blue they are opposite. One head's output then determines the "
    "other's. Only the grey in the middle of the colour bar means 'unrelated'.",
    {
        "a": "Dark blue is a negative correlation: opposite outputs. One head then predicts much of "
        "the other. Which colour does 'unrelated' have on the colour bar?",
        "c": "If all heads had the same outputs, the whole panel would be yellow. How much of it is?",
        "d": "Compare the left and the right panel of one row. The heads on the left have random weights. Does the "
        "right one look the same?",
    },
)


@checker
def check_effective_heads(given):
    """Checks ``given(y) -> float``: K^2 over the sum of squared correlations between heads; y: (N, K)."""
    draws = torch.Generator().manual_seed(6)
    base = torch.rand(40, 5, generator=draws)
    scales = torch.tensor([1.0, 0.1, 0.4, 0.2, 0.7])
    cases = {
        "five unrelated heads of different spread": base * scales + 0.1,
        "two heads, each three times": base[:, [0, 1, 0, 1, 0, 1]],
        "a head, its opposite and a third": torch.stack([base[:, 0], 1 - base[:, 0], base[:, 1]], 1),
        "more heads than images": torch.rand(4, 6, generator=draws),
    }
    got = {name: number(call(given, y), f"The number with {name}") for name, y in cases.items()}
    want = {name: y.shape[1] ** 2 / torch.corrcoef(y.T).square().sum() for name, y in cases.items()}
    slips: dict[str, dict[str, Tensor]] = {}
    for name, y in cases.items():
        for words, value in effective_slips(y, want[name]).items():
            slips.setdefault(words, {})[name] = value
    diagnose_all(got, want, slips, "Square each entry of the K x K matrix of correlations, the diagonal too.")
    return (
        "K unrelated heads count K, and K copies of one count 1. A head and its opposite count 1 as well: they hold "
        "the same information."
    )


def effective_slips(y: Tensor, right: Tensor) -> dict[str, Tensor]:
    """What went wrong with the effective number of heads, in words -> the value that it gives."""
    n, k = y.shape
    unit = torch.nn.functional.normalize(y, dim=0)
    covariance, other, own = torch.cov(y.T), torch.corrcoef(y), torch.corrcoef(y.T)
    return {
        "You use covariances, so a head with a small spread hardly counts. Divide each head by its standard deviation "
        "(torch.corrcoef does)": covariance.diagonal().sum() ** 2 / covariance.square().sum(),
        "You use covariances in place of correlations: divide each head by its standard deviation":
            k**2 / covariance.square().sum(),
        "The outputs are not centred, so heads look similar: all outputs are positive. Subtract each head's mean":
            k**2 / (unit.T @ unit).square().sum(),
        "You compare images with images. Correlate the K columns (torch.corrcoef wants them as rows)":
            n**2 / other.square().sum(),
        "This is K² over the correlations of images. Correlate the columns, not the rows (torch.corrcoef wants y.T)":
            k**2 / other.square().sum(),
        "The correlations are not squared, so a head and its opposite cancel": k**2 / own.sum(),
        "You sum magnitudes; sum squares": k**2 / own.abs().sum(),
        "The numerator is K, not K squared": right / k,
        "The fraction is upside down": 1 / right,
        "Your standard deviation divides by N - 1 (torch's default), and your product by N. So a head has not quite "
        "the correlation 1 with itself: use std(0, correction=0)": right * (n / (n - 1)) ** 2,
        "Your standard deviation divides by N, and your product by N - 1. So a head has a correlation above 1 with "
        "itself: divide by the same number twice": right * ((n - 1) / n) ** 2,
    }  # fmt: skip
