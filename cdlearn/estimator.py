"""A trained run in scikit-learn's manner: ``cdlearn.load(RUN)`` turns images into features for its estimators."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances_argmin
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from torch import Tensor

from cdlearn import checkpoint
from cdlearn.analysis import STAGES, clusters, names, neighbours
from cdlearn.data import ImageSet, folders
from cdlearn.data import load as load_images
from cdlearn.evaluate import embed
from cdlearn.methods import needs_clusters
from cdlearn.results.run_folder import folder_of
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import UserError

Images = str | Path | ImageSet | Tensor | np.ndarray | Sequence[str | Path]


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

    Images are a folder (every image below it, in the order of the report's table), the name of a data set, a list of
    files, an ImageSet, or pixels: uint8 (N, H, W, 3) as in numpy or (N, 3, H, W) as in torch. The network sees the
    central square of each.

    Args:
        run: the folder of a run.
        stage: ``backbone`` for h, ``output`` for the heads' answers.
        device: cpu or cuda; "" takes cuda where there is one.
    """

    def __init__(self, run: str | Path, stage: str = "backbone", device: str = ""):
        self.run = run
        self.stage = stage
        self.device = device

    def model(self) -> tuple[torch.nn.Module, object]:
        """The network, in evaluation mode, and its Config; read from the run once."""
        if not hasattr(self, "_model"):
            if self.stage not in STAGES:
                raise UserError(f"unknown stage {self.stage!r}; there are {' and '.join(STAGES)}")
            model, config = checkpoint.load_model(self.run)
            self._model = model.to(pick_device(self.device), memory_format=torch.channels_last), config
        return self._model

    def __getstate__(self):
        """Without the network: a pickled or copied Encoder reads it again from the run."""
        return {name: value for name, value in super().__getstate__().items() if name != "_model"}

    def __sklearn_is_fitted__(self) -> bool:
        return True  # the training was the fitting

    def fit(self, images: Images, y=None) -> "Encoder":
        """Nothing is left to fit; scikit-learn's pipelines ask for it."""
        return self

    def cluster(self, images: Images, k: int | None = None) -> "Encoder":
        """Find clusters among ``images``, for :meth:`predict`.

        k: their number; None takes the one that stands out (see cdlearn.analysis.clusters.advised).

        Raises:
            UserError: where k is not given and none stands out, or there are fewer images than clusters.
        """
        rows, seed = neighbours.unit(self._embed(images, self.stage)), self.model()[1].seed
        if k is None:
            found = clusters.clusterings(rows, seed)
            if not found.clear:
                raise UserError(f"{found.advice} To cluster all the same, pass k")
            k = found.k
        elif len(rows) < k:
            raise UserError(f"{len(rows)} images cannot be put into {k} clusters")
        self.cluster_centers_ = clusters.clustered(rows, k, seed)["centres"]
        return self

    def transform(self, images: Images) -> np.ndarray:
        """Features of every image, in order, float32: (N, D) of the backbone or (N, K) of the heads."""
        return self._embed(images, self.stage)

    def _embed(self, images: Images, stage: str) -> np.ndarray:
        model, config = self.model()
        return embed(model, pixels(images, config), config.size, amp=config.amp)[stage].numpy()

    def predict(self, images: Images) -> np.ndarray:
        """The number of the nearest cluster, (N,) int.

        The clusters are those of :meth:`cluster`; else the method's own, where it was told their number; else those
        that the run's report begins with. Raises UserError where there are none.
        """
        if not hasattr(self, "cluster_centers_") and needs_clusters(self.model()[1].method):
            return self._embed(images, "output").argmax(axis=1)
        return pairwise_distances_argmin(neighbours.unit(self._embed(images, self.stage)), self.centres())

    def centres(self) -> np.ndarray:
        """(k, D) of the clusters that :meth:`predict` goes by."""
        if hasattr(self, "cluster_centers_"):
            return self.cluster_centers_
        try:
            with np.load(Path(self.run, "report-images.npz"), allow_pickle=False) as report:
                if str(report["stage"]) == self.stage:
                    return report["centres"]
        except (OSError, ValueError, KeyError):
            pass  # no report, or one of too few images for clusters
        raise UserError(
            f"{self.run} has no clusters of its {self.stage} yet; call cluster(images), or make its report: "
            f"python -m cdlearn.report {self.run}"
        )

    def linear_probe(self, images: Images, labels: Sequence) -> Pipeline:
        """Images, some of them labelled -> a classifier of images: logistic regression on the features.

        labels: (N,) of any kind; None, NaN, "" and -1 mean that nobody knows. The result predicts from whatever
        ``transform`` takes; the network is not trained on.

        Raises:
            UserError: for labels of another number than the images, or of fewer than two classes.
        """
        return self._classifier(images, labels, StandardScaler(), LogisticRegression(max_iter=1000))

    def knn(self, images: Images, labels: Sequence, neighbours: int = 20) -> Pipeline:
        """As :meth:`linear_probe`, by a vote of the nearest labelled images, by cosine."""
        known = int(is_known(labels).sum())
        return self._classifier(images, labels, Normalizer(), KNeighborsClassifier(max(1, min(neighbours, known))))

    def _classifier(self, images: Images, labels: Sequence, scale, classify) -> Pipeline:
        features, known = self._embed(images, self.stage), is_known(labels)
        if len(known) != len(features):
            raise UserError(f"{len(known)} labels for {len(features)} images; there must be one each, None for unknown")
        truth = np.array([label for label, sure in zip(labels, known, strict=True) if sure])
        if len(np.unique(truth)) < 2:
            raise UserError("the labels name fewer than two classes; label some images of another")
        head = Pipeline([("scale", scale), ("classify", classify)]).fit(features[known], truth)
        return Pipeline([("encode", self), *head.steps])

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names for ``set_output(transform="pandas")``: h0, h1, … of the backbone, head_0, head_1, … of the output.

        A head that has a name in RUN/names.json, which the report's page saves, goes by it.
        """
        size = self.model()[1].size
        count = self._embed(torch.zeros(1, 3, size, size, dtype=torch.uint8), self.stage).shape[1]
        if self.stage == "backbone":
            return np.array([f"h{number}" for number in range(count)], object)
        return np.array(names.columns(range(count), names.read(folder_of(Path(self.run)))["heads"]), object)


def is_known(labels: Sequence) -> np.ndarray:
    """bool (N,): False for None, NaN, "" and -1."""
    return np.array(
        [not (pd.isna(label) or (isinstance(label, str) and not label) or label == -1) for label in labels], bool
    )


def pixels(images: Images, config) -> Tensor:
    """uint8 (N, 3, H, W) of whatever stands for images; files and folders at the size that the network sees.

    Raises:
        UserError: naming the folder or file that cannot be read, or the shape that pixels should have.
    """
    if isinstance(images, ImageSet):
        return images.images
    if isinstance(images, (str, Path)):
        return load_images(str(images), config.size, stored=config.stored).images
    if isinstance(images, (list, tuple)) and all(isinstance(path, (str, Path)) for path in images):
        files = [Path(path) for path in images]
        side = config.stored or folders.stored_side(files, config.size) if files else config.size
        read = np.empty((len(files), 3, side, side), np.uint8)
        for number, path in enumerate(files):
            read[number] = folders.decode(path, side)
        return torch.from_numpy(read)
    found = torch.as_tensor(np.asarray(images)) if not isinstance(images, Tensor) else images
    if found.ndim == 4 and found.dtype == torch.uint8:
        if found.shape[1] != 3 and found.shape[3] == 3:
            found = found.permute(0, 3, 1, 2)
        if found.shape[1] == 3:
            side = min(found.shape[2:])
            top, left = ((length - side) // 2 for length in found.shape[2:])
            return found[:, :, top : top + side, left : left + side]  # the central square, as of files
    raise UserError(
        f"pixels are uint8 of shape (N, H, W, 3) or (N, 3, H, W), got {found.dtype} {tuple(found.shape)}; "
        "a folder, a list of files or an ImageSet will do as well"
    )
