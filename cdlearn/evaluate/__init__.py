"""Embed every image, cluster, score against labels that the training never saw."""

from cdlearn.evaluate.controls import raw_pixels, untrained_heads
from cdlearn.evaluate.embedding import embed
from cdlearn.evaluate.held_out import assign_to_clusters, knn_transfer
from cdlearn.evaluate.metrics import (
    agreement,
    agreement_scores,
    assignment_scores,
    cluster,
    cluster_scores,
    clustering_accuracy,
    clusterings,
    knn_accuracy,
)

__all__ = [
    "agreement",
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
    "raw_pixels",
    "untrained_heads",
]
