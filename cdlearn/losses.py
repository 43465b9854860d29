"""The losses of Contrastive Disentangling (Jiang et al., 2024, Eq. 1-11) as pure functions.

One function, :func:`nt_xent`, does the contrastive work at both levels: rows of ``z`` are images,
columns of ``y`` are feature heads. :func:`over_pairs` takes any loss of two views to more of them. Beside the published
heads stand two changes to them: heads compared by correlation,
and the entropy of each head's mean output.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SIMILARITIES = ("cosine", "correlation")  # of two heads
ENTROPIES = ("outputs", "mean")  # of every single output, or of each head's mean over the batch
CONSTANT = 1e-4  # norm of a head's centred outputs below which it counts as constant; rounding makes up to 1e-6


def at_least_float32(x: Tensor) -> Tensor:
    """Half-precision tensors as float32; float32 and float64 as they are."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def nt_xent(a: Tensor, b: Tensor, temperature: float, eps: float = 1e-12) -> Tensor:
    """Normalised temperature-scaled cross entropy between paired rows (Eq. 2-4; SimCLR's Eq. 1).

    Row i of ``a`` and row i of ``b`` are a positive pair; the other 2M-2 rows are negatives. Similarity is the
    cosine. The loss is the mean over all 2M rows, so swapping ``a`` and ``b`` does not change it.

    Args:
        a, b: (M, D), any float type; the arithmetic is done in float32 at least.
        temperature: divides the cosines; > 0.
        eps: a row of smaller norm is divided by this instead of its norm, so its cosines end near 0.

    Returns:
        A scalar in nats; ln(2M-1) when all rows are equal.

    Raises:
        ValueError: for shapes that do not pair up, or for M < 2 (there is nothing to contrast with).
    """
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"nt_xent pairs two M x D matrices of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    if len(a) < 2:
        raise ValueError("nt_xent needs at least 2 rows (images or heads): with 1 there are no negatives")
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    with torch.autocast(a.device.type, enabled=False):  # a bf16 cosine has 3 digits, too few to divide by 0.5
        rows = F.normalize(torch.cat([at_least_float32(a), at_least_float32(b)]), dim=1, eps=eps)
        logits = rows @ rows.T / temperature
        itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        logits = logits.masked_fill(itself, -math.inf)  # k != i in the denominator of Eq. 3
        partner = torch.arange(len(rows), device=rows.device).roll(len(a))  # row i's positive is row i +- M
        return F.cross_entropy(logits, partner)


def instance_loss(z1: Tensor, z2: Tensor, temperature: float = 0.5) -> Tensor:
    """Instance level, Eq. 1-4: the N images of a batch against each other. z1, z2: (N, d) -> scalar."""
    return nt_xent(z1, z2, temperature)


def feature_loss(y1: Tensor, y2: Tensor, temperature: float = 1.0, similarity: str = "cosine") -> Tensor:
    """Feature level, Eq. 5-8: the K heads against each other, each described by its N outputs.

    Outputs are positive, so by cosine even independent heads are similar, and the loss has little room: 128 of them
    (normal logits, temperature 1) reach 5.39, where equal heads have 5.54. By correlation, which is the cosine after
    each head's mean over the batch is subtracted, independent heads are orthogonal: 4.55, and 1.00 at 0.2.

    Args:
        y1, y2: (N, K), the heads' sigmoid outputs for the two views.
        similarity: one of SIMILARITIES; cosine is the published one. A head with a constant output has
            correlation 0 with every head, itself included.

    Returns:
        A scalar in nats.

    Raises:
        ValueError: for K = 1 or an unknown similarity.
    """
    if similarity not in SIMILARITIES:
        raise ValueError(f"unknown similarity {similarity!r}; there are {', '.join(SIMILARITIES)}")
    if similarity == "cosine":
        return nt_xent(y1.T, y2.T, temperature)
    y1, y2 = (y - y.mean(dim=0) for y in (at_least_float32(y1), at_least_float32(y2)))
    return nt_xent(y1.T, y2.T, temperature, CONSTANT)


def over_pairs(loss: Callable, views: Sequence[Tensor], *settings, large: int = 2) -> Tensor:
    """The mean of ``loss(a, b, *settings)`` over all pairs of one of the first ``large`` views and any other view.

    Small views show a part of an image, so they are compared with large ones, not with each other (multi-crop; Caron et
    al., 2020). Two views are one pair; with n small ones beside two large there are 1 + 2n.

    Raises:
        ValueError: for fewer than two views.
    """
    if len(views) < 2:
        raise ValueError("a pair needs at least 2 views")
    found = [loss(a, b, *settings) for place, a in enumerate(views[:large]) for b in views[place + 1 :]]
    return sum(found) / len(found)


def normalized_entropy(logits: Tensor) -> Tensor:
    """Eq. 9 and 10: mean binary entropy of the heads, divided by ln 2, so between 0 and 1.

    logits: the heads *before* the sigmoid, any shape -> scalar. With l = |logit| the entropy is
    softplus(-l) + l sigmoid(-l). This form and its gradient stay finite and exact where p log p has
    become 0 * -inf (logit 9 in fp16, 7 in bf16).
    """
    with torch.autocast(logits.device.type, enabled=False):
        size = at_least_float32(logits).abs()
        nats = F.softplus(-size) + size * torch.sigmoid(-size)
        return nats.mean() / math.log(2)


def mean_entropy(logits: Tensor) -> Tensor:
    """The binary entropy of each head's mean output over the batch, averaged over the heads: 0 to 1.

    It is 1 if every head fires for half of the images, however confident each output is. (Eq. 9 rewards 0.5.)

    logits: (N, K), the heads before the sigmoid, of one view -> scalar. The means stay logarithms, because p log p and
    its gradient would be 0 * -inf where all outputs have become 0.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = at_least_float32(logits)
        log_yes, log_no = (torch.logsumexp(F.logsigmoid(x), dim=0) - math.log(len(x)) for x in (logits, -logits))
        return -(log_yes.exp() * log_yes + log_no.exp() * log_no).mean() / math.log(2)


def cd_loss(
    z1: Tensor,
    z2: Tensor,
    logits1: Tensor,
    logits2: Tensor,
    alpha: float = 1.0,
    instance_temperature: float = 0.5,
    feature_temperature: float = 1.0,
    heads_similarity: str = "cosine",
    entropy_of: str = "outputs",
) -> dict[str, Tensor]:
    """The whole objective of Algorithm 1: L_inst + L_feat - alpha L_entropy (Eq. 11 is its last two terms).

    Args:
        z1, z2: (N, d) projections of the two views.
        logits1, logits2: (N, K) feature heads before the sigmoid.
        alpha: weight of the entropy, which is maximised.
        heads_similarity, entropy_of: one of SIMILARITIES and of ENTROPIES; the published ones if not given.

    Returns:
        The scalars ``loss`` (to minimise), ``instance``, ``feature`` and ``entropy``.

    Raises:
        ValueError: for an unknown similarity or entropy.
    """
    settings = (alpha, instance_temperature, feature_temperature, heads_similarity, entropy_of)
    return cd_loss_of_views((z1, z2), (logits1, logits2), *settings)


def cd_loss_of_views(
    z: Sequence[Tensor],
    logits: Sequence[Tensor],
    alpha: float = 1.0,
    instance_temperature: float = 0.5,
    feature_temperature: float = 1.0,
    heads_similarity: str = "cosine",
    entropy_of: str = "outputs",
) -> dict[str, Tensor]:
    """:func:`cd_loss` of two large views and any number of small ones behind them: z (N, d), logits (N, K) of each.

    Both contrasts are averaged over the pairs of :func:`over_pairs`, the entropy over all views.
    """
    if entropy_of not in ENTROPIES:
        raise ValueError(f"unknown entropy_of {entropy_of!r}; there are {', '.join(ENTROPIES)}")
    with torch.autocast(z[0].device.type, enabled=False):
        y = [torch.sigmoid(at_least_float32(each)) for each in logits]
    instance = over_pairs(instance_loss, z, instance_temperature)
    feature = over_pairs(feature_loss, y, feature_temperature, heads_similarity)
    entropy_by = normalized_entropy if entropy_of == "outputs" else mean_entropy
    entropy: Tensor = sum(map(entropy_by, logits)) / len(logits)  # type: ignore[assignment]  # sum() may be 0
    loss = instance + feature - alpha * entropy
    return {"loss": loss, "instance": instance, "feature": feature, "entropy": entropy}


def nt_xent_start(rows: int) -> float:
    """ln(2M-1): NT-Xent of M pairs when all rows are equal, as before training."""
    return math.log(2 * rows - 1)


def nt_xent_orthogonal(rows: int, temperature: float) -> float:
    """NT-Xent of M pairs with perfect positives and orthogonal negatives (3.57 for M=128, temperature 0.5)."""
    return math.log(1 + (2 * rows - 2) * math.exp(-1 / temperature))


def all_half_loss(heads: int, alpha: float = 1.0) -> float:
    """L_feat - alpha L_entropy of K heads whose outputs are all 0.5: ln(2K-1) - alpha."""
    return nt_xent_start(heads) - alpha
