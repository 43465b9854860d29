"""The contents as the page reads them: a record of everything small, and a block of text per array.

The page counts images along a curve over the map ("slots"), because images near on the map have much in common: their
clusters, answers and neighbours deflate to little. Every image number is turned into its slot here, once.
"""

from dataclasses import dataclass

import numpy as np

from cdlearn.pages import pack
from cdlearn.pages.contents import TIERS, Contents

GENEROUS = 0.22  # fraction of the budget up to which numbers are kept in full
FRUGAL = ((12, 256), (10, 128), (8, 64), (8, 32), (6, 32), (6, 16), (4, 16), (2, 8))  # neighbours, shades of an answer


@dataclass(frozen=True)
class Slots:
    """``order[slot]`` is an image's number in the files, ``of[number]`` its slot; ``at`` are places in slot order."""

    order: np.ndarray
    of: np.ndarray
    at: np.ndarray

    @classmethod
    def along_map(cls, xy: np.ndarray) -> "Slots":
        """Number the images along the curve."""
        at = pack.places(xy)
        order = pack.along_curve(at)
        of = np.empty_like(order)
        of[order] = np.arange(len(order))
        return cls(order, of, at[order])

    def list(self, images) -> list[int]:
        """Image numbers -> slots, what is no image (-1) left as -1."""
        return [int(self.of[i]) if 0 <= i < len(self.of) else -1 for i in map(int, images)]


def record(contents: Contents, slots: Slots) -> dict:
    """Everything small that the page shows, images as slots."""
    heads = [
        {key: head.get(key) for key in ("number", "on", "agreement", "spread")}
        | {key: head.get(key) or [] for key in ("same", "opposite")}
        | {part: slots.list(head.get(part, ())) for part in ("top", "middle", "bottom")}
        for head in contents.heads
    ]
    ks = sorted(contents.clusters)
    columns = list(dict.fromkeys(name for row in contents.curves for name in row))
    return {
        "title": contents.title,
        "key": contents.key,
        "recipe": contents.recipe,
        "link": contents.link,
        "n": len(contents.files),
        "labelled": contents.labels is not None,
        "classes": contents.classes,
        "heads": heads,
        "ks": ks,
        "k": contents.k if contents.k in ks else (ks[0] if ks else None),
        "advice": contents.advice,
        "silhouette": contents.silhouette,
        "chance": contents.chance,
        "stability": contents.stability,
        "medoids": {k: slots.list(of) for k, of in contents.medoids.items()},
        "tiers": TIERS,
        "duplicates": [group | {"images": slots.list(group["images"])} for group in contents.duplicates],
        "outliers": [(slots.list([image])[0], *others) for image, *others in contents.outliers],
        "outlierScore": contents.outlier_score,
        "curves": {"columns": columns, "rows": [[row.get(name) for name in columns] for row in contents.curves]},
        "names": contents.names,
        "density": density(contents, slots),
        "quality": contents.quality,
        "measures": {name: measured(contents, name)[:2] for name in contents.measures},
        "labelFirst": slots.list(contents.label_first),
        "since": contents.since and {name: of for name, of in contents.since.items() if name != "new"},
        "tests": contents.tests,
        "ledger": contents.ledger,
        "notes": contents.notes,
    }


def density(contents: Contents, slots: Slots) -> dict | None:
    """The page's part on HDBSCAN's clusters; their numbers are a block."""
    if not contents.density:
        return None
    of = np.asarray(contents.density["of"])
    return {
        "count": int(of.max(initial=-1)) + 1,
        "none": int((of < 0).sum()),
        "medoids": slots.list(contents.density["medoids"]),
        "advice": contents.density["advice"],
    }


def measured(contents: Contents, name: str) -> tuple[float, float, np.ndarray]:
    """(lowest, highest, uint8 (N,)): a measure in 256 steps over the range that its issues' thresholds can have."""
    values = np.asarray(contents.measures[name], float)
    of = [issue for issue in contents.quality if issue["measure"] == name]
    low = min((issue["low"] for issue in of), default=float(values.min()))
    high = max((issue["high"] for issue in of), default=float(values.max()))
    return low, high, ((values - low) / (max(high - low, 1e-12)) * 255).round().clip(0, 255).astype(np.uint8)


def arrays(contents: Contents, slots: Slots, columns: int, shades: int) -> tuple[dict[str, str], dict[str, dict]]:
    """(block per array, what the page needs to read each): ``columns`` neighbours, ``shades`` per answer."""
    blocks: dict[str, str] = {}
    facts: dict[str, dict] = {}

    def keep(name: str, values: np.ndarray, **fact) -> None:
        blocks[name], width = pack.numbers(values)
        facts[name] = {"width": width, **fact}

    n = len(slots.order)
    steps = np.diff(slots.at.astype(np.int64), axis=0, prepend=0)
    keep("x", pack.zigzag(steps[:, 0]))
    keep("y", pack.zigzag(steps[:, 1]))
    keep("order", slots.order)
    blocks["files"] = pack.record(contents.files)
    if contents.labels is not None:
        keep("labels", np.asarray(contents.labels)[slots.order])
    for name in ("width", "height", "bytes"):
        if getattr(contents, name) is not None:
            keep(name, np.asarray(getattr(contents, name))[slots.order])
    for name in contents.measures:
        keep(f"measure-{name}", measured(contents, name)[2][slots.order])
    if contents.since:
        keep("new", np.asarray(contents.since["new"], np.uint8)[slots.order])
    if contents.density:
        keep("density", np.asarray(contents.density["of"])[slots.order] + 1)  # 0 is none
    for k, of in contents.clusters.items():
        keep(f"clusters{k}", np.asarray(of)[slots.order])
    if contents.heads:
        levels = np.asarray(contents.answers, np.float32)[slots.order].clip(0, 1) * (shades - 1)
        keep("answers", levels.round().astype(np.uint8).T, shades=shades)  # a head's answers stand together
    if contents.neighbours is not None and contents.neighbours.shape[1]:
        near = np.asarray(contents.neighbours)[slots.order, :columns].astype(np.int64)
        away = np.where(near < 0, 0, slots.of[near.clip(0)] - np.arange(n)[:, None])  # 0 is the image itself: none
        keep("neighbours", pack.zigzag(away).T, columns=near.shape[1])
    return blocks, facts


def fitted(contents: Contents, slots: Slots, budget: int) -> tuple[dict[str, str], dict[str, dict]]:
    """:func:`arrays` with as many neighbours and as fine answers as fit into a part of the budget."""
    for columns, shades in FRUGAL:
        blocks, facts = arrays(contents, slots, columns, shades)
        if sum(map(len, blocks.values())) <= GENEROUS * budget:
            break
    return blocks, facts
