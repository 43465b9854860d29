"""Two arms of an experiment over the same training seeds: the difference pair by pair, and its uncertainty.

Runs that share a seed share first weights, the order of the images and the views. So the difference is taken within
each seed, and the seeds are the sample: mean difference, 95% interval and p of the t test for pairs, Holm's correction
over the family that the caller names, and the smallest effect that so many pairs find with 80% power.

Why not Welch's test: it treats the two arms as independent, which runs of one seed are not. Why not one linear model
with seeds as random effects over all arms: it would take one error variance from all arms, and with it many more
degrees of freedom, but only if every pair of arms had the same correlation and the same spread. Here the correlation of
two arms over five seeds ranges from -0.94 to 0.99, and an arm at the ceiling has no spread at all. Each pair of arms
therefore has its own error. The price is few degrees of freedom, four for five seeds; more seeds pay it off.

SciPy does the arithmetic.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, t, ttest_1samp

SCORES = {"nmi": "NMI", "ari": "ARI", "acc": "ACC", "knn": "kNN"}  # every comparison reports all of them
LEVEL, POWER = 0.05, 0.8
NO_SPREAD = 1e-9  # differences that scatter less than this are equal but for rounding
BETTER, WORSE, NOT_SHOWN = "better", "worse", "not shown"
ONE_SEED, MISSING = "one seed: no verdict", "not yet measured"
VERDICTS = (BETTER, WORSE, NOT_SHOWN, ONE_SEED, MISSING)


@dataclass(frozen=True)
class Difference:
    """One arm minus another over the seeds that both have. What cannot be known from so many pairs is NaN.

    one, other: mean scores over the pairs; gap: their difference; low, high: its 95% interval, for this comparison
    alone; p: of the t test for pairs, two-sided; holm: p corrected over the family; smallest: the true difference that
    so many pairs find with 80% power at the level of the family's strictest test, from the spread that was seen;
    pairs: the seeds that count; left_out: seeds that only one arm has, or whose score is not a number; family and
    tests: what the correction covers, and how many tests that is.
    """

    one: float
    other: float
    gap: float
    low: float
    high: float
    p: float
    holm: float
    smallest: float
    pairs: int
    left_out: int
    family: str = "this comparison alone"
    tests: int = 1

    @property
    def verdict(self) -> str:
        """better, worse or not shown, by Holm's p; with one pair no verdict, with none not yet measured."""
        if self.pairs < 2:
            return ONE_SEED if self.pairs else MISSING
        return NOT_SHOWN if self.holm >= LEVEL else BETTER if self.gap > 0 else WORSE

    def __str__(self) -> str:
        if not self.pairs:
            return MISSING
        if self.gap == 0 and self.p == 1:
            return f"equal in all {self.pairs} pairs"
        gap = f"{self.gap:+.3f}" if math.isnan(self.low) else f"{self.gap:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"
        return f"{gap}, {self.verdict}" if self.pairs == 1 else f"{gap}, Holm's p {shown_p(self.holm)}"


def shown_p(p: float) -> str:
    """A p value for a table, with a fourth digit where three would hide on which side of 0.05 it lies."""
    return "< 0.001" if p < 0.0005 else f"{p:.4f}" if f"{p:.3f}" == "0.050" else f"{p:.3f}"


def paired(one: Mapping, other: Mapping) -> Difference:
    """``one`` minus ``other``, each a score by seed (a dict, or a Series with the seeds as its index).

    Differences without any spread have no t test. Where they are zero, p is 1; else it is that of the sign test, which
    needs no spread: 0.0625 for five pairs.

    Raises:
        ValueError: for a seed that an arm has twice.
    """
    a, b = by_seed(one), by_seed(other)
    seeds = [seed for seed in a if seed in b and math.isfinite(a[seed]) and math.isfinite(b[seed])]
    pairs, left_out = len(seeds), len({*a, *b}) - len(seeds)
    if not pairs:
        return Difference(*[math.nan] * 8, 0, left_out)
    x, y = (np.array([of[seed] for seed in seeds]) for of in (a, b))
    gap, means = x - y, (float(x.mean()), float(y.mean()), float((x - y).mean()))
    if pairs == 1:
        return Difference(*means, *[math.nan] * 5, 1, left_out)
    spread = float(gap.std(ddof=1))
    if spread < NO_SPREAD:
        p = 1.0 if abs(means[2]) < NO_SPREAD else 2.0 ** (1 - pairs)
        return Difference(*means, math.nan, math.nan, p, p, math.nan, pairs, left_out)
    test = ttest_1samp(gap, 0.0)
    low, high = test.confidence_interval(1 - LEVEL)
    p, least = float(test.pvalue), smallest_effect(spread, pairs)
    return Difference(*means, float(low), float(high), p, p, least, pairs, left_out)


def compare(family: str, sides: Mapping[Hashable, tuple[Mapping, Mapping]]) -> dict[Hashable, Difference]:
    """Every comparison of a family, with Holm's correction over those that have at least two pairs.

    family: what the correction covers, in words; sides: a name -> the scores by seed of the two arms.
    """
    found = {name: paired(*arms) for name, arms in sides.items()}
    corrected = holm([difference.p for difference in found.values()])
    tests = sum(difference.pairs > 1 for difference in found.values())
    level = LEVEL / max(1, tests)
    return {
        name: replace(d, holm=p, family=family, tests=tests, smallest=rescaled(d, level))
        for (name, d), p in zip(found.items(), corrected, strict=True)
    }


def rescaled(difference: Difference, level: float) -> float:
    """The smallest effect of a comparison at another level."""
    if math.isnan(difference.low):
        return math.nan
    pairs = difference.pairs
    error = (difference.high - difference.low) / 2 / t.ppf(1 - LEVEL / 2, pairs - 1)
    return smallest_effect(error * pairs**0.5, pairs, level)


def by_seed(scores: Mapping) -> dict:
    """Scores by seed as a plain dictionary."""
    items = list(scores.items())
    found = {seed: float(value) if value not in ("", None) else math.nan for seed, value in items}
    if len(found) < len(items):
        twice = next(seed for seed in found if sum(seed == other for other, _ in items) > 1)
        raise ValueError(f"seed {twice} occurs twice in one arm; a pair needs one run of each arm")
    return found


def holm(chances: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm, 1979): below 0.05, all of them together err in one case of twenty.

    NaN, for what was not tested, stays NaN and does not count.
    """
    chances = np.asarray(list(chances), dtype=float)
    corrected, tested = np.full(len(chances), math.nan), np.flatnonzero(~np.isnan(chances))
    order = tested[np.argsort(chances[tested], kind="stable")]
    steps = np.arange(len(order), 0, -1) * chances[order]
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected.tolist()


def smallest_effect(spread: float, pairs: int, level: float = LEVEL, power: float = POWER) -> float:
    """The true difference that a two-sided t test over so many pairs finds with this power; NaN for fewer than two.

    spread: the standard deviation of the pairs' differences. t then follows the noncentral t distribution, whose shift
    is difference / (spread / sqrt(pairs)). The other tail, of a difference found with the wrong sign, is left out.
    """
    if pairs < 2:
        return math.nan
    freedom = pairs - 1
    bar = t.ppf(1 - level / 2, freedom)
    highest = bar
    while nct.sf(bar, freedom, highest) < power:
        highest *= 2
    shift = brentq(lambda of: nct.sf(bar, freedom, of) - power, 0.0, highest)
    return float(shift * spread / pairs**0.5)


def in_words(by_score: Mapping[str, Difference]) -> str:
    """In which scores one arm is better: {"NMI": …, "kNN": …} -> "better in NMI; not shown in kNN"."""
    parts = []
    for verdict in VERDICTS:
        names = [name for name, difference in by_score.items() if difference.verdict == verdict]
        if names:
            listed = ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
            parts.append(f"{verdict} in {listed}" if verdict in (BETTER, WORSE, NOT_SHOWN) else f"{listed} {verdict}")
    return "; ".join(part.replace(f" {ONE_SEED}", f": {ONE_SEED}") for part in parts)
