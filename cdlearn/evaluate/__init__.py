"""Embed every image, cluster, score against labels that the training never saw.

The names below are loaded when they are first asked for: ``python -m cdlearn.evaluate --help`` needs none of them, and
torch and scikit-learn take seconds.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdlearn.evaluate.controls import raw_pixels, untrained_heads
    from cdlearn.evaluate.embedding import embed
    from cdlearn.evaluate.held_out import assign_to_clusters, knn_transfer
    from cdlearn.evaluate.metrics import (
        agreement_scores,
        assignment_scores,
        cluster,
        cluster_scores,
        clustering_accuracy,
        clusterings,
        knn_accuracy,
        label_agreement,
    )

__all__ = [
    "agreement_scores",
    "assign_to_clusters",
    "assignment_scores",
    "cluster",
    "cluster_scores",
    "clustering_accuracy",
    "clusterings",
    "embed",
    "knn_accuracy",
    "knn_transfer",
    "label_agreement",
    "raw_pixels",
    "untrained_heads",
]
MODULES = ("metrics", "embedding", "controls", "held_out")


def __getattr__(name: str):
    """The function of this room that is called ``name``."""
    if name in __all__:
        for module in (importlib.import_module(f"{__name__}.{each}") for each in MODULES):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
