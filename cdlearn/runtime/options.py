"""Settings that explain and check themselves: fields of a dataclass with range, choices, help and group.

``lr: float = option(1e-3, "peak learning rate", group="training", above=0)`` is all that a new setting needs: its
check, its option on the command line, its line in --help and the names it had in older versions follow from the field.
"""

import math
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any

from cdlearn.runtime.errors import UserError, did_you_mean

LARGEST = 10**12  # of any whole number: beyond it nothing ends, and products stop fitting 64 bits


@dataclass(frozen=True)
class Option:
    """What is known of a setting beside its type and default.

    help: one line, lower case, no full stop. group: its heading in --help; "" keeps it off the command line.
    above, least, most: its range (``above`` is left out of it, the others belong to it); of two numbers, that of both.
    because: ends the error message of a value out of range. choices: the words that it may be; () for any.
    unset: what 0, None or "" stands for, if that is allowed beside the range or the choices.
    was: the name that older versions gave it. words_were: older words for its values -> those of today.
    """

    help: str
    group: str
    above: float | None = None
    least: float | None = None
    most: float | None = None
    because: str = ""
    choices: tuple[str, ...] = ()
    unset: str = ""
    was: str = ""
    words_were: dict[str, str] | None = None

    def range(self) -> str:
        """In words, such as "at least 1"; "" without one."""
        if self.least is not None and self.most is not None:
            return f"between {self.least:,} and {self.most:,}"
        bounds = {"above": self.above, "at least": self.least, "at most": self.most}
        return ", ".join(f"{word} {bound:,}" for word, bound in bounds.items() if bound is not None)

    def holds(self, number: float) -> bool:
        """Whether a finite number lies in the range."""
        low = (self.above is None or number > self.above) and (self.least is None or number >= self.least)
        return low and math.isfinite(number) and (self.most is None or number <= self.most)


@dataclass(frozen=True)
class Kind:
    """A type of settings: whether a value is of it, what that must be, how --help writes it, and what means "unset"."""

    fits: Callable[[Any], bool]
    needed: str
    metavar: str | tuple[str, ...] = ""
    unset: Any = ...


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _pair(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_number, value))


KINDS: dict[Any, Kind] = {
    bool: Kind(lambda value: isinstance(value, bool), "true or false"),
    int: Kind(_whole, "a whole number", "N", 0),
    int | None: Kind(lambda value: value is None or _whole(value), "a whole number or none", "N", None),
    float: Kind(_number, "a number", "X", 0),
    str: Kind(lambda value: isinstance(value, str), "a word", "NAME", ""),
    tuple[float, float]: Kind(_pair, "two numbers", ("LOW", "HIGH")),
}


def option(default: Any, help: str, *, group: str, **known) -> Any:
    """A field of a frozen dataclass that is a setting; ``known`` are the further entries of :class:`Option`."""
    return field(default=default, metadata={"option": Option(help, group, **known)})


def option_of(setting: Field) -> Option:
    """The option of a field that was made by :func:`option`."""
    return setting.metadata["option"]


def in_group(settings: type, group: str) -> tuple[str, ...]:
    """The names of the settings of one group."""
    return tuple(each.name for each in fields(settings) if option_of(each).group == group)


def check(settings: Any) -> None:
    """Raises UserError for the first setting of a dataclass that is of a wrong kind, out of range or no known word."""
    for each in fields(settings):
        check_value(each, getattr(settings, each.name))


def check_value(setting: Field, value: Any) -> None:
    """Raises UserError, naming the setting, its value and what it must be."""
    known, kind, name = option_of(setting), KINDS[setting.type], setting.name
    if not kind.fits(value):
        raise UserError(f"{name} {value!r}: must be {kind.needed}")
    if _whole(value) and abs(value) > LARGEST:
        raise UserError(f"{name} is a number of {len(str(abs(value)))} digits; at most {LARGEST:,} will do")
    if known.unset and value == kind.unset:
        return
    if known.choices and value not in known.choices:
        raise UserError(
            f"unknown {name} {value!r}{did_you_mean(value, known.choices)}; there are {', '.join(known.choices)}"
        )
    numbers = value if isinstance(value, (tuple, list)) else (value,) if _number(value) else ()
    if not all(map(known.holds, numbers)):
        named = known.unset and kind.unset is not None and not known.holds(kind.unset)
        unset = f", or {kind.unset} for {known.unset}" if named else ""
        because = f", {known.because}" if known.because else ""
        raise UserError(f"{name} {value}: must be {known.range() or 'finite'}{unset}{because}")


def translated(settings: type, given: dict) -> dict:
    """``given`` with the names and words of today, where an older version of cdlearn wrote it."""
    names = {option_of(each).was: each.name for each in fields(settings) if option_of(each).was}
    words = {each.name: option_of(each).words_were or {} for each in fields(settings)}
    new = {names.get(name, name): value for name, value in given.items()}
    return {
        name: words[name].get(value, value) if isinstance(value, str) and name in words else value
        for name, value in new.items()
    }
