"""How a run reads image files, so that the same file always gives the same pixels."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdlearn.data.deep import UNKNOWN, Ranges


@dataclass(frozen=True)
class Reading:
    """side: at which images are kept, in pixels; ranges: black and white of deep images, see cdlearn.data.deep."""

    side: int
    ranges: Ranges = field(default_factory=dict)

    def as_dict(self) -> dict:
        """For config.json."""
        return {"side": self.side, "ranges": {kind: list(pair) for kind, pair in self.ranges.items()}}

    @classmethod
    def from_dict(cls, saved: Any) -> "Reading | None":
        """The reverse of :meth:`as_dict`; None for anything else."""
        try:
            ranges = {kind: (float(black), float(white)) for kind, (black, white) in saved["ranges"].items()}
            sound = all(math.isfinite(b) and math.isfinite(w) and b < w for b, w in ranges.values())
            if type(saved["side"]) is int and saved["side"] > 0 and sound and set(ranges) <= set(UNKNOWN):
                return cls(saved["side"], ranges)
        except (TypeError, KeyError, ValueError, AttributeError):
            pass
        return None


def reading_in(run: Path) -> Reading | None:
    """What the config.json of a run (its folder or its checkpoint) says; None for runs from before it did."""
    folder = run if run.is_dir() else run.parent
    try:
        return Reading.from_dict(json.loads((folder / "config.json").read_text(encoding="utf-8"))["reading"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
