"""Published measures of disentanglement: MIG (Chen et al., 2018) and DCI (Eastwood and Williams, 2018)."""

import warnings

import numpy as np
from scipy.stats import ortho_group
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from torch import Tensor


def mutual_information(heads: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of each column of heads (N, K) with values (N,), both whole numbers from 0: (K,) in nats."""
    bins, shape = heads.max() + 1, (values.max() + 1, heads.max() + 1)
    joint = np.stack([np.bincount(values * bins + head, minlength=shape[0] * shape[1]) for head in heads.T])
    joint = joint.reshape(-1, *shape) / len(values)
    apart = joint.sum(1, keepdims=True) * joint.sum(2, keepdims=True)
    return (joint * np.log(np.divide(joint, apart, out=np.ones_like(joint), where=joint > 0))).sum((1, 2))


def mutual_information_gap(outputs: Tensor | np.ndarray, attributes: dict[str, Tensor], bins: int = 20) -> float:
    """MIG (Chen et al., 2018): how much more the best head encodes about an attribute than the second best, 0-1.

    outputs: (N, K), K at least 2; the outputs of each head are cut into ``bins`` of equal count. Mutual information is
    divided by the attribute's entropy. Returns the mean over the attributes that have more than one value.
    """
    outputs = np.asarray(outputs)
    if outputs.shape[1] < 2:
        raise ValueError("the gap is between two heads; there is 1")
    edges = np.quantile(outputs, np.linspace(0, 1, bins + 1)[1:-1], axis=0)
    binned = np.stack([np.searchsorted(edges[:, k], outputs[:, k]) for k in range(outputs.shape[1])], 1)
    gaps = []
    for values in attributes.values():
        values = np.unique(values, return_inverse=True)[1]
        entropy = mutual_information(values[:, None], values)[0]
        if entropy > 0:
            second, first = np.sort(mutual_information(binned, values))[-2:]
            gaps.append((first - second) / entropy)
    return float(np.mean(gaps)) if gaps else 0.0


def dci(
    outputs: Tensor | np.ndarray, attributes: dict[str, Tensor], reader: str = "lasso", seed: int = 0
) -> dict[str, float]:
    """DCI (Eastwood and Williams, 2018): a reader learns every attribute from all heads; which heads does it need?

    The reader learns on a random half of the images, from heads of mean 0 and deviation 1, and is scored on the other
    half. As in their paper there are two kinds; both are kept cheap (4,096 images, 128 heads, five attributes, one
    thread: 0.4 s and 1 s):

    * ``lasso``: a linear classifier with an L1 penalty, one value against the rest. A head's importance is the sum of
      the sizes of its weights. The penalty is the best of three for the held-out score (0.003, 0.01, 0.1, on motifs).
    * ``forest``: ten trees of six levels, with thresholds drawn at random. A head's importance is Gini's. Trees also
      read what is not linear. Every split looks at all heads, so uninformative heads get hardly any importance.

    Both depend on how sparse the reader is, so compare scores of one reader only, and look at :func:`rotated` outputs.

    Args:
        outputs: (N, K).
        attributes: name -> value numbers (N,).

    Returns:
        ``disentanglement`` and ``completeness`` (see :func:`dci_of`), and ``informativeness``: the fraction of held-out
        images whose value the reader finds, as a mean over the attributes. All are in 0-1.
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    order = np.random.default_rng(seed).permutation(len(outputs))
    learn, score = order[: len(order) // 2], order[len(order) // 2 :]
    mean, std = outputs[learn].mean(0), outputs[learn].std(0)
    x = (outputs - mean) / np.where(std > 0, std, 1)
    lasso, importance, found = {"lasso": True, "forest": False}[reader], [], []
    for values in map(np.asarray, attributes.values()):
        if lasso:
            learner = LinearSVC(penalty="l1", dual=False, C=0.1, tol=1e-2, random_state=seed)
        else:
            learner = ExtraTreesClassifier(10, max_depth=6, max_features=1.0, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            learner.fit(x[learn], values[learn])
        importance.append(np.abs(learner.coef_).sum(0) if lasso else learner.feature_importances_)
        found.append((learner.predict(x[score]) == values[score]).mean())
    disentanglement, completeness = dci_of(np.stack(importance, 1))
    return {
        "disentanglement": disentanglement,
        "completeness": completeness,
        "informativeness": float(np.mean(found)),
    }


def dci_of(importance: np.ndarray) -> tuple[float, float]:
    """Disentanglement and completeness of importances (K heads, A attributes), none negative.

    Disentanglement is 1 when each head that matters serves one attribute. For a head it is 1 minus the entropy of its
    row, base A; the mean is weighted by the rows' sums. Completeness is 1 when each attribute needs one head only. For
    an attribute it is 1 minus the entropy of its column, base K; the mean is a plain one. An attribute without any
    importance counts as 0.
    """

    def purity(rows: np.ndarray) -> np.ndarray:
        total = rows.sum(1, keepdims=True)
        fraction = rows / np.where(total > 0, total, 1)
        entropy = -(fraction * np.log(np.where(fraction > 0, fraction, 1))).sum(1)
        return np.where(total[:, 0] > 0, 1 - entropy / np.log(max(2, rows.shape[1])), 0)

    weight = importance.sum(1) / (importance.sum() or 1)
    return float(weight @ purity(importance)), float(purity(importance.T).mean())


def rotated(outputs: Tensor | np.ndarray, seed: int = 0) -> np.ndarray:
    """The control of every measure of single heads: outputs (N, K) with standard deviation 1, rotated at random.

    A linear model that reads all heads finds the same information in it. Only the axes have lost their meaning.
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    std, heads = outputs.std(0), outputs.shape[1]
    rotation = ortho_group.rvs(heads, random_state=np.random.default_rng(seed)) if heads > 1 else np.eye(heads)
    return (outputs - outputs.mean(0)) / np.where(std > 0, std, 1) @ rotation
