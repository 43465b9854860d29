"""What a report's page shows: plain arrays and lists, so that the page knows nothing of networks, runs or folders."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from cdlearn.runtime.errors import UserError

TIERS = ("same bytes", "perceptual hash", "looks alike to the network")  # of duplicates, the surest first


@dataclass(frozen=True)
class Contents:
    """N images, K heads of which H are shown. Image numbers are 0..N-1 everywhere, in the order of ``files``.

    Everything but ``title``, ``files``, ``thumbnail`` and ``xy`` may be left out: the page leaves out what it lacks.

    Attributes:
        title: the name of the folder or data set, as the page's heading.
        files: N names relative to the folder. Any text is allowed: spaces, Unicode, ``<script>``.
        thumbnail: ``thumbnail(i, side)`` gives image i as a square RGB picture of side px, from the original where
            there is one. It is called from one thread, for every image and then again for those in galleries.
        picture: side in px, 64 to 256, of the pictures in galleries: no more than the originals have to show.
        xy: (N, 2) float, places on the map in any unit; the larger y is drawn further up.
        labels: (N,) int, class numbers, or None. Only shown (as colours), never used.
        classes: the names of the classes; empty without labels.
        answers: (N, H) float, the answers in [0, 1] of the heads shown, column j for ``heads[j]``; float16 is enough,
            the page keeps 8 bits. None without heads.
        heads: a dict per shown head, the most useful first. Image numbers are ints, other numbers floats:
            ``number`` (in the network, 0..K-1; how the page names it), ``on`` (share of images with an answer above
            0.5), ``agreement`` (of two views, a rank correlation in [-1, 1]), ``spread`` (standard deviation of the
            answers), ``same`` and ``opposite`` (lists of (number of a head, correlation), the strongest first; the
            other head need not be shown), ``top``, ``middle``, ``bottom`` (image numbers, the most telling first; 6 to
            16 each).
        clusters: k -> (N,) int cluster numbers 0..k-1, for k = 2..20 or fewer.
        silhouette: k -> float in [-1, 1].
        stability: k -> float, agreement (ARI) of clusterings of two half-samples.
        medoids: k -> image number of the medoid of each cluster, k ints; -1 for an empty cluster.
        k: the number of clusters to begin with: the advised one, or where there is no clear k any that is useful.
        advice: one or two sentences: the k to take and why, or that there is no clear k.
        neighbours: (N, M) int, the nearest images, the nearest first, without the image itself; -1 where there are
            fewer. The page keeps as many columns as its budget allows, at most 12.
        duplicates: a dict per group: ``tier`` (one of :data:`TIERS`), ``images`` (two or more numbers), ``reason``
            (one sentence: "the files' bytes are equal", "hashes differ in 3 of 64 bits").
        outliers: (image number, score) pairs, the strangest first; any score, larger is stranger.
        outlier_score: what the score is, in a few words: "distance to the 10th neighbour".
        curves: a dict per epoch, the rows of metrics.csv (``epoch`` and numbers; NaN where not measured).
        ledger: how many files went where. ``found`` and ``used`` (ints), ``ignored`` ({".mp4": 3}), ``unreadable``
            ([(name, reason)]), ``repeated`` ([(name, name of the one that is used)]), and under ``notes`` a list of
            sentences ("The network sees the central square of each image, at 32 px.").
        notes: name -> text: settings, command, versions; shown as a table at the end.
    """

    title: str
    files: list[str]
    thumbnail: Callable[[int, int], Image.Image]
    xy: np.ndarray
    picture: int = 128
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    answers: np.ndarray | None = None
    heads: list[dict] = field(default_factory=list)
    clusters: dict[int, np.ndarray] = field(default_factory=dict)
    silhouette: dict[int, float] = field(default_factory=dict)
    stability: dict[int, float] = field(default_factory=dict)
    medoids: dict[int, list[int]] = field(default_factory=dict)
    k: int | None = None
    advice: str = ""
    neighbours: np.ndarray | None = None
    duplicates: list[dict] = field(default_factory=list)
    outliers: list[tuple[int, float]] = field(default_factory=list)
    outlier_score: str = "distance to its neighbours"
    curves: list[dict] = field(default_factory=list)
    ledger: dict = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        """Check the shapes here: a wrong one would show as a page that is subtly wrong.

        Raises:
            UserError: for an empty folder.
            ValueError: naming the field whose shape does not fit ``files``.
        """
        n = len(self.files)
        if n == 0:
            raise UserError(f"{self.title} has no image to report on")
        shapes = {
            "xy": (self.xy, (n, 2)),
            "labels": (self.labels, (n,)),
            "answers": (self.answers, (n, len(self.heads))),
            **{f"clusters[{k}]": (of, (n,)) for k, of in self.clusters.items()},
        }
        for name, (array, shape) in shapes.items():
            if array is not None and np.shape(array) != shape:
                raise ValueError(f"{name} has shape {np.shape(array)}, not {shape}")
        for name, array in (("xy", self.xy), ("answers", self.answers)):
            if array is not None and not np.isfinite(array).all():
                raise ValueError(f"{name} is not finite everywhere")
        if self.neighbours is not None and (self.neighbours.ndim != 2 or len(self.neighbours) != n):
            raise ValueError(f"neighbours has shape {self.neighbours.shape}, not ({n}, M)")
        if self.answers is None and self.heads:
            raise ValueError("heads without answers")

    def pictured(self) -> list[int]:
        """The images that the page shows larger than on the map, each once: those of galleries, medoids and groups."""
        seen: dict[int, None] = {}
        for head in self.heads:
            for part in ("top", "middle", "bottom"):
                seen.update(dict.fromkeys(map(int, head.get(part, ()))))
        for of in self.medoids.values():
            seen.update(dict.fromkeys(map(int, of)))
        seen.update(dict.fromkeys(int(i) for i, _ in self.outliers))
        for group in self.duplicates:
            seen.update(dict.fromkeys(map(int, group["images"])))
        return [i for i in seen if 0 <= i < len(self.files)]
