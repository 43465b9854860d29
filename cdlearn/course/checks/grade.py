"""How a checker speaks: right, wrong and why, or not solved yet."""

import functools
import html
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Verdict:
    """What a checker found. ``solved`` is None until something is written; a notebook shows the message."""

    solved: bool | None
    message: str

    def __repr__(self) -> str:
        return {True: "✓ right. ", False: "✗ not yet. ", None: "○ not solved yet. "}[self.solved] + self.message

    def _repr_html_(self) -> str:
        colour = {True: "#0072B2", False: "#D55E00", None: "#767676"}[self.solved]
        text = html.escape(repr(self))
        return f'<p style="border-left: 4px solid {colour}; padding: 2px 0 2px 10px; margin: 4px 0">{text}</p>'


class Wrong(Exception):
    """The learner's function gives a wrong result; the message says what is wrong, and why that may be."""


class NotSolved(Exception):
    """The learner's function gives nothing yet."""


class StillBroken(NotSolved):
    """The function with a bug to find still has it; the message names the symptom, never the line."""


def checker(check: Callable) -> Callable[..., Verdict]:
    """Turn ``check`` into a checker: it calls the learner's function, raises :class:`Wrong`, or returns praise."""

    @functools.wraps(check)
    def graded(given) -> Verdict:
        try:
            return Verdict(True, check(given))
        except StillBroken as symptom:
            return Verdict(None, f"{symptom} Find the bug, then run the cell again.")
        except NotSolved:
            return Verdict(None, f"Write {getattr(given, '__name__', 'the function')}, then run the cell again.")
        except Wrong as wrong:
            return Verdict(False, str(wrong))

    return graded


def call(given: Callable, *arguments, **named) -> Any:
    """Call the learner's function on copies of tensors.

    Raises:
        NotSolved: if it returns the stub's three dots or raises NotImplementedError.
        Wrong: if it returns nothing, or stops with another error, which the message names.
    """

    def copied(value):
        return value.clone() if isinstance(value, Tensor) else value

    try:
        got = given(*map(copied, arguments), **{name: copied(value) for name, value in named.items()})
    except NotImplementedError:
        raise NotSolved from None
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'without a message'}"
        raise Wrong(f"Your function stopped with {reason}") from None
    if got is Ellipsis:
        raise NotSolved
    if got is None:
        raise Wrong("Your function returns nothing: is the line with return missing?")
    return got


def number(got: Any, what: str = "the result") -> float:
    """A scalar tensor or number as a float. Raises Wrong for anything else, or if it is not finite."""
    if isinstance(got, Tensor) and got.numel() != 1:
        raise Wrong(f"{what} has the shape {tuple(got.shape)}; it should be one number (is a mean missing?)")
    try:
        value = float(got.detach() if isinstance(got, Tensor) else np.asarray(got).item())
    except (TypeError, ValueError):
        raise Wrong(f"{what} is a {type(got).__name__}; it should be one number") from None
    if not math.isfinite(value):
        raise Wrong(f"{what} is {value}; is there a log of 0, or a division by 0?")
    return value


def tensor(got: Any, shape: tuple[int, ...], what: str = "the result") -> Tensor:
    """A tensor of the given shape. Raises Wrong for anything else, or if it is not finite."""
    if not isinstance(got, Tensor):
        try:
            got = torch.as_tensor(got)
        except (TypeError, ValueError, RuntimeError):
            raise Wrong(f"{what} is a {type(got).__name__}; it should be a tensor of shape {shape}") from None
    if tuple(got.shape) != tuple(shape):
        raise Wrong(f"{what} has the shape {tuple(got.shape)}; it should be {tuple(shape)}")
    if got.is_floating_point() and not got.isfinite().all():
        raise Wrong(
            f"{what} holds numbers that are infinite or nan; is there a log of 0, a division by 0, or the root of a "
            "negative number?"
        )
    return got


def gradients(got: Any, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The gradients of a scalar that the learner's function gave for ``inputs``, after its value was found right.

    Raises:
        Wrong: if it carries none, does not depend on one of the inputs, or was overwritten on its way.
    """
    if not isinstance(got, Tensor) or not got.requires_grad:
        raise Wrong(
            "The value is right, but it carries no gradient, so nothing could learn from it. Is there an .item(), a "
            ".detach(), a no_grad, or a function of math or numpy?"
        )
    try:
        found = torch.autograd.grad(got, inputs, allow_unused=True)
    except RuntimeError as error:
        if "inplace" not in str(error):
            raise Wrong(f"The value is right, but backward stops with {str(error).splitlines()[0]}") from None
        raise Wrong(
            "The value is right, but backward stops: /=, *=, clamp_ and their like overwrite numbers that the gradient "
            "still needs. Write x = x / ... instead."
        ) from None
    if any(one is None for one in found):
        raise Wrong("The value is right, but no gradient reaches your function's argument: is it detached or rebuilt?")
    return found


def close(got: float | Tensor, want: float | Tensor, tolerance: float = 1e-4) -> bool:
    """Whether two numbers or tensors agree within ``tolerance``, relative plus absolute."""
    got, want = torch.as_tensor(got, dtype=torch.float64), torch.as_tensor(want, dtype=torch.float64)
    return got.shape == want.shape and torch.allclose(got, want, rtol=tolerance, atol=tolerance)


def diagnose(got: float | Tensor, want: float | Tensor, slips: dict[str, float | Tensor], otherwise: str) -> None:
    """Return if ``got`` is ``want``; else raise Wrong with the slip that gives ``got``, or with ``otherwise``.

    slips: what went wrong, in words -> the value that it gives.
    """
    if close(got, want):
        return
    for words, value in slips.items():
        if close(got, value):
            raise Wrong(words)
    raise Wrong(otherwise)


def diagnose_all(
    got: dict[str, float], want: dict[str, float], slips: dict[str, dict[str, float]], otherwise: str = ""
) -> None:
    """:func:`diagnose` over several cases at once: a slip is named only if it explains what was given in all of them.

    got, want: case -> number; slips: what went wrong, in words -> case -> number; ``otherwise`` is what to say after
    the case that is furthest off. Cases are named so that they fit into "With ... you give".
    """

    def row(values: dict[str, float]) -> Tensor:
        return torch.tensor([float(values[case]) for case in want], dtype=torch.float64)

    worst = max(want, key=lambda case: abs(float(got[case]) - float(want[case])))
    seen = f"With {worst} you give {float(got[worst]):.4f}; it should be {float(want[worst]):.4f}. {otherwise}"
    diagnose(row(got), row(want), {words: row(values) for words, values in slips.items()}, seen)
