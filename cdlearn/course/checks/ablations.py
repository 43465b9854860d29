"""Checks for notebook 07: switches as settings, whether a difference is more than chance, and many tests."""

from itertools import combinations

import numpy as np
import torch

from cdlearn.config import Config
from cdlearn.course.checks.grade import Wrong, call, checker, diagnose, number, tensor
from cdlearn.results.compare_seeds import holm

EXACT = (  # scores whose means a computer adds up without rounding
    ([0.875, 0.75, 0.8125, 0.625], [0.25, 0.5, 0.375, 0.125]),
    ([0.5, 0.75, 0.625, 0.875, 0.25], [0.75, 0.625]),
    ([1.0, 1.0], [1.0, 1.0]),
)
ROUNDED = (([0.9, 0.8, 0.85], [0.2, 0.3, 0.25]), ([0.6, 0.5, 0.8], [0.9, 0.4, 0.1]))  # and those where it does round
CHANCES = ([0.01, 0.04, 0.03, 0.005], [0.6, 0.02, 0.9], [0.04])  # p values of several comparisons


MEANT = {"entropy": "alpha", "batch_norm": "head_batch_norm", "schedule": "cosine", "clipping": "clip"}


@checker
def check_switch(given):
    """Checks ``given(entropy, batch_norm) -> settings`` for the four rows of Table 4."""
    for entropy, batch_norm in ((True, True), (False, False), (True, False), (False, True)):
        got = call(given, entropy, batch_norm)
        what = f"For entropy={entropy}, batch_norm={batch_norm}"
        if not isinstance(got, dict):
            raise Wrong(f"{what} you return a {type(got).__name__}; it should be a dictionary of settings.")
        if wrong := next((name for name in got if name in MEANT), None):
            raise Wrong(f"{what} you set {wrong!r}; the setting of Config is called {MEANT[wrong]!r}.")
        if got.get("clip", 0) is None or got.get("clip") is False:
            raise Wrong(f"{what} clip is {got['clip']}; it is a number, and 0 means no clipping.")
        if isinstance(got.get("alpha"), bool):
            raise Wrong(f"{what} alpha is {got['alpha']}; it is a number, so write float(entropy).")
        try:
            config = Config.preset("smoke", **got)
        except Exception as error:
            raise Wrong(f"{what} Config.preset refuses your settings: {error}") from None
        if (config.alpha > 0) is not entropy:
            slip = "the two arguments are swapped" if (config.alpha > 0) is batch_norm else "alpha weighs the entropy"
            raise Wrong(f"{what} alpha is {config.alpha:g}: {slip}; alpha = 0 switches the entropy off.")
        if config.alpha not in (0.0, 1.0):
            raise Wrong(
                f"{what} alpha is {config.alpha:g}; an ablation only switches a part on or off, so alpha is 1 or 0."
            )
        if config.head_batch_norm is not batch_norm:
            raise Wrong(f"{what} head_batch_norm is {config.head_batch_norm}: the heads' BatchNorm is not switched.")
        if config.cosine or config.clip:
            raise Wrong(
                f"{what} the schedule or the clipping is still on (cosine {config.cosine}, clip {config.clip:g}): "
                "Table 4's last row is Table 5's first, which has neither."
            )
        if config != Config.preset("smoke", alpha=float(entropy), head_batch_norm=batch_norm, cosine=False, clip=0.0):
            raise Wrong(
                f"{what} you change something else as well, so nobody can tell which change made the difference."
            )
    return "The four rows differ in two switches and in nothing else, so only these switches can cause a gain."


def regroupings(a, b, size: int = 0, by_value: bool = False) -> np.ndarray:
    """The differences of means of every regrouping; ``by_value`` leaves out scores by value, not by place."""
    pooled, gaps = np.array([*a, *b]), []
    for chosen in combinations(range(len(pooled)), size or len(a)):
        group = pooled[list(chosen)]
        rest = [x for i, x in enumerate(pooled) if (x not in group if by_value else i not in chosen)]
        gaps.append(group.mean() - np.mean(rest) if rest else np.nan)
    return np.array(gaps)


def p_value(a, b) -> float:
    """The exact two-sided permutation test for a difference of means; it goes through every regrouping."""
    return float(np.mean(np.abs(regroupings(a, b)) >= abs(np.mean(a) - np.mean(b)) - 1e-12))


def seen(a, b) -> float:
    """The difference of means of the grouping that was seen."""
    return np.mean(a) - np.mean(b)


SLIPS = {  # of the permutation test: what went wrong, in words -> what it then gives
    "You count only regroupings that differ by MORE than the real one. The real one counts too; otherwise p could be "
    "0, which no finite number of runs can show.": lambda a, b: np.mean(abs(regroupings(a, b)) > abs(seen(a, b))),
    "You count one direction only. A difference in the other direction would surprise as much, so compare absolute "
    "values.": lambda a, b: np.mean(regroupings(a, b) >= seen(a, b)),
    "You return the fraction that differs less: 1 - p.": lambda a, b: 1 - p_value(a, b),
    "You return the difference of the means itself; the question is how often chance makes one as large.": (
        lambda a, b: abs(seen(a, b))
    ),
    "Your first group takes half of all scores. With lists of unequal length it has as many as a: choose len(a) of the "
    "places.": lambda a, b: np.mean(abs(regroupings(a, b, (len(a) + len(b)) // 2)) >= abs(seen(a, b))),
    "You leave out scores by their value, so a score that stands twice is lost with its twin. Choose places, "
    "range(len(pooled)), not values.": lambda a, b: np.mean(abs(regroupings(a, b, 0, True)) >= abs(seen(a, b))),
}


@checker
def check_permutation_test(given):
    """Checks ``given(a, b) -> p`` against every regrouping of the scores."""
    got = []
    for a, b in EXACT:
        got.append(number(call(given, list(a), list(b)), "p"))
        if not 0 <= got[-1] <= 1:
            raise Wrong(f"p is {got[-1]:.3f}; it is a fraction of all regroupings, so it lies between 0 and 1")
    want = [p_value(a, b) for a, b in EXACT]
    worst = int(np.argmax(np.abs(np.subtract(got, want))))
    a, b = EXACT[worst]
    diagnose(
        torch.tensor(got, dtype=torch.float64), torch.tensor(want, dtype=torch.float64),
        {words: torch.tensor([float(slip(a, b)) for a, b in EXACT]) for words, slip in SLIPS.items()},
        f"For {a} against {b} p should be {want[worst]:.3f}, you give {got[worst]:.3f}: do you go through every way "
        f"to choose {len(a)} of the {len(a) + len(b)} scores?",
    )  # fmt: skip
    for a, b in ROUNDED:
        found, right = number(call(given, list(a), list(b)), "p"), p_value(a, b)
        if abs(found - right) > 1e-6:
            raise Wrong(
                f"For {a} against {b} you give {found:.3f} instead of {right:.3f}, and only because of rounding: two "
                "differences that are equal on paper differ in their last bit. Leave a little room: >= seen - 1e-12."
            )
    return "With three seeds per side there are 20 regroupings, so p is at least 2/20: three seeds cannot show more."


@checker
def check_holm(given):
    """Checks ``given(chances) -> corrected``, Holm's correction in the order of the p values given."""
    for chances in CHANCES:
        many, ranked = len(chances), sorted(chances)
        want = holm(chances)
        got = tensor(call(given, list(chances)), (many,), f"The correction of {chances}").double()
        steps = [(many - rank) * chance for rank, chance in enumerate(ranked)]
        back = [ranked.index(chance) for chance in chances]  # no p value stands twice in CHANCES
        upwards = [min([1.0, *(many / (at + 1) * ranked[at] for at in range(rank, many))]) for rank in range(many)]
        slips = {
            "You multiply every p by the number of tests. That is Bonferroni's correction: safe, but the second "
            "smallest p needs only n - 1, the third n - 2.": [min(1.0, many * chance) for chance in chances],
            "You return the corrected values from the smallest to the largest. Put each back where its p came from.": (
                sorted(want)
            ),
            "No p may end below one that was smaller before: take the largest value so far, from the smallest p "
            "upwards.": [min(1.0, steps[rank]) for rank in back],
            "A p value is a chance, so it cannot be above 1: cut it off there.": [
                max(steps[: rank + 1]) for rank in back
            ],
            "That is the correction of Benjamini and Hochberg. It bounds the fraction of false alarms among the finds; "
            "Holm's rule bounds the chance of a single one.": [upwards[rank] for rank in back],
            "You return the p values as they came.": chances,
        }
        diagnose(
            got, torch.tensor(want, dtype=torch.float64),
            {words: torch.tensor(value, dtype=torch.float64) for words, value in slips.items()},
            f"For {chances} Holm's p values are {[round(float(value), 4) for value in want]}, you give "
            f"{[round(float(value), 4) for value in got]}.",
        )  # fmt: skip
    return "Below 0.05 after this, all comparisons together raise a false alarm in at most one table of twenty."
