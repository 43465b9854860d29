"""A trained run in scikit-learn's manner: ``cdlearn.load(RUN)`` turns images into features for its estimators."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.metrics import pairwise_distances_argmin
from sklearn.pipeline import Pipeline

from cdlearn import checkpoint, few_labels, k_means
from cdlearn.analysis import STAGES, clusters, names, neighbours
from cdlearn.config import Config
from cdlearn.data.folders import reading_of
from cdlearn.data.inputs import blocks
from cdlearn.evaluate import embed
from cdlearn.methods import build, needs_clusters
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import UserError
from cdlearn.runtime.paths import expanded


class NoClusters(UserError, NotFittedError):
    """There are no clusters to predict yet; scikit-learn knows it as an estimator that is not fitted."""


def load(run: str | Path, stage: str = "backbone", device: str = "") -> "Encoder":
    """A trained run as an :class:`Encoder`, its weights read and checked.

    Raises:
        UserError: naming the run and what is wrong with it.
    """
    encoder = Encoder(run, stage, device=device)
    encoder.model()
    return encoder


class Encoder(TransformerMixin, BaseEstimator):
    """Images -> features of a trained run; a transformer for scikit-learn's pipelines.

    Images are a folder (every image below it, in the order of the report's table), the name of a data set, a file, or
    whatever holds several: a list, array, Series or generator of paths, bytes, PIL images or pixels, an ImageSet, a
    DataLoader. The network sees the central square of each, and the features of an image do not depend on the others.

    A pickle holds the network and the clusters, so it works where the run is not.

    Args:
        run: the folder of a run.
        stage: ``backbone`` for h, ``output`` for the heads' outputs.
        device: cpu or cuda; "" takes cuda where there is one.
    """

    def __init__(self, run: str | Path, stage: str = "backbone", device: str = ""):
        self.run = run
        self.stage = stage
        self.device = device

    def model(self) -> tuple[torch.nn.Module, Config]:
        """The network, in evaluation mode, and its Config; read from the run once, and again when ``run`` is changed.

        Raises:
            UserError: for an unknown stage or device, or a run that cannot be read.
        """
        if self.stage not in STAGES:
            raise UserError(f"unknown stage {self.stage!r}; there are {' and '.join(STAGES)}")
        if not isinstance(self.run, (str, os.PathLike)) or not os.fspath(self.run):
            raise UserError(f"run is {self.run!r}; pass the folder of a run")
        if not isinstance(self.device, str):
            raise UserError(f"device is {self.device!r}; pass cpu, cuda or mps as text, or an empty text")
        if getattr(self, "_kept_for", None) != os.fspath(self.run):
            model, config = checkpoint.load_model(self._folder())
            self._kept = model, config, reading_of(self._folder(), config)
            self._kept_for, self._kept_on, self._report = os.fspath(self.run), None, None
        if self._kept_on != self.device:
            self._kept[0].to(pick_device(self.device), memory_format=torch.channels_last)
            self._kept_on = self.device
        return self._kept[:2]

    def _folder(self) -> Path:
        return expanded(self.run)

    def __getstate__(self) -> dict:
        """With the weights and the clusters in place of the network and the run, see :meth:`__setstate__`."""
        state = super().__getstate__().copy()
        if kept := state.pop("_kept", None):
            weights = {name: of.cpu() for name, of in kept[0].state_dict().items()}
            state["_saved"] = {"config": kept[1].as_dict(), "weights": weights, "reading": kept[2]}
            if not hasattr(self, "cluster_centers_") and state.get("_kept_for") == os.fspath(self.run):
                state["_report"] = getattr(self, "_report", None) or self._reported()
        return state

    def __setstate__(self, state: dict) -> None:
        state, saved = state.copy(), state.get("_saved")
        state.pop("_saved", None)
        super().__setstate__(state)
        if saved:
            config = Config.from_dict(saved["config"])
            model = build(config)
            model.load_state_dict(saved["weights"])
            self._kept, self._kept_on = (model.eval(), config, saved["reading"]), None

    def __sklearn_clone__(self) -> "Encoder":
        """Without clusters, and with the same network: it was trained, not fitted, and its run may be elsewhere."""
        made = type(self)(**{name: copy.copy(of) for name, of in self.get_params(deep=False).items()})
        for name in ("_kept", "_kept_for", "_kept_on", "_sklearn_output_config", "_report"):
            if hasattr(self, name):
                setattr(made, name, getattr(self, name))
        return made

    def __sklearn_is_fitted__(self) -> bool:
        return True  # the training was the fitting

    def fit(self, images: object = None, y=None) -> "Encoder":
        """Nothing is left to fit; scikit-learn's pipelines ask for it. Clusters are found by :meth:`cluster`."""
        self.model()
        return self

    def cluster(self, images: object, k: int | None = None) -> "Encoder":
        """Find clusters among ``images``, for :meth:`predict`; ``labels_`` has theirs, (N,).

        k: their number; None takes the one that stands out (see cdlearn.analysis.clusters.advised).

        Raises:
            UserError: where k is not given and none stands out, or there are fewer images than clusters.
        """
        if k is not None and (not isinstance(k, (int, np.integer)) or isinstance(k, bool) or k < 1):
            raise UserError(f"k is {k!r}; pass a whole number of clusters, or None for an advice")
        rows, seed = neighbours.unit(self._embed(images)), self.model()[1].seed
        if k is None:
            found = clusters.clusterings(rows, seed)
            if not found.clear:
                raise UserError(f"{found.advice} To cluster all the same, pass k")
            k = found.k
        kinds = k_means.distinct(rows, int(k))
        if kinds < k <= len(rows):
            raise UserError(f"to this network the {len(rows)} images are of {kinds} kinds; k is {kinds} at most")
        drawn = np.random.default_rng(seed).permutation(len(rows))[: clusters.FITTED]
        model = clusters.fit(rows[drawn], int(k), seed)
        order = np.argsort(-np.bincount(model.predict(rows), minlength=k), kind="stable")  # as the report numbers them
        self.cluster_centers_ = model.cluster_centers_[order]
        self._clusters_of = os.fspath(self.run), self.stage
        self.labels_ = pairwise_distances_argmin(rows, self.cluster_centers_)
        return self

    def fit_predict(self, images: object, y=None, k: int | None = None) -> np.ndarray:
        """The clusters that :meth:`cluster` finds among ``images``, (N,) int; they are kept for :meth:`predict`."""
        return self.cluster(images, k).labels_

    def transform(self, images: object) -> np.ndarray:
        """Features of every image, in order, float32: (N, D) of the backbone or (N, K) of the heads."""
        return self._embed(images)

    def _embed(self, images: object, stage: str = "") -> np.ndarray:
        model, config = self.model()
        parts = [
            embed(model, part, config.size, amp=config.amp)[stage or self.stage].numpy()
            for part in blocks(images, config.size, self._kept[2], config.stored)
        ]
        return np.concatenate(parts)

    def predict(self, images: object) -> np.ndarray:
        """The number of the nearest cluster, (N,) int.

        The clusters are those of :meth:`cluster`; else the method's own, where it was given their number; else those
        that the run's report begins with.

        Raises:
            NoClusters: where there are none, or they are of another run or stage.
        """
        if not hasattr(self, "cluster_centers_") and needs_clusters(self.model()[1].method):
            return self._embed(images, "output").argmax(axis=1)
        centres = self.centres()
        return pairwise_distances_argmin(neighbours.unit(self._embed(images)), centres)

    def centres(self) -> np.ndarray:
        """(k, D) of the clusters that :meth:`predict` goes by."""
        self.model()
        if hasattr(self, "cluster_centers_"):
            if self._clusters_of != (os.fspath(self.run), self.stage):
                run, stage = self._clusters_of
                raise NoClusters(f"the clusters are of the {stage} of {run}; call cluster(images) again")
            return self.cluster_centers_
        centres, stage = getattr(self, "_report", None) or self._reported() or (None, "")
        if stage == self.stage:
            return centres
        other = f", and its report is of the {stage}: load(run, stage={stage!r}) has clusters" if stage else ""
        raise NoClusters(
            f"{self.run} has no clusters of its {self.stage} yet{other}; call cluster(images), or make its report: "
            f"python -m cdlearn.report {self.run} --stage {self.stage}"
        )

    def _reported(self) -> tuple[np.ndarray, str] | None:
        """Centres of the clusters in the run's report, and their stage; None without a report or without clusters."""
        folder = self._folder() if self._folder().is_dir() else self._folder().parent
        try:
            with np.load(folder / "report-images.npz", allow_pickle=False) as report:
                return report["centres"], str(report["stage"])
        except (OSError, ValueError, KeyError):
            return None

    def linear_probe(self, images: object, labels: Sequence) -> Pipeline:
        """Images, some of them labelled -> a classifier of images: logistic regression on the features.

        labels: (N,) of any kind; None, NaN, "" and -1 mean unknown. The result predicts from whatever ``transform``
        takes; the network is not trained on.

        Raises:
            UserError: for labels of another number than the images, or of fewer than two classes.
        """
        return few_labels.linear_probe(self, self._embed(images), labels)

    def knn(self, images: object, labels: Sequence, neighbours: int | None = None) -> Pipeline:
        """As :meth:`linear_probe`, by a vote of the nearest labelled images, by cosine.

        neighbours: how many vote. None takes as many as the rarest class has labels, up to 20: with more, the vote
        would go to the larger classes wherever the image lies.
        """
        return few_labels.knn(self, self._embed(images), labels, neighbours)

    @property
    def n_features_out_(self) -> int:
        """D of the backbone or K of the heads."""
        size = self.model()[1].size
        return self._embed(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape[1]

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names for ``set_output(transform="pandas")``: h0, h1, … of the backbone, head_0, head_1, … of the output.


        Heads that were named in the report's page (RUN/names.json) have these names.
        """
        if self.stage == "backbone":
            return np.array([f"h{number}" for number in range(self.n_features_out_)], object)
        given = names.read(self._folder())["heads"]
        return np.array(names.columns(range(self.n_features_out_), given), object)
