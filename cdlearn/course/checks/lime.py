"""Checks for notebook 08: hiding segments, how much a copy counts, the weighted line through the outputs."""

import torch
from torch import Tensor

from cdlearn.course.checks.grade import Wrong, call, checker, diagnose, tensor


def hidden(image: Tensor, segments: Tensor, shown: Tensor, colours: Tensor) -> Tensor:
    """(H, W, 3) with every segment s that has shown[s] = 0 replaced by colours[s]; colours: (S, 3)."""
    return torch.where(shown[segments].unsqueeze(2) == 1, image, colours[segments])


@checker
def check_hide_segments(given):
    """Checks ``given(image (H, W, 3), segments (H, W), shown (S,)) -> (H, W, 3)``."""
    generator = torch.Generator().manual_seed(8)
    quadrants = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [2, 2, 3, 3, 3], [2, 2, 3, 3, 3]])
    stripes = torch.tensor([[0, 1, 2], [0, 1, 2], [2, 1, 0], [2, 2, 2]])
    for segments, shown in (
        (quadrants, [1, 1, 1, 1]),
        (quadrants, [1, 0, 1, 1]),
        (quadrants, [1, 0, 1, 0]),
        (stripes, [0, 1, 1]),
        (stripes, [0, 0, 0]),
    ):
        image = torch.rand(*segments.shape, 3, generator=generator)
        shown = torch.tensor(shown)
        means = torch.stack([image[segments == number].mean(0) for number in range(len(shown))])
        got = tensor(call(given, image, segments, shown), tuple(image.shape), "the copy").float()
        last_only, but_first, but_last = shown.clone(), shown.clone(), shown.clone()
        last_only[(shown == 0).nonzero().flatten()[:-1]] = 1
        but_first[0] = but_last[-1] = 1
        diagnose(
            got,
            hidden(image, segments, shown, means),
            {
                "you hide what should be shown and show what should be hidden: 1 in shown means shown": hidden(
                    image, segments, 1 - shown, means
                ),
                "hidden segments are black in your copy. Each should take its own mean colour: black is a colour like "
                "any other, and the network may respond to the edge around it": hidden(
                    image, segments, shown, torch.zeros_like(means)
                ),
                "your hidden segments take the mean colour of the whole image; each should take the mean of its own "
                "pixels, image[segments == s]": hidden(image, segments, shown, image.mean((0, 1)).expand_as(means)),
                "your hidden segments are grey: you averaged over the channels as well. Red, green and blue each have "
                "their own mean; average over the pixels only": hidden(
                    image, segments, shown, means.mean(1, keepdim=True).expand_as(means)
                ),
                "only the last hidden segment is hidden: does each round of your loop begin again from the whole "
                "image? Make one copy before the loop and change that": hidden(image, segments, last_only, means),
                "segment 0 is never hidden: segments are numbered from 0": hidden(image, segments, but_first, means),
                "the last segment is never hidden: there are S of them, 0 to S-1": hidden(
                    image, segments, but_last, means
                ),
                "your loop runs over the values of shown, which are 0 and 1; it should run over their places, "
                "range(len(shown))": hidden(
                    image, segments, torch.tensor([int(shown.all()), *[1] * (len(shown) - 1)]), means
                ),
                "nothing is hidden: your copy is the image itself": image,
            },
            otherwise=f"with shown = {shown.tolist()} some pixels are wrong: a segment with 1 keeps its colours, and a "
            "segment s with 0 becomes image[segments == s].mean(0)",
        )
    before = image.clone()
    given(image, segments, shown)
    if not torch.equal(image, before):
        raise Wrong(
            "the copy is right, but your function also writes into the image that it is given. The next copy would "
            "begin from a damaged image; make a clone first"
        )
    return (
        "The copy keeps every segment's mean colour, so hiding takes away only the pattern. For the same reason, "
        "segments as small as a pixel would hide nothing."
    )


def counts_of(distance: Tensor, width: float) -> Tensor:
    """The exponential kernel of a distance."""
    return torch.exp(-(distance**2) / (2 * width**2))


@checker
def check_copy_weights(given):
    """Checks ``given(shown (M, S), width) -> (M,)``: the exponential kernel of the cosine distance."""
    for shown, width in (
        ([[1, 1, 1], [1, 1, 0], [0, 0, 1]], 0.25),
        ([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 1, 0]], 0.25),
        ([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 1, 0]], 0.5),
        ([[1, 1, 0, 1], [0, 0, 0, 0]], 0.25),
    ):
        shown = torch.tensor(shown, dtype=torch.float32)
        got = call(given, shown, width)
        if isinstance(got, Tensor) and got.isnan().any():
            raise Wrong(
                "the copy that hides everything gets nan: its length is 0, and 0/0 is no cosine. It should be at "
                "distance 1 from the whole image. Cancel |v| before you divide, or keep the length from being 0"
            )
        got = tensor(got, (len(shown),), "the result").float()
        share = shown.mean(1)
        cosine = share.sqrt()
        distance = 1 - cosine
        worst = int((got - counts_of(distance, width)).abs().argmax())
        euclid = (1 - shown).sum(1).sqrt()
        diagnose(
            got,
            counts_of(distance, width),
            {
                "these are the distances themselves; the kernel turns them into how much a copy counts": distance,
                "the 2 in the denominator is missing: exp(-d²/width²) falls too fast. It is the square of the right "
                "kernel (lime takes a square root of it for that reason)": torch.exp(-(distance**2) / width**2),
                "your kernel uses the cosine itself as the distance, so the whole image counts least; the "
                "distance is 1 - cosine": counts_of(cosine, width),
                "the distance is not squared in your kernel": torch.exp(-distance / (2 * width**2)),
                "your distance is the fraction of hidden segments, 1 - |v|/S. The cosine with a row of ones is the "
                "square root of the shown fraction, because its length is √|v|, not |v|": counts_of(1 - share, width),
                "your distance is Euclidean, the root of the number of hidden segments. Use 1 - cosine, which does not "
                "grow with the number of segments": counts_of(euclid, width),
                "width is not squared: divide the distance by width, then square": torch.exp(
                    -(distance**2) / (2 * width)
                ),
                "your function ignores width: it always gives the result for 0.25": counts_of(distance, 0.25),
                "the minus sign is missing: near copies count most, at most 1": 1 / counts_of(distance, width),
            },
            otherwise=f"for a copy that shows {shown[worst].int().tolist()} and width {width:g} you give "
            f"{got[worst]:.4f}; 1 - cosine is {distance[worst]:.4f}, and exp(-d²/(2 width²)) is "
            f"{counts_of(distance, width)[worst]:.4f}",
        )
    return (
        "A copy that shows half of its segments is at distance 1 - √½ = 0.29 and counts 0.50 at width 0.25, however "
        "many segments there are. Most copies show about half, so they count nearly the same."
    )


def ridge(shown: Tensor, answers: Tensor, counts: Tensor, penalty: float, fixed: bool = True, line: bool = True):
    """(S + 1,): weights and intercept. ``fixed``: the intercept is not penalised; ``line``: there is one."""
    x = torch.cat([shown, torch.ones(len(shown), 1)], 1) if line else shown
    x, answers, counts = x.double(), answers.double(), counts.double()
    extra = penalty * torch.eye(x.shape[1], dtype=torch.float64)
    if fixed and line:
        extra[-1, -1] = 0
    found = torch.linalg.pinv(x.T @ (counts[:, None] * x) + extra, hermitian=True) @ (x.T @ (counts * answers))
    return found if line else torch.cat([found, torch.zeros(1, dtype=torch.float64)])


def half(shown: Tensor, answers: Tensor, counts: Tensor, penalty: float, right: bool) -> Tensor:
    """:func:`ridge` with the counts in one of its two products only: with the outputs (``right``), or with X."""
    x = torch.cat([shown, torch.ones(len(shown), 1)], 1).double()
    answers, counts = answers.double(), counts.double()
    extra = penalty * torch.eye(x.shape[1], dtype=torch.float64)
    extra[-1, -1] = 0
    left, answers = (x, counts * answers) if right else (counts[:, None] * x, answers)
    return torch.linalg.pinv(x.T @ left + extra, hermitian=True) @ (x.T @ answers)


@checker
def check_weighted_ridge(given):
    """Checks ``given(shown (M, S), answers (M,), counts (M,), penalty) -> (S + 1,)``: weights, then the intercept."""
    generator = torch.Generator().manual_seed(80)
    for copies, segments, penalty in ((8, 3, 1.0), (40, 6, 1.0), (30, 4, 0.1)):
        shown = torch.randint(0, 2, (copies, segments), generator=generator).float()
        shown[0] = 1
        answers = 0.3 + shown @ torch.rand(segments, generator=generator) + 0.3 * shown[:, 0] * shown[:, 1]
        counts = counts_of(1 - shown.mean(1).sqrt(), 0.25)
        got = call(given, shown, answers, counts, penalty)
        if isinstance(got, tuple | list) and len(got) == 2:
            raise Wrong("you return two things; return one tensor (S + 1,), the intercept after the S weights")
        got = tensor(got, (segments + 1,), "the result (S weights, then the intercept)").double()
        want = ridge(shown, answers, counts, penalty)
        diagnose(
            got,
            want,
            {
                "the intercept is penalised like a weight in your solution. This pulls it towards 0, and the weights "
                "make up for it; leave its place on the diagonal 0": ridge(
                    shown, answers, counts, penalty, fixed=False
                ),
                "every copy counts the same in your solution: counts belong in both products, Xᵀ(πX) and Xᵀ(πf)": ridge(
                    shown, answers, torch.ones(copies), penalty
                ),
                "counts enter twice: multiply X or the answers by π, or both by √π, but not both by π": ridge(
                    shown, answers, counts**2, penalty
                ),
                "there is no penalty in your solution: add it to the diagonal (not for the intercept)": ridge(
                    shown, answers, counts, 0.0
                ),
                "your line has no intercept: it predicts 0 for the copy that hides everything. Append a column of "
                "ones": ridge(shown, answers, counts, penalty, line=False),
                "the penalty is multiplied by the number of copies": ridge(shown, answers, counts, penalty * copies),
                "your penalty is squared or has a fixed size: add it to the diagonal as it is": ridge(
                    shown, answers, counts, 1.0
                ),
                "the intercept comes first in your result; it should come last": want.roll(1),
                "the counts are missing in Xᵀ(πX): they belong in both products": half(
                    shown, answers, counts, penalty, True
                ),
                "the counts are missing in Xᵀ(πf): they belong in both products": half(
                    shown, answers, counts, penalty, False
                ),
            },
            otherwise=f"for {copies} copies of {segments} segments you give {[round(v, 3) for v in got.tolist()]}, but "
            f"(Xᵀ π X + λ)⁻¹ Xᵀ π f is {[round(v, 3) for v in want.tolist()]}, where X is shown with a column of ones",
        )
    return (
        "This is all that LIME computes; the rest is asking the network. The penalty matters less and less as copies "
        "are added: Xᵀ π X grows with them, λ does not."
    )
