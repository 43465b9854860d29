"""Exercises that are no functions: predict a number before it is measured, choose what a figure shows.

(A bug to find is a function to fix, so it has a checker like any other function.)
"""

from dataclasses import dataclass, field

from cdlearn.course.checks.grade import Verdict, Wrong, number


@dataclass(frozen=True)
class Choice:
    """A question with lettered answers. Call it with a letter; each wrong one has its own explanation.

    Args:
        right: the letter that is right.
        praise: what it says then.
        wrong: every other letter -> why it is wrong, without giving the right one away.
    """

    right: str
    praise: str
    wrong: dict[str, str]

    def __call__(self, answer) -> Verdict:
        letters = sorted([self.right, *self.wrong])
        if answer is None or answer is Ellipsis:
            return Verdict(None, f"Choose one of {', '.join(letters)}, then run the cell again.")
        given = answer.strip().strip(".()").lower() if isinstance(answer, str) else answer
        if given == self.right:
            return Verdict(True, self.praise)
        if given in self.wrong:
            return Verdict(False, self.wrong[given])
        return Verdict(False, f"{answer!r} is none of the answers; write one of {', '.join(map(repr, letters))}.")


@dataclass(frozen=True)
class Prediction:
    """A number to predict, compared with the measured one. Call it with both.

    Args:
        within: how far the prediction may lie from the measurement, in its unit.
        praise: the reasoning that leads there.
        low, high: what a prediction that is too low or too high has probably overlooked.
        typical: what a full run measures, for the tests of the solution.
        slips: what went wrong, in words -> the number that it gives; looked at before low and high.
        digits: decimals shown.
    """

    within: float
    praise: str
    low: str
    high: str
    typical: float
    slips: dict[str, float] = field(default_factory=dict)
    digits: int = 2

    def __call__(self, guess, measured) -> Verdict:
        if guess is None or guess is Ellipsis:
            return Verdict(None, "Predict a number first, then run from there on.")
        if measured is None:
            return Verdict(None, "Nothing was measured here that your prediction could be compared with.")
        try:
            guess, measured = number(guess, "your prediction"), number(measured, "the measured value")
        except Wrong as wrong:
            return Verdict(False, str(wrong))
        seen = f"You predicted {guess:.{self.digits}f}; measured: {measured:.{self.digits}f}. "
        if abs(guess - measured) <= self.within:
            return Verdict(True, seen + self.praise)
        for words, value in self.slips.items():
            if abs(guess - value) <= 10**-self.digits:
                return Verdict(False, seen + words)
        return Verdict(False, seen + (self.low if guess < measured else self.high))
