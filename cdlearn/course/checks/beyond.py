"""Checks of notebook 10: saturated heads, heads by correlation, a target that follows, VICReg's variance."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn import losses
from cdlearn.course.checks.grade import StillBroken, Wrong, call, checker, close, diagnose, gradients, number
from cdlearn.course.checks.kinds import Choice, Prediction
from cdlearn.methods import vicreg

check_decided = Prediction(
    within=0.04,
    praise="Two coins both fire for a quarter of the images, and each fires for half: 1/4 / (√(1/2) √(1/2)) = 1/2. "
    "The most saturated and least related heads there are still have a cosine of one half.",
    low="Write two columns of zeros and ones by hand, four images each, and take their cosine. No product is negative.",
    high="Half of the outputs are 0, so two heads overlap only in the images for which both fire. How many are these?",
    typical=0.5,
    slips={
        "Orthogonal heads need products that cancel, and no output is negative. Subtracting each head's mean would "
        "give that": 0.0,
        "That is the fraction of images for which both fire. The cosine divides it by the lengths of the columns": 0.25,
        "That is the value for outputs spread like the sigmoid of N(0, 1). These outputs are 0 or 1": 0.85,
    },
)


def _answers(n: int, k: int, seed: int) -> tuple[Tensor, Tensor]:
    """Outputs (n, k) of k heads for two views of n images, with a mean of its own for each head."""
    generator = torch.Generator().manual_seed(seed)
    common = 1.5 * torch.randn(n, k, generator=generator) + torch.linspace(-2, 2, k)
    return tuple(torch.sigmoid(common + 0.5 * torch.randn(n, k, generator=generator)) for _ in range(2))


@checker
def check_correlated(given):
    """Checks ``given(y1, y2, temperature) -> loss`` against the feature loss by correlation."""
    for n, k, temperature in ((7, 4, 0.2), (5, 6, 1.0), (12, 3, 0.5)):
        y1, y2 = _answers(n, k, seed=n)
        want = losses.feature_loss(y1, y2, temperature, "correlation")

        def nt_xent(a: Tensor, b: Tensor, at: float = temperature) -> float:
            return losses.nt_xent(a, b, at).item()

        rows = [y - y.mean(1, keepdim=True) for y in (y1, y2)]
        both = torch.cat([y1, y2]).mean(0)
        columns = [y - y.mean(0) for y in (y1, y2)]
        got = number(call(given, y1, y2, temperature), "the loss")
        slips = {
            "That is the published loss: each head's mean is still in its outputs": nt_xent(y1.T, y2.T),
            "You take off the mean of each image (a row). Each head, a column, should lose its own mean": nt_xent(
                rows[0].T, rows[1].T
            ),
            "You contrast images. Heads are columns: transpose before nt_xent": nt_xent(*columns),
            "You contrast images, and take off the mean of each image": nt_xent(*rows),
            "You take off one mean over both views. Each view has a mean of its own, as a correlation has": nt_xent(
                (y1 - both).T, (y2 - both).T
            ),
            "You take off one mean over all heads and images. Each head should lose its own": nt_xent(
                (y1 - y1.mean()).T, (y2 - y2.mean()).T
            ),
        }
        if temperature != 1:
            slips["The temperature has no effect: hand it on to nt_xent"] = nt_xent(columns[0].T, columns[1].T, 1.0)
        diagnose(
            got,
            want.item(),
            slips,
            f"for {n} images, {k} heads and temperature {temperature} it should be {want:.4f}, yours is {got:.4f}",
        )
    y1, y2 = (y.requires_grad_() for y in _answers(6, 4, seed=3))
    gradients(given(y1, y2, 0.2), y1, y2)
    return "One subtraction per head, and unrelated heads are orthogonal. Now the loss has something to gain."


class _Pair(nn.Module):
    """A few weights of different shapes."""

    def __init__(self, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layer = nn.Linear(3, 2)
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(torch.randn(weight.shape, generator=generator))


def _moved(keep: float, seed: int) -> tuple[_Pair, _Pair, list[Tensor], list[Tensor]]:
    """target and online networks, the weights that the target should get, and those of the online one."""
    target, online = _Pair(seed), _Pair(seed + 1)
    theirs = [weight.detach().clone() for weight in online.parameters()]
    want = [keep * a.detach() + (1 - keep) * b for a, b in zip(target.parameters(), theirs, strict=True)]
    return target, online, want, theirs


@checker
def check_follow(given):
    """Checks ``given(target, online, keep)``, which moves target's weights; as handed out it copies them."""
    for keep, seed in ((0.99, 0), (0.9, 2), (0.6, 4)):
        target, online, want, theirs = _moved(keep, seed)
        before = [weight.detach().clone() for weight in target.parameters()]
        try:
            got = given(target, online, keep)
        except Exception as error:
            raise Wrong(f"Your function stopped with {type(error).__name__}: {str(error).splitlines()[0]}") from None
        now = [weight.detach() for weight in target.parameters()]
        if not all(close(a, b) for a, b in zip(online.parameters(), theirs, strict=True)):
            raise Wrong("The online network changed. Only the target follows; gradients move the online one")
        if all(close(a, b) for a, b in zip(now, want, strict=True)):
            continue
        if all(close(a, b) for a, b in zip(now, before, strict=True)):
            less = "" if got is None else " (a new value was returned, but the target's own weights must change)"
            raise Wrong(f"The target did not move{less}. weight.copy_(…) or weight.lerp_(…) changes it in place")
        swapped = [keep * b + (1 - keep) * a for a, b in zip(before, theirs, strict=True)]
        if all(close(a, b) for a, b in zip(now, swapped, strict=True)):
            raise StillBroken(f"With keep = {keep} the target went {100 * keep:.0f}% of the way in a single step.")
        if all(close(a, b) for a, b in zip(now, theirs, strict=True)):
            raise Wrong("The target is now a copy of the online network: how much should it keep of itself?")
        raise Wrong(
            f"With keep = {keep} a weight of {before[0][0, 0]:.3f} should go to {want[0][0, 0]:.3f}, where the online "
            f"network has {theirs[0][0, 0]:.3f}; yours went to {now[0][0, 0]:.3f}"
        )
    return "A slow target is an average over many steps: steadier than any one of them, and always a little behind."


@checker
def check_variance(given):
    """Checks ``given(z) -> how far the columns' standard deviations fall short of 1`` (VICReg's variance term)."""
    for n, d, scale in ((6, 3, 0.4), (9, 4, 1.0), (5, 2, 0.1)):
        generator = torch.Generator().manual_seed(n)
        z = scale * torch.randn(n, d, generator=generator) * torch.linspace(0.3, 2.5, d)
        want = vicreg.variance_loss(z)
        variance = z.var(0)
        got = number(call(given, z), "the variance term")
        if close(got, F.relu(1 - z.std(0)).mean()):
            continue  # without 1e-4: right so far, the gradient decides
        diagnose(
            got,
            want,
            {
                "That uses the variance, whose gradient vanishes where a column has collapsed. Use its root, the "
                "standard deviation": F.relu(1 - variance).mean(),
                "Columns that are spread more than 1 lower your loss. They should cost nothing, and earn nothing: "
                "F.relu": (1 - torch.sqrt(variance + vicreg.SMALLEST)).mean(),
                "You measure each image's spread over its columns. A column should be spread over the images: "
                "dim=0": F.relu(1 - torch.sqrt(z.var(1) + vicreg.SMALLEST)).mean(),
                "You add the columns up; take their mean": F.relu(1 - torch.sqrt(variance + vicreg.SMALLEST)).sum(),
                "The variance divides by N instead of N - 1; z.var(0) does it right": F.relu(
                    1 - torch.sqrt(z.var(0, correction=0) + vicreg.SMALLEST)
                ).mean(),
                "The sign is wrong: columns that are spread cost, and collapsed ones do not": F.relu(
                    torch.sqrt(variance + vicreg.SMALLEST) - 1
                ).mean(),
            },
            f"for z of shape {n, d} it should be {want:.4f}",
        )
    same = torch.ones(4, 3, requires_grad=True)
    if not gradients(given(same), same)[0].isfinite().all():
        raise Wrong(
            "When all images are equal the gradient is NaN: the root of 0 has none. Add 1e-4 to the variance first"
        )
    return "It holds every column's spread at 1: without a single negative, not all images can end in one point."


check_budget = Choice(
    right="c",
    praise="The same number of views is not the same work: the methods differ in views per image and in networks per "
    "view. Seconds are what a reader pays with.",
    wrong={
        "a": "Both charts show the same methods. What differs is how long each was allowed to train, so at most one of "
        "the two can be taken as a ranking for your budget.",
        "b": "One seed, one data set and one setting for each method: the chart ranks what "
        "was tried, and not the ideas.",
        "d": "A loss is measured in the units of its own formula. VICReg's starts far above SimCLR's, whatever it has "
        "learned.",
    },
)
