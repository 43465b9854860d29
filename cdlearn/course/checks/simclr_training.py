"""Checks of notebook 02, continued: a meter with a bug, a loss to predict, a matrix to read."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cdlearn.course.checks.grade import StillBroken, Wrong, call, checker, close, number
from cdlearn.course.checks.kinds import Choice, Prediction


def reading(z: Tensor, slip: str = "") -> float:
    """The collapse meter, or the wrong reading that the mistake ``slip`` gives."""
    unit = z if slip == "raw" else F.normalize(z, dim=1)
    if slip == "all":
        return unit.std().item() * z.shape[1] ** 0.5
    spread = unit.var(0) if slip == "variance" else unit.std(1 if slip == "rows" else 0)
    mean = spread.sum() if slip == "sum" else spread.mean()
    return mean.item() * (1 if slip == "no root" else z.shape[1] if slip == "no power" else z.shape[1] ** 0.5)


METER_SLIPS = {
    "raw": "Your rows keep their lengths, so the meter confuses length with direction. Give every row the length 1",
    "all": "You take one standard deviation over all numbers of the table, so rows that all point one way still read "
    "high. Take it of each coordinate, over the images",
    "variance": "You average variances. The meter averages standard deviations",
    "sum": "You add up the coordinates' standard deviations; the meter takes their mean",
    "no root": "The factor sqrt(d) is missing, so that the reading depends on the number of coordinates",
    "no power": "You multiply by d; spread evenly over the sphere, a coordinate has the standard deviation 1/sqrt(d)",
}


@checker
def check_meter(given):
    """Checks ``given(z) -> float``: about 1 for rows spread over the sphere, 0 for rows that all point one way."""
    draws = torch.Generator().manual_seed(4)
    lengths = torch.rand(500, 1, generator=draws) + 0.5
    even = lengths * F.normalize(torch.randn(500, 32, generator=draws), dim=1)
    one_way = lengths * F.normalize(torch.randn(1, 32, generator=draws), dim=1)
    uneven = torch.randn(500, 32, generator=draws) * torch.linspace(0, 2, 32) + torch.randn(500, 1, generator=draws) + 1
    found = []
    for z, what in ((even, "spread evenly"), (one_way, "that all point one way"), (uneven, "spread unevenly")):
        found.append((z, what, number(call(given, z), f"The reading of 500 rows {what}")))
    if all(close(got, reading(z, "rows"), 2e-3) for z, _, got in found):
        raise StillBroken(
            f"500 rows that all point one way read {found[1][2]:.2f}, and 500 rows spread evenly over the sphere read "
            f"{found[0][2]:.2f}. A meter that never falls warns of nothing."
        )
    for slip, words in METER_SLIPS.items():
        if all(close(got, reading(z, slip), 2e-3) for z, _, got in found):
            raise Wrong(f"{words}. (500 rows that all point one way read {found[1][2]:.2f}.)")
    for z, what, got in found:
        if not close(got, reading(z), 2e-3):
            raise Wrong(f"500 rows {what} read {got:.3f}; they should read {reading(z):.3f}.")
    return (
        "The standard deviation runs over the images, one per coordinate. Taken within a row it is about 1/sqrt(d) "
        "for every row of length 1 and mean 0, whatever the other rows do."
    )


check_doubled_batch = Prediction(
    within=0.1,
    praise="Each row keeps its partner and gets twice as many competitors like the ones it had. So the sum in the "
    "denominator doubles (nearly), and its log grows by ln 2 = 0.69. The network is no worse than before.",
    low="The rows' partners do not change, but their competitors do. What happens to the sum in Eq. 3's denominator, "
    "and what does the log make of it?",
    high="That is too much. The sum in the denominator doubles, and the loss is its log.",
    typical=0.69,
    slips={
        "The mean over the rows is still a mean, but each row now has 511 columns to choose from instead of 255.": 0.0,
        "The sum doubles; the loss takes its log, to the base e.": 2.0,
        "That would be the log to the base 2. The loss is in nats.": 1.0,
        "The size is right and the sign is not: with more competitors the task is harder.": -math.log(2),
    },
)

check_hardest_rows = Choice(
    right="b",
    praise="A row's loss is high when many other rows are as near as its partner. A patch of grass finds two bright "
    "blocks in its row: its own photograph and gravel.",
    wrong={
        "a": "A bright block is a crowd at a cosine near 1, and that costs something. But the partner is just as near, "
        "and all other columns of the row are dark. Does another row have a larger crowd?",
        "c": "A dark block is no crowd: the patches in it are separated, so they hardly compete with the partner. "
        "Which rows have the most bright cells?",
        "d": "The loss is a mean, but each row has its own columns. Compare how many bright cells the rows have.",
    },
)
