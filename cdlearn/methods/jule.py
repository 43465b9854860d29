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

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn.backbones import Backbone
from cdlearn.losses import at_least_float32
from cdlearn.methods import per_image
from cdlearn.methods.base import Method
from cdlearn.methods.graph_linkage import merged
from cdlearn.methods.views import forward_views, with_backbone
from cdlearn.runtime import distributed

FIRST, LAST = 0.125, 0.75  # fractions of the run after which clusters begin, and after which K are left
SMALL, MOST = 8, 512  # images of a small cluster on average; the number of small clusters at most
MARGIN, NEGATIVES = 0.2, 20  # of the triplet loss, and with how many each pair is compared, as published
SHARP = 10.0  # turns cosines with the cluster means into probabilities


def triplet_loss(anchors: Tensor, others: Tensor, labels: Tensor, negatives: Tensor, margin: float = MARGIN) -> Tensor:
    """Mean of max(0, |a - p|^2 - |a - n|^2 + margin) over anchor a, p of its cluster, and n of another one.

    anchors, others: (N, D) of unit norm, image by image; labels: (N,) cluster numbers; negatives: (N, S) the places in
    ``others`` of the n to compare an anchor with; those of its own cluster do not count. 0 where no triplet is left.
    """
    apart = 2 - 2 * anchors @ others.T  # squared distances of vectors of unit norm
    same = labels.unsqueeze(1) == labels
    far = apart.gather(1, negatives)
    counts = same.unsqueeze(2) & ~same.gather(1, negatives).unsqueeze(1)
    cost = F.relu(apart.unsqueeze(2) - far.unsqueeze(1) + margin)
    return (cost * counts).sum() / counts.sum().clamp(min=1)


class JULE(Method):
    """h = f(x), z = linear(h) of unit norm; an image belongs to the cluster whose mean z is nearest.

    Args:
        backbone: a module with ``.dim``.
        config: reads clusters, dim, size, seed, amp, per_view_batch_norm.
    """

    means: Tensor
    needs_clusters = True
    least_epochs = (8, "the small clusters are made of the features of an untrained network")

    def __init__(self, backbone: Backbone, config):
        super().__init__()
        self.config, self.backbone = config, backbone
        self.projector = nn.Linear(backbone.dim, config.dim)
        self.register_buffer("means", torch.zeros(config.clusters, config.dim))  # of K clusters, 0 until there are any
        self.groups = per_image.PerImage()  # (N, 2): small cluster and cluster of every image
        self.merging = False  # this and the next are set before every step
        self.batch: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(M, 3, S, S) -> z (M, dim) of unit norm."""
        return F.normalize(at_least_float32(self.projector(self.backbone(x))), dim=1)

    @torch.no_grad()
    def begin_epoch(self, epoch: int, epochs: int, images: Tensor) -> None:
        """Merge as many clusters as the epoch is due, and see which K would be left if all were merged now."""
        start = per_image.begins(FIRST, epochs)
        if epoch < start:
            return
        z, k = per_image.encoded(self, self, images, self.config).cpu().double(), len(self.means)
        if epoch == start:
            found = per_image.k_means(z, min(MOST, max(k, len(z) // SMALL)), self.config.seed, starts=1)[1]
            small = cluster = torch.unique(found, return_inverse=True)[1]
        else:
            small, cluster = self.groups.of.cpu().unbind(1)
        count = int(small.max()) + 1
        rows = F.normalize(z.new_zeros(count, z.shape[1]).index_add(0, small, z), dim=1).numpy()
        labels = cluster.new_zeros(count).scatter(0, small, cluster).numpy()
        done = min(1, (epoch - start) / max(1, per_image.begins(LAST, epochs) - start))
        labels = merged(rows, labels, max(k, round(count ** (1 - done) * k**done)))
        last = torch.from_numpy(merged(rows, labels, k))[small]
        self.groups.of = torch.stack([small, torch.from_numpy(labels)[small]], dim=1).to(self.means.device)
        self.means.copy_(F.normalize(z.new_zeros(self.means.shape).index_add(0, last, z), dim=1))

    def begin_step(self, epoch: int, epochs: int, index: Tensor) -> None:
        self.merging, self.batch = epoch >= per_image.begins(FIRST, epochs), index

    def training_loss(self, x1: Tensor, x2: Tensor, x: Tensor | None = None) -> dict[str, Tensor]:
        """Two views (N, 3, S, S) -> ``loss`` and its one term; x, the plain images, is not used."""
        z1, z2 = forward_views(self, (x1, x2), self.config.per_view_batch_norm)
        image = torch.arange(len(z1)) if self.batch is None else self.batch
        image = image.to(x1.device)
        labels = self.groups.of[image, 1] if self.merging else image
        z1, z2, labels = distributed.gathered(z1, z2, labels.unsqueeze(1).to(z1))  # float32: below 2^24
        with torch.autocast(x1.device.type, enabled=False):
            negatives = torch.randint(len(z1), (len(z1), NEGATIVES), device=z1.device)
            loss = triplet_loss(z1, z2, labels.squeeze(1).long(), negatives)
        return {"loss": loss, "triplets": loss}

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> ``backbone`` h (N, backbone.dim) and ``output`` (N, clusters), rows that add up to 1."""
        near = lambda h: (SHARP * F.normalize(self.projector(h), dim=1) @ self.means.T).softmax(dim=1)  # noqa: E731
        return with_backbone(self.backbone(x), near)
