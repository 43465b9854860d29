"""Agglomerative clustering by graph degree linkage (Zhang et al., ECCV 2012), as JULE uses it."""

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.neighbors import kneighbors_graph

NEIGHBOURS = 20  # of a row in the graph; this and the next as published with JULE
NEAREST = 5  # clusters that a pair to be merged is compared with


def affinities(rows: np.ndarray) -> np.ndarray:
    """Directed graph of nearest neighbours: W_ij = exp(-|r_i - r_j|^2 / s^2), s^2 its mean over all edges, else 0.

    rows: (M, D) -> (M, M). No row is its own neighbour.
    """
    graph = kneighbors_graph(rows, min(NEIGHBOURS, len(rows) - 1), mode="distance")
    graph.data = np.exp(-(graph.data**2) / max((graph.data**2).mean(), 1e-12))
    return graph.toarray()


def merged(rows: np.ndarray, labels: np.ndarray, left: int) -> np.ndarray:
    """Merge clusters of rows (M, D), step by step, until ``left`` remain (graph degree linkage).

    The affinity of two clusters counts the ways from one to the other and back along two edges, per pair of rows:
    A(a, b) = 1' W_ab W_ba 1 / |a|^2 + 1' W_ba W_ab 1 / |b|^2. The pair is merged whose affinity, plus its mean lead
    over the cluster's next NEAREST - 1 affinities, is the largest; the pair of nearest means if no two are linked.

    labels: (M,) numbers -> (M,) numbers from 0 on.
    """
    names, labels = np.unique(labels, return_inverse=True)
    if len(names) <= left:
        return labels
    member, graph = np.eye(len(names))[labels], affinities(rows)  # (M, C), (M, M)
    out, back = member.T @ graph, (graph @ member).T  # (C, M): all edges from a cluster to a row, and back
    ways = (out * back) @ member  # (C, C): from a cluster, through another, and back
    while len(ways) > left:
        sizes = member.sum(0)
        affinity = ways / sizes[:, None] ** 2
        affinity += affinity.T
        np.fill_diagonal(affinity, 0)
        if not affinity.any():
            means = member.T @ rows / sizes[:, None]
            affinity = -cdist(means, means, "sqeuclidean")
        np.fill_diagonal(affinity, -np.inf)
        few = min(NEAREST, len(affinity) - 1)
        best = -np.partition(-affinity, range(few), axis=1)[:, :few]
        a = int((best[:, 0] + (best[:, :1] - best[:, 1:]).sum(1) / (NEAREST - 1)).argmax())
        b = int(affinity[a].argmax())
        member[:, a] += member[:, b]
        out[a], back[a], ways[:, a] = out[a] + out[b], back[a] + back[b], ways[:, a] + ways[:, b]
        ways[a] = (out[a] * back[a]) @ member
        member, ways = np.delete(member, b, axis=1), np.delete(np.delete(ways, b, axis=0), b, axis=1)
        out, back = np.delete(out, b, axis=0), np.delete(back, b, axis=0)
    return member.argmax(1)
