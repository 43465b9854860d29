"""Checks for notebook 08 that are no functions to write: a score with a bug, a prediction, and a figure to read."""

import numpy as np
import torch
from sklearn.linear_model import Ridge

from cdlearn.course.checks.grade import StillBroken, call, checker, diagnose, tensor
from cdlearn.course.checks.kinds import Choice, Prediction

check_lonely = Prediction(
    within=0.1,
    praise="Hiding plain ground by its mean colour changes nothing, so the weight of every cell of the ground is 0. "
    "Only the patch is left to have the largest weight, for any network at all.",
    low="Think of a cell of the plain ground, hidden by its own mean colour. What does the copy look like, and how "
    "much can the output of any network change?",
    high="A fraction cannot be above 1.",
    typical=1.0,
    slips={
        "That is chance among nine tiles. But the tiles are not identical any more: what does it change to hide a "
        "cell of the plain ground by its own mean colour?": 0.11,
        "That is the result with nine patches. Now eight tiles are plain: what does it change to hide one of them by "
        "its own mean colour?": 0.06,
        "That is chance among 36 cells. But most cells are plain now: what does it change to hide one of them by its "
        "own mean colour?": 0.03,
    },
)

check_favourite = Choice(
    right="b",
    praise="Read down the column: the head of grass and tissue points to the gravel as often as the gravel's own head. "
    "A hit counts only where no head of another photograph points there as often.",
    wrong={
        "a": "Chance is the wrong comparison here. Look down the bright column: what do the heads do that are for "
        "something else?",
        "c": "A head may detect its photograph and still miss now and then. The question is what a hit is compared "
        "with: look down the bright column.",
        "d": "A hit is counted only where the best cell lies on the right tile, however well the line fits. The "
        "question is what a hit of this head is compared with.",
    },
)


def r2(fit_to, scored_on, shown, counts_fit, counts_score) -> float:
    """The R² of the line that was fitted to some outputs, on the same or on other outputs."""
    line = Ridge(alpha=1.0).fit(shown, fit_to, sample_weight=counts_fit)
    return float(line.score(shown, scored_on, sample_weight=counts_score))


@checker
def check_fidelities(given):
    """Checks ``given(shown (M, S), answers (M, K), counts (M,)) -> K``: the weighted R² of each head's own line."""
    draw, cases = np.random.default_rng(81), []
    for copies, segments, heads in ((60, 6, 3), (40, 4, 2)):
        shown = draw.integers(0, 2, (copies, segments)).astype(float)
        shown[0] = 1
        answers = 0.2 + 0.6 * shown[:, :heads] + 0.02 * draw.normal(size=(copies, heads))  # each has its own segment
        answers[:, 0] *= shown[:, 1]  # and the first an "and" of two
        cases.append((shown, answers, np.exp(-((1 - shown.mean(1) ** 0.5) ** 2) / (2 * 0.25**2))))
    got = [
        tensor(call(given, *(part.copy() for part in case)), (case[1].shape[1],), "the list of R²").double()
        for case in cases
    ]

    def every(score) -> torch.Tensor:
        values = [score(k, *case) for case in cases for k in range(case[1].shape[1])]
        return torch.tensor(values, dtype=torch.float64)

    found, ones = torch.cat(got), np.ones_like
    want = every(lambda k, v, f, c: r2(f[:, k], f[:, k], v, c, c))
    if torch.allclose(found, every(lambda k, v, f, c: r2(f[:, -1], f[:, k], v, c, c)), atol=1e-6):
        second = float(got[0][1])
        raise StillBroken(
            f"I gave it three heads that each respond to a segment of their own. A line fits the second almost "
            f"exactly, but your function returns R² = {second:.2f} for it. A fitted line cannot be worse than a "
            "constant, whose R² is 0."
        )
    diagnose(
        found,
        want,
        {
            "Every head gets the R² of the last head now. Each needs the score of its own line on its own outputs.": (
                every(lambda k, v, f, c: r2(f[:, -1], f[:, -1], v, c, c))
            ),
            "The lines are right, but the R² is not weighted: copies that LIME hardly counts in the fit count fully in "
            "your score. Pass sample_weight=counts to score as well.": every(
                lambda k, v, f, c: r2(f[:, k], f[:, k], v, c, ones(c))
            ),
            "The lines are fitted without the counts: pass sample_weight=counts to fit as well.": every(
                lambda k, v, f, c: r2(f[:, k], f[:, k], v, ones(c), c)
            ),
            "Neither fit nor score uses the counts: pass sample_weight=counts to both.": every(
                lambda k, v, f, c: r2(f[:, k], f[:, k], v, ones(c), ones(c))
            ),
            "Every head gets the R² of the first head. Each needs its own line.": every(
                lambda k, v, f, c: r2(f[:, 0], f[:, 0], v, c, c)
            ),
        },
        f"For three heads the R² are {[round(v, 3) for v in want[:3].tolist()]}, you give "
        f"{[round(v, 3) for v in got[0].tolist()]}.",
    )
    return (
        "Each head is scored by its own line. A variable that outlives its loop raises no error, so only the symptom "
        "tells: an R² below 0 for a fitted line."
    )
