"""The steps of the analysis, each kept in the cache when it is done, each shown by a bar while it runs."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np
from torch import nn
from tqdm import tqdm

from cdlearn import tsne
from cdlearn.analysis import clusters, duplicates, heads, neighbours
from cdlearn.analysis.cache import Cache
from cdlearn.analysis.images import Source
from cdlearn.config import Config
from cdlearn.evaluate import embed

STAGES = ("backbone", "output")
BLOCK = 4096  # images that are embedded, or whose neighbours are searched for, before the part is kept


class Pipeline:
    """The parts of a report on N images, each computed when it is first asked for.

    Args:
        model: a trained method, on its device.
        stage: ``backbone`` or ``output``: whose features distances are measured between.
        cache: where finished parts are kept.
        progress: show bars.
    """

    def __init__(self, model: nn.Module, config: Config, source: Source, stage: str, cache: Cache, progress: bool):
        self.model, self.config, self.source = model, config, source
        self.stage, self.cache, self.progress = stage, cache, progress

    def bar(self, items: Iterable | None, what: str) -> tqdm:
        """``items`` with a bar that says what is being done."""
        return tqdm(items, desc=what, disable=not self.progress, leave=False, dynamic_ncols=True)

    def of_stage(self, name: str, make) -> dict[str, np.ndarray]:
        """A part that depends on the stage."""
        return self.cache.part(f"{self.stage}-{name}", make)

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """Both stages of every image, (N, D) and (N, K) float32, embedded a block at a time."""
        images, size, amp = self.source.images, self.config.size, self.config.amp
        made = [
            self.cache.part(f"embedding-{at}", lambda at=at: embed(self.model, images[at : at + BLOCK], size, amp=amp))
            for at in self.bar(range(0, len(images), BLOCK), "embedding")
        ]
        return {name: np.concatenate([part[name] for part in made]) for name in STAGES}

    @cached_property
    def directions(self) -> np.ndarray:
        """The stage's features at length 1, (N, D): what clusters are made of."""
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
        """The answers of every head, (N, K) in [0, 1], and what is said of those to show."""
        images, config = self.source.images, self.config
        made = self.cache.part("agreement", lambda: {"of": heads.agreement(self.model, images, config, config.seed)})
        answers = heads.as_answers(self.features["output"])
        return answers, heads.shown(answers, made["of"], config.seed)

    @cached_property
    def clusters(self) -> clusters.Clusterings:
        """K-means for every k, and an advice."""
        return clusters.clusterings(
            self.directions, self.config.seed, self.of_stage, lambda ks: self.bar(ks, "clusters")
        )

    @cached_property
    def duplicates(self) -> list[dict]:
        """Groups of near-duplicates, the surest tier first."""
        same = duplicates.same_bytes(self.source.files, lambda files: self.bar(files, "same bytes"))
        bits, colours = duplicates.hashed(self.source.images, lambda parts: self.bar(parts, "pictures"))
        return duplicates.groups(same, bits, colours, *self.graph)
