"""The steps of the analysis, each kept in the cache when it is done, each shown by a bar while it runs."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from cdlearn import tsne
from cdlearn.analysis import clusters, density, duplicates, heads, neighbours, outliers, quality
from cdlearn.analysis.cache import Cache
from cdlearn.analysis.images import Source
from cdlearn.config import Config
from cdlearn.evaluate import embed
from cdlearn.evaluate.extra_metrics import agreement_between_views, rank_me

STAGES = ("backbone", "output")
TESTED = 100  # images whose second crops are looked for
RANKED = 10_000  # images whose features RankMe is taken from
BLOCK = 4096  # images that are embedded, or whose neighbours are searched for, before the part is kept


class Pipeline:
    """The parts of a report on N images, each computed when it is first asked for.

    Args:
        model: a trained method, on its device; None where ``given`` are features of another network: then there are no
            heads.
        stage: ``backbone`` or ``output``: whose features distances are measured between.
        cache: where finished parts are kept.
        progress: show bars.
        given: (N, D), in place of the model's backbone.
    """

    def __init__(
        self,
        model: nn.Module | None,
        config: Config,
        source: Source,
        stage: str,
        cache: Cache,
        progress: bool,
        given: np.ndarray | None = None,
    ):
        self.model, self.config, self.source = model, config, source
        self.stage, self.cache, self.progress, self.given = stage, cache, progress, given

    def bar(self, items: Iterable | None, what: str) -> tqdm:
        """``items`` with a bar that names what is being done."""
        return tqdm(items, desc=what, disable=not self.progress, leave=False, dynamic_ncols=True)

    def of_stage(self, name: str, make) -> dict[str, np.ndarray]:
        """A part that depends on the stage."""
        return self.cache.part(f"{self.stage}-{name}", make)

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """Both stages of every image, (N, D) and (N, K) float32, embedded a block at a time."""
        if self.model is None:
            return {"backbone": self.given, "output": np.empty((len(self.given), 0), np.float32)}
        images, size, amp = self.source.images, self.config.size, self.config.amp
        made = [
            self.cache.part(f"embedding-{at}", lambda at=at: embed(self.model, images[at : at + BLOCK], size, amp=amp))
            for at in self.bar(range(0, len(images), BLOCK), "embedding")
        ]
        return {name: np.concatenate([part[name] for part in made]) for name in STAGES}

    @cached_property
    def directions(self) -> np.ndarray:
        """The stage's features at unit norm, (N, D): what clusters are made of."""
        return neighbours.unit(self.features[self.stage])

    @cached_property
    def rows(self) -> np.ndarray:
        """What neighbours are searched among, (N, D) or narrower."""
        return neighbours.narrowed(self.directions, self.config.seed)

    @cached_property
    def graph(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and distances of the nearest neighbours of every image, (N, M) each."""
        n = len(self.rows)
        made = [
            self.of_stage(f"neighbours-{at}", lambda at=at: neighbours.nearest(self.rows, at, min(at + BLOCK, n)))
            for at in self.bar(range(0, n, BLOCK), "neighbours")
        ]
        return tuple(np.concatenate([part[name] for part in made]) for name in ("number", "distance"))

    @cached_property
    def map(self) -> np.ndarray:
        """Places (N, 2)."""
        with self.bar(None, "map") as bar:
            bar.reset(tsne.STEPS)
            made = lambda: {"xy": tsne.placed(self.rows, *self.graph, self.config.seed, bar.update)}  # noqa: E731
            return self.of_stage("map", made)["xy"]

    @cached_property
    def heads(self) -> tuple[np.ndarray, list[dict]]:
        """The outputs of every head, (N, K) in [0, 1], and the entries of those to show."""
        if self.model is None:
            return self.features["output"], []
        images, config = self.source.images, self.config
        made = self.cache.part("agreement", lambda: {"of": heads.agreement(self.model, images, config, config.seed)})
        outputs = heads.scaled_outputs(self.features["output"])
        return outputs, heads.shown(outputs, made["of"], config.seed)

    @cached_property
    def clusters(self) -> clusters.Clusterings:
        """K-means for every k, and an advice."""
        return clusters.clusterings(
            self.directions, self.config.seed, self.of_stage, lambda ks: self.bar(ks, "clusters")
        )

    @cached_property
    def density(self) -> dict[str, np.ndarray]:
        """HDBSCAN's clusters on the map."""
        return self.of_stage("density", lambda: density.dense(self.map, self.directions, self.config.seed))

    @cached_property
    def sizes(self) -> dict[str, np.ndarray] | None:
        """Width, height and bytes of the files; None where there are none."""
        if not self.source.files:
            return None
        return self.cache.part("sizes", lambda: self.source.sizes(lambda files: self.bar(files, "sizes")))

    @cached_property
    def quality(self) -> dict[str, np.ndarray]:
        """Quality measures, (N,) each."""
        sides = np.stack([self.sizes["width"], self.sizes["height"]], 1) if self.sizes else None

        def detail(number: int) -> np.ndarray:
            return self.source.detail(
                number, quality.DETAIL, (0, 0) if sides is None else tuple(sides[number].tolist())
            )

        found = quality.measures(self.source.images, detail, self.cache.part, lambda parts: self.bar(parts, "quality"))
        return found | (quality.shape_measures(sides[:, 0], sides[:, 1]) if self.sizes else {})

    @cached_property
    def outliers(self) -> dict[str, np.ndarray]:
        """What :func:`cdlearn.analysis.outliers.ranked` gives."""
        statistic = self.cache.part("statistics", lambda: {"of": outliers.statistics(self.source.images)})["of"]
        near = neighbours.strangeness(self.graph[1])
        return self.of_stage("outliers", lambda: outliers.ranked(statistic, self.rows, near, self.config.seed))

    @cached_property
    def tests(self) -> dict[str, str]:
        """What is measured without labels, in sentences; see ``tests`` of cdlearn.pages.contents.Contents."""
        found_by, drawn = {}, np.random.default_rng(self.config.seed).permutation(len(self.directions))[:RANKED]
        features = self.features[self.stage][drawn]
        made = self.of_stage("rankme", lambda: {"of": rank_me(torch.from_numpy(features))})
        found_by["RankMe"] = f"{float(made['of']):.1f} effective dimensions of {features.shape[1]}"
        if self.model is not None and len(self.directions) > 1:
            look = lambda: agreement_between_views(self.model, self.source.images, self.config, TESTED)  # noqa: E731
            found, asked = self.cache.part("second-views", look)[self.stage], min(TESTED, len(self.directions))
            found_by["second crops"] = (
                f"Of {asked} images {round(float(found) * asked)} find their own second view first; 1 would by chance."
            )
        return found_by

    @cached_property
    def duplicates(self) -> list[dict]:
        """Groups of near-duplicates, the surest tier first, in each first the image to keep."""
        same = duplicates.same_bytes(self.source.files, lambda files: self.bar(files, "same bytes"))
        bits = duplicates.hashed(self.source.images, lambda parts: self.bar(parts, "pictures"))
        return duplicates.keep_best(duplicates.groups(same, self.source.images, bits, *self.graph), self.sizes)
