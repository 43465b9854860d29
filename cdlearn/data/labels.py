"""Labels from folders: which level of sub-folders names the classes, and a line that says so."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

SPLITS = dict(train="train", training="train", trn="train", test="test", tests="test", testing="test", tst="test")
SPLITS |= dict(val="val", valid="val", validation="val", validate="val", eval="eval", evaluation="eval", dev="dev")
SPLITS |= dict(development="dev", holdout="holdout", heldout="holdout", unlabeled="unlabelled", unlabelled="unlabelled")
SPLITS |= dict(pred="pred", prediction="pred", predict="pred", query="query", gallery="gallery", extra="extra")
LEVELS = ("first", "second", "third", "fourth", "fifth")
SHOWN = 10  # names of classes in the line


@dataclass(frozen=True)
class Labelling:
    """labels: int64 (N,) or None; classes: their names; line: how they came about, for the run and the report."""

    labels: Tensor | None
    classes: tuple[str, ...]
    line: str


def split_of(name: str) -> str:
    """The split that a folder is named after, as in Train, test_set, seg_train or val2017; "" for another name."""
    plain = re.sub(r"[\W_]*(set|data|dataset|images|imgs|\d+)$", "", re.sub(r"held[\W_]out", "heldout", name.lower()))
    return SPLITS.get(plain) or SPLITS.get(re.split(r"[\W_]+", plain)[-1], "")


def are_splits(names: Sequence[str]) -> bool:
    """Whether these folders are splits: named after splits, two or more, each after another."""
    found = [split_of(name) for name in names]
    return all(found) and len(found) > 1 and len(set(found)) == len(found)


def labelled(paths: list[Path], folder: Path) -> Labelling:
    """The labels that the sub-folders of ``folder`` give to its images.

    A folder that holds all the others is passed through, and so are folders named after splits, whose images are taken
    together: the classes are the folders of the next level. There are no labels where some image lies in no class, or
    where all lie in one.
    """
    parts = [path.relative_to(folder).parts[:-1] for path in paths]
    level, passed = 0, []
    while parts and all(parts):
        names = sorted({inner[0] for inner in parts})
        within = any(len(inner) > 1 for inner in parts)
        if len(names) == 1 and within:
            passed.append(f"all lie in {names[0]}")
        elif are_splits(names) and within:
            passed.append(
                f"{listed(names)} are taken together as splits; for one of them alone pass "
                f"--data {folder.joinpath(*common(paths, folder, level), names[0])}"
            )
        else:
            break
        parts, level = [inner[1:] for inner in parts], level + 1
    how = f" ({'; '.join(passed)})" if passed else ""
    names = sorted({inner[0] for inner in parts if inner})
    if missing := without(parts, names, paths, folder, how):
        return Labelling(None, (), f"labels: none, {missing}")
    number = {name: i for i, name in enumerate(names)}
    shown = ", ".join(names[:SHOWN]) + f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)
    place = f"{LEVELS[level]} level" if level < len(LEVELS) else f"level {level + 1}"
    line = f"labels: {len(names):,} classes ({shown}), from the {place} of sub-folders{how}"
    if odd := [name for name in names if split_of(name)] if len(names) <= SHOWN else []:
        line += f"; {listed(odd)} may be a split: if so, move the other folders away, or pass --data {folder / odd[0]}"
    return Labelling(torch.tensor([number[inner[0]] for inner in parts]), tuple(names), line)


def without(parts: list[tuple[str, ...]], names: list[str], paths: list[Path], folder: Path, how: str) -> str:
    """Why there are no labels, and what would give some; "" where there are."""
    strays = [path for path, inner in zip(paths, parts, strict=True) if not inner]
    if not names:
        return f"because no sub-folders sort the images{how}"
    if strays:
        shown = strays[0].relative_to(folder).as_posix()
        return (
            f"because {len(strays):,} of {len(paths):,} images lie beside the sub-folders ({listed(names)}), such as "
            f"{shown}; to have labels, move them into a sub-folder of their class or out of {folder}{how}"
        )
    if len(names) < 2:
        return f"because all images lie in one sub-folder, {names[0]}{how}"
    if are_splits(names):
        return f"because {listed(names)} are splits, with no folders of classes in them{how}"
    return ""


def listed(names: list[str]) -> str:
    """'a, b and c', at most five."""
    some = names[:5] + [f"{len(names) - 5} more"] * (len(names) > 5)
    return " and ".join([", ".join(some[:-1]), some[-1]] if len(some) > 1 else some)


def common(paths: list[Path], folder: Path, level: int) -> tuple[str, ...]:
    """The folders above ``level`` that lead to the first image."""
    return paths[0].relative_to(folder).parts[:level]
