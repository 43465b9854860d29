"""What a report's page shows: plain arrays and lists, so that the page depends on no networks, runs or folders."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from cdlearn.runtime.errors import UserError

TIERS = ("same bytes", "perceptual hash", "looks alike to the network")  # of duplicates, the most certain first
NAMED = 60  # images per quality issue whose pictures the page holds larger than on the map


@dataclass(frozen=True)
class Contents:
    """N images, K heads of which H are shown. Image numbers are 0..N-1 everywhere, in the order of ``files``.

    Everything but ``title``, ``files``, ``thumbnail`` and ``xy`` may be left out: the page leaves out what it lacks.

    Attributes:
        title: the page's heading; two runs on one folder have different ones ("holiday · holiday-cd-laptop-s42").
        files: N names relative to the folder. Any text is allowed: spaces, Unicode, ``<script>``.
        thumbnail: ``thumbnail(i, side)`` gives image i as a square RGB picture of side px, from the original where
            there is one. It is called from one thread, for every image and then again for those in galleries.
        xy: (N, 2) float, places on the map in any unit; the larger y is drawn further up.
        key: what the page keeps in the browser (names, labels) is kept under this; it changes with the run and the
            images. "" for none.
        whole: ``whole(i, side)`` gives image i at its own aspect ratio, the longer side of side px; None where there
            are only squares.
        picture: side in px, 64 to 256, of the pictures in galleries: no more than the originals have to show.
        link: relative address of the folder of the originals, with a slash at its end, percent-encoded
            ("../my%20images/"): an original is at ``link`` + its name in ``files``, each part percent-encoded. None
            where the page is to stand alone.
        width, height, bytes: (N,) int each, of the original files, pixels after turning upright. None where there are
            no files. 0 where unknown.
        measures: name -> (N,) float, measures of quality (see cdlearn.analysis.quality), finite.
        quality: a dict per issue, in the order of the tab: ``name`` ("dark"), ``measure`` (a key of ``measures``),
            ``side`` ("below" or "above": which side of the threshold is flagged), ``threshold`` (where the page
            begins), ``low`` and ``high`` (the range in which the threshold can be moved; values beyond are kept as
            the end they are beyond), ``meaning`` (one sentence).
        labels: (N,) int, class numbers, or None. Only shown (as colours), never used.
        classes: the names of the classes; empty without labels.
        answers: (N, H) float, the outputs in [0, 1] of the heads shown, column j for ``heads[j]``; float16 is enough,
            the page keeps 8 bits. None without heads.
        heads: a dict per shown head, the most useful first. Image numbers are ints, other numbers floats:
            ``number`` (in the network, 0..K-1; how the page names it), ``on`` (fraction of images with an output above
            0.5), ``agreement`` (of two views, a rank correlation in [-1, 1]), ``spread`` (standard deviation of the
            outputs), ``same`` and ``opposite`` (lists of (number of a head, correlation), the strongest first; the
            other head need not be shown), ``top``, ``middle``, ``bottom`` (image numbers, the clearest first; 6 to
            16 each).
        names: what RUN/names.json says: {"heads": {number: name}, "clusters": {k: {cluster: name}}}; ``k`` may be
            "density". The page begins with them and saves a file of the same form.
        clusters: k -> (N,) int cluster numbers 0..k-1, for k = 2..20 and a few beyond, or fewer.
        silhouette: k -> float in [-1, 1].
        chance: k -> float, the silhouette that K-means with the same k reaches on images without clusters.
        stability: k -> float, agreement (ARI) of clusterings of two half-samples.
        medoids: k -> image number of the medoid of each cluster, k ints; -1 for an empty cluster.
        k: the number of clusters to begin with: the advised one, or where there is no clear k any that is useful.
        advice: one or two sentences: the k that stands out and why, or that there is no clear k.
        density: another clustering, HDBSCAN's: ``of`` (N,) int, cluster numbers 0..M-1, the largest first, -1 for
            images in none; ``medoids`` (M ints), ``advice`` (one sentence). None where it was not made.
        neighbours: (N, M) int, the nearest images, the nearest first, without the image itself; -1 where there are
            fewer. The page keeps as many columns as its budget allows, at most 12.
        duplicates: a dict per group: ``tier`` (one of :data:`TIERS`), ``images`` (two or more numbers, first the one
            to keep: most pixels, then most bytes, then the first name), ``reason`` (one sentence: "the files' bytes are
            equal", "hashes differ in 3 of 64 bits"), ``kept`` (why the first one: "most pixels", "most bytes", "first
            name").
        outliers: (image number, score, reason) triples, the strangest first; the score is larger for stranger ones, the
            reason a few words ("nearly black", "few colours", "different from its neighbours").
        outlier_score: what the score is, in a few words: "distance to the 10th neighbour".
        label_first: image numbers worth labelling first, in this order: diverse and typical.
        since: what changed since an earlier report: ``run`` (its name), ``new`` (bool (N,)), ``gone`` (names that are
            no longer there), ``changed`` (names of images that are another file now), ``says`` (one sentence). None
            without --since.
        recipe: how the run was trained, in a few words: "cd, laptop, 1,000,000 views".
        tests: name -> sentence, measured without labels: "of 100 images 87 find their own second crop first".
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
    key: str = ""
    whole: Callable[[int, int], Image.Image] | None = None
    picture: int = 128
    link: str | None = None
    width: np.ndarray | None = None
    height: np.ndarray | None = None
    bytes: np.ndarray | None = None
    measures: dict[str, np.ndarray] = field(default_factory=dict)
    quality: list[dict] = field(default_factory=list)
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    answers: np.ndarray | None = None
    heads: list[dict] = field(default_factory=list)
    names: dict = field(default_factory=dict)
    clusters: dict[int, np.ndarray] = field(default_factory=dict)
    silhouette: dict[int, float] = field(default_factory=dict)
    chance: dict[int, float] = field(default_factory=dict)
    stability: dict[int, float] = field(default_factory=dict)
    medoids: dict[int, list[int]] = field(default_factory=dict)
    k: int | None = None
    advice: str = ""
    density: dict | None = None
    neighbours: np.ndarray | None = None
    duplicates: list[dict] = field(default_factory=list)
    outliers: list[tuple[int, float, str]] = field(default_factory=list)
    outlier_score: str = "distance to its neighbours"
    label_first: list[int] = field(default_factory=list)
    since: dict | None = None
    recipe: str = ""
    tests: dict[str, str] = field(default_factory=dict)
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
            **{name: (getattr(self, name), (n,)) for name in ("width", "height", "bytes")},
            **{f"measures[{name}]": (of, (n,)) for name, of in self.measures.items()},
            "density": (self.density["of"] if self.density else None, (n,)),
            "since": (self.since["new"] if self.since else None, (n,)),
        }
        for name, (array, shape) in shapes.items():
            if array is not None and np.shape(array) != shape:
                raise ValueError(f"{name} has shape {np.shape(array)}, not {shape}")
        for name, array in (("xy", self.xy), ("answers", self.answers), *self.measures.items()):
            if array is not None and not np.isfinite(array).all():
                raise ValueError(f"{name} is not finite everywhere")
        if self.neighbours is not None and (self.neighbours.ndim != 2 or len(self.neighbours) != n):
            raise ValueError(f"neighbours has shape {self.neighbours.shape}, not ({n}, M)")
        if self.answers is None and self.heads:
            raise ValueError("heads without answers")
        for issue in self.quality:
            if issue["measure"] not in self.measures:
                raise ValueError(f"the issue {issue['name']} goes by {issue['measure']!r}, which is not in measures")

    def flagged(self, issue: dict) -> np.ndarray:
        """The images beyond the threshold of one of ``quality``, the worst first."""
        values = np.asarray(self.measures[issue["measure"]], float) * (1 if issue["side"] == "below" else -1)
        beyond = np.flatnonzero(values < issue["threshold"] * (1 if issue["side"] == "below" else -1))
        return beyond[np.argsort(values[beyond], kind="stable")]

    def pictured(self) -> list[int]:
        """The images that the page shows larger than on the map, each once: those of galleries, medoids, groups,
        outliers, quality issues, and those to label first."""
        lists = [head.get(part, ()) for head in self.heads for part in ("top", "middle", "bottom")]
        lists += [*self.medoids.values(), self.density["medoids"] if self.density else ()]
        lists += [[image for image, *_ in self.outliers], self.label_first]
        lists += [group["images"] for group in self.duplicates]
        lists += [self.flagged(issue)[:NAMED] for issue in self.quality]
        seen = dict.fromkeys(int(image) for images in lists for image in images)
        return [i for i in seen if 0 <= i < len(self.files)]
