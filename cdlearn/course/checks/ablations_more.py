"""Checks for notebook 07 that are no functions to write: what power and many tests do, a bug, and a row to read."""

import numpy as np
import torch
from scipy import stats

from cdlearn.course.checks.grade import StillBroken, call, checker, diagnose, number
from cdlearn.course.checks.kinds import Choice, Prediction

check_power = Prediction(
    within=0.08,
    praise="The gap is only 0.015 / 0.013 = 1.1 standard errors, and a t test with eight degrees of freedom requires "
    "2.3. Chance has to lift the gap by 1.2 standard errors, which it does about one time in six.",
    low="Even without any effect the test finds a gap in 5 of 100 repetitions, and a real gap of 1.1 standard errors "
    "helps a little.",
    high="Compare the gap with its standard error, 0.021 * sqrt(2 / 5) = 0.013. A t test requires a gap of 2.3 "
    "standard errors; this gap has 1.1. (Predict a fraction between 0 and 1.)",
    typical=0.16,
    slips={"One half would be right if the gap were exactly as large as the test asks for, 0.030.": 0.5},
)

check_fooled = Prediction(
    within=0.06,
    praise="Each comparison stays silent with the chance 0.95, so all 13 stay silent with 0.95 ** 13 = 0.51. The other "
    "0.49 are false alarms. (Welch's test with five seeds is a little stricter than it says, hence a little less.)",
    low="Each of the 13 comparisons has its own chance of 0.05 to raise a false alarm. How likely is it that all 13 "
    "stay silent?",
    high="Start from the chance that all 13 stay silent, 0.95 multiplied 13 times. (A fraction, from 0 to 1.)",
    typical=0.44,
    slips={
        "That is the chance for one comparison. The table has 13 of them, and one false alarm is enough.": 0.05,
        "You added up the chances, 13 * 0.05. That counts a table with two false alarms twice.": 0.65,
        "That is the chance that all 13 stay silent; the question asks for the other tables.": 0.51,
    },
)

check_not_shown = Choice(
    right="c",
    praise="The interval runs from a loss of 0.048 to a gain of 0.014. By the figure, five seeds find a true gap of "
    "0.02 on h in fewer than a third of the repetitions. So this row shows little, and more seeds would show more.",
    wrong={
        "a": "That is the most common mistake of all. The interval holds 0, but also a loss of 0.048 and a gain of "
        "0.014. A test that finds nothing does not show that there is nothing.",
        "b": "0.017 is the gap between ten runs, not between the two methods. With p = 0.231 chance alone makes a "
        "gap like this in more than every fifth experiment.",
        "d": "More images would make each NMI more precise. But the points scatter because every *training* ends "
        "elsewhere, and this scatter stays.",
    },
)


def false_alarms(given, tables: int = 300) -> float:
    """The fraction of experiments without any effect in which the learner's p is below 0.05."""
    draw, found = np.random.default_rng(7), []
    for _ in range(tables):
        network = draw.normal(0.75, 0.02, (2, 5, 1))  # what each of the five trainings per arm came to
        a, b = network + draw.normal(0, 0.004, (2, 5, 3))  # and its three clusterings
        found.append(number(call(given, a, b), "p"))
    return float(np.mean(np.array(found) < 0.05))


def welch(a, b, same: bool = False) -> float:
    return float(stats.ttest_ind(a, b, equal_var=same).pvalue)


@checker
def check_runs(given):
    """Checks ``given(a, b) -> p``, with a and b of shape (training seeds, K-means seeds): a run is one training."""
    draw, cases = np.random.default_rng(70), []
    for seeds, clusterings, gap in ((5, 3, 0.02), (4, 2, 0.05), (6, 5, 0.0)):
        network = draw.normal(0.75, 0.02, (2, seeds, 1)) + np.array([gap, 0])[:, None, None]
        a, b = network + draw.normal(0, [[[0.002]], [[0.006]]], (2, seeds, clusterings))
        cases.append((a, b[:-1]))  # one run of the second arm is missing
    got = torch.tensor([number(call(given, a.copy(), b.copy()), "p") for a, b in cases], dtype=torch.float64)

    def given_by(p):
        return torch.tensor([p(a, b) for a, b in cases], dtype=torch.float64)

    if torch.allclose(got, given_by(lambda a, b: welch(a.ravel(), b.ravel())), atol=1e-6):
        raise StillBroken(
            f"I made 300 experiments in which the two arms do not differ at all. Your test calls "
            f"{false_alarms(given):.0%} of them different at p < 0.05, where 5% are allowed."
        )
    diagnose(
        got,
        given_by(lambda a, b: welch(a.mean(1), b.mean(1))),
        {
            "You average over the training seeds and keep the K-means seeds. But the question is about new trainings: "
            "average each run over its clusterings, mean(1).": given_by(lambda a, b: welch(a.mean(0), b.mean(0))),
            "You keep only the first clustering of each run. That is a right test, but it throws two scores of three "
            "away; use the mean of each run's clusterings.": given_by(lambda a, b: welch(a[:, 0], b[:, 0])),
            "You keep the best clustering of each run. Nobody could choose it without the labels; use the mean.": (
                given_by(lambda a, b: welch(a.max(1), b.max(1)))
            ),
            "You test the means of the runs, which is right, but with Student's test. Welch's test (equal_var=False) "
            "lets each arm have its own spread.": given_by(lambda a, b: welch(a.mean(1), b.mean(1), same=True)),
        },
        "This is not Welch's p for the means of the runs. How many *independent* scores does an arm have?",
    )
    return (
        f"Five trainings are five independent scores per arm, however often each is clustered. In experiments without "
        f"any effect your test now raises {false_alarms(given):.0%} false alarms. Scores of one network that are "
        "counted as independent runs are among the most common mistakes in published comparisons."
    )
