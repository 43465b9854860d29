"""Joint Unsupervised Learning (JULE; Yang, Parikh and Batra, CVPR 2016): merge clusters, learn from them, merge again.

Agglomerative clustering begins with many small clusters and merges the two that belong together most. JULE learns in
between: after some merges the network is trained until images of one cluster lie nearer to each other than to images
of other clusters (triplet loss), and the next merges use the better features. At the end K clusters are left.

Simplified: the original begins with clusters of about four nearest neighbours among the pixels. Colour decides these
neighbours, and no later step can part what is merged. So each image is a cluster of its own at first, whose two views
are a pair; after an eighth of the run K-means makes small clusters. Merging looks at the means of at most 512 of these
instead of at all images, for time and memory. Merges are spread evenly over the epochs (unrolling rate), so that K are
left for the last quarter.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn.losses import at_least_float32
from cdlearn.methods import phases
from cdlearn.methods.views import forward_views, with_backbone
from cdlearn.runtime import distributed

FIRST, LAST = 0.125, 0.75  # shares of the run after which clusters begin, and after which K are left
SMALL, MOST = 8, 512  # images of a small cluster on average; the number of small clusters at most
NEIGHBOURS = 20  # of the graph between small clusters, as published
NEAREST = 5  # clusters that a pair to be merged is compared with, as published
MARGIN, STRANGERS = 0.2, 20  # of the triplet loss, and how many strangers each pair is compared with, as published
SHARP = 10.0  # turns cosines with the cluster means into shares


def triplet_loss(anchors: Tensor, others: Tensor, labels: Tensor, strangers: Tensor, margin: float = MARGIN) -> Tensor:
    """Mean of max(0, |a - p|^2 - |a - n|^2 + margin) over anchor a, p of its cluster, and n of another one.

    anchors, others: (N, D) of length 1, image by image; labels: (N,) cluster numbers; strangers: (N, S) the places in
    ``others`` of the n to compare an anchor with; those of its own cluster do not count. 0 where no triplet is left.
    """
    apart = 2 - 2 * anchors @ others.T  # squared distances of vectors of length 1
    same = labels.unsqueeze(1) == labels
    far = apart.gather(1, strangers)
    counts = same.unsqueeze(2) & ~same.gather(1, strangers).unsqueeze(1)
    cost = F.relu(apart.unsqueeze(2) - far.unsqueeze(1) + margin)
    return (cost * counts).sum() / counts.sum().clamp(min=1)


def affinities(rows: np.ndarray) -> np.ndarray:
    """Directed graph of nearest neighbours: W_ij = exp(-|r_i - r_j|^2 / s^2), s^2 its mean over all edges, else 0.

    rows: (M, D) -> (M, M). No row is its own neighbour.
    """
    apart = distances(rows)
    near = np.argsort(apart, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(rows) - 1)]
    kept = np.take_along_axis(apart, near, axis=1)
    graph = np.zeros_like(apart)
    np.put_along_axis(graph, near, np.exp(-kept / max(kept.sum() / max(1, kept.size), 1e-12)), axis=1)
    return graph


def distances(rows: np.ndarray) -> np.ndarray:
    """Squared distances (M, M) of rows (M, D), infinite on the diagonal."""
    squares = (rows**2).sum(1)
    apart = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0)
    np.fill_diagonal(apart, np.inf)
    return apart


def merged(rows: np.ndarray, labels: np.ndarray, left: int) -> np.ndarray:
    """Merge clusters of rows (M, D), step by step, until ``left`` remain (graph degree linkage).

    The affinity of two clusters counts the ways from one to the other and back along two edges, per pair of rows:
    A(a, b) = 1' W_ab W_ba 1 / |a|^2 + 1' W_ba W_ab 1 / |b|^2. The pair is merged whose affinity, plus its mean lead
    over the cluster's next NEAREST - 1 affinities, is the largest; the pair of nearest means if no two are linked.

    labels: (M,) numbers from 0 -> (M,) numbers from 0.
    """
    member = np.eye(labels.max() + 1)[labels]  # (M, C)
    member, graph = member[:, member.any(0)], affinities(rows)
    out, back = member.T @ graph, (graph @ member).T  # (C, M): all edges from a cluster to a row, and back
    ways = (out * back) @ member  # (C, C): from a cluster, through another, and back
    while member.shape[1] > max(1, left):
        sizes = member.sum(0)
        affinity = ways / sizes[:, None] ** 2
        affinity += affinity.T
        np.fill_diagonal(affinity, -1)
        if affinity.max() <= 0:
            affinity = -distances(member.T @ rows / sizes[:, None])
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


class JULE(nn.Module):
    """h = f(x), z = linear(h) of length 1; an image belongs to the cluster whose mean z is nearest.

    Args:
        backbone: a module with ``.dim``.
        config: reads clusters, dim, size, seed, amp, per_view_batch_norm.
    """

    needs_plain = False
    needs_clusters = True  # it must be told their number; the output is (N, clusters)

    def __init__(self, backbone: nn.Module, config):
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.projector = nn.Linear(backbone.dim, config.dim)
        self.register_buffer("means", torch.zeros(config.clusters, config.dim))  # of K clusters, 0 until there are any
        self.groups = phases.PerImage()  # (N, 2): small cluster and cluster of every image
        self.merging, self.batch = False, None  # set before every step

    def forward(self, x: Tensor) -> Tensor:
        """(M, 3, S, S) -> z (M, dim) of length 1."""
        return F.normalize(at_least_float32(self.projector(self.backbone(x))), dim=1)

    @torch.no_grad()
    def begin_epoch(self, epoch: int, epochs: int, images: Tensor) -> None:
        """Merge as many clusters as the epoch is due, and see which K would be left if all were merged now."""
        start = phases.begins(FIRST, epochs)
        if epoch < start:
            return
        z, k = phases.encoded(self, self, images, self.config).double(), len(self.means)
        if epoch == start:
            count = min(MOST, max(k, len(z) // SMALL))
            found = phases.k_means(z, count, self.config.seed, starts=1)[1]
            self.groups.of = torch.unique(found, return_inverse=True)[1].unsqueeze(1).expand(-1, 2).clone()
        small, cluster = self.groups.of.unbind(1)
        count = int(small.max()) + 1
        rows = F.normalize(z.new_zeros(count, z.shape[1]).index_add(0, small, z), dim=1).cpu().numpy()
        labels = cluster.new_zeros(count).scatter(0, small, cluster).cpu().numpy()
        done = min(1, (epoch - start) / max(1, phases.begins(LAST, epochs) - start))
        labels = merged(rows, labels, max(k, round(count ** (1 - done) * k**done)))
        last = torch.from_numpy(merged(rows, labels, k)).to(small)[small]
        self.groups.of = torch.stack([small, torch.from_numpy(labels).to(small)[small]], dim=1)
        self.means.copy_(F.normalize(z.new_zeros(self.means.shape).index_add(0, last, z), dim=1))

    def begin_step(self, epoch: int, epochs: int, index: Tensor) -> None:
        self.merging, self.batch = epoch >= phases.begins(FIRST, epochs), index

    def training_loss(self, x1: Tensor, x2: Tensor, x: Tensor | None = None) -> dict[str, Tensor]:
        """Two views (N, 3, S, S) -> ``loss`` and its one term; x, the plain images, is not used."""
        z1, z2 = forward_views(self, (x1, x2), self.config.per_view_batch_norm)
        image = torch.arange(len(z1)) if self.batch is None else self.batch
        image = image.to(x1.device)
        labels = self.groups.of[image, 1] if self.merging else image
        z1, z2, labels = distributed.gathered(z1, z2, labels.unsqueeze(1).to(torch.float64))
        with torch.autocast(x1.device.type, enabled=False):
            strangers = torch.randint(len(z1), (len(z1), STRANGERS), device=z1.device)
            loss = triplet_loss(z1, z2, labels.squeeze(1).long(), strangers)
        return {"loss": loss, "triplets": loss}

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output`` (N, clusters), rows that add up to 1."""
        near = lambda h: (SHARP * F.normalize(self.projector(h), dim=1) @ self.means.T).softmax(dim=1)  # noqa: E731
        return with_backbone(self.backbone(x), near)
