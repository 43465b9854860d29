"""What a head's output depends on: LIME on heads (lime.py), its controls (controls.py) and pictures (plots.py)."""

from cdlearn.explain.lime import (
    Explanation,
    ask,
    check,
    copies,
    explain_heads,
    lime_in_silence,
    positive_regions,
    segment,
)

__all__ = [
    "Explanation",
    "ask",
    "check",
    "copies",
    "explain_heads",
    "lime_in_silence",
    "positive_regions",
    "segment",
]
