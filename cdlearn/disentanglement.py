"""What each feature head learned: its AUC for known attributes, and the images it answers to most and least.

And whether the heads are *disentangled*, so that each knows one attribute only: the share of heads that know exactly
one, the mutual information gap (Chen et al., 2018), and DCI (Eastwood and Williams, 2018).
"""

import warnings
from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from torch import Tensor


def rank_auc(outputs: np.ndarray, is_value: np.ndarray) -> np.ndarray:
    """The chance that a head answers more to an image with the value than to one without (Mann-Whitney, ties half).

    outputs: (N, K); is_value: bool (N,). Returns (K,): 0.5 for no knowledge, 1 or 0 for full knowledge.

    Raises:
        ValueError: if all images have the value, or none.
    """
    positives = int(is_value.sum())
    negatives = len(is_value) - positives
    if not positives or not negatives:
        raise ValueError("rank_auc needs images with the value and without it")
    return auc_of_ranks(rankdata(outputs, axis=0), is_value)


def auc_of_ranks(ranks: np.ndarray, is_value: np.ndarray) -> np.ndarray:
    """:func:`rank_auc` from ranks (N, K). Ranking is slow, so hundreds of permutations share it."""
    positives = int(is_value.sum())
    return (is_value @ ranks - positives * (positives + 1) / 2) / (positives * (len(is_value) - positives))


def in_halves(outputs: Tensor | np.ndarray, generator: np.random.Generator) -> tuple[tuple, Callable]:
    """Cut the images of outputs (N, K) into two random halves: one to choose on, one to score on.

    Returns:
        The numbers of the images of both halves, and a function of ``is_value``, bool (N,). It gives the AUC of each
        head: on the first half, folded to 0.5-1, and on the second half with the sign of the first.
    """
    outputs = np.asarray(outputs, dtype=np.float32)
    order = generator.permutation(len(outputs))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    ranks = [rankdata(outputs[half], axis=0) for half in halves]

    def held_out(is_value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, second = (auc_of_ranks(r, is_value[half]) for r, half in zip(ranks, halves, strict=True))
        return np.maximum(first, 1 - first), np.where(first >= 0.5, second, 1 - second)

    return halves, held_out


def shuffled(values: np.ndarray, halves: tuple, generator: np.random.Generator) -> np.ndarray:
    """A copy of values (N,) in random order within each half."""
    values = values.copy()
    for half in halves:
        values[half] = generator.permutation(values[half])
    return values


def attribute_scores(
    outputs: Tensor | np.ndarray, attributes: dict[str, Tensor], permutations: int = 20, seed: int = 0
) -> list[dict]:
    """The best head for every value of every attribute, chosen on one half of the images and scored on the other.

    Head and sign are chosen on the first half. ``null`` is the largest held-out AUC over ``permutations`` shuffled
    copies of the attribute: what choosing the best of K heads finds in noise. Attributes with one value only, or with a
    value that is missing from a half, are left out.

    Args:
        outputs: (N, K), on any monotone scale.
        attributes: name -> value numbers (N,).

    Returns:
        One row per value: ``attribute``, ``value``, ``head``, ``auc`` (held out), ``null``, ``own head``, ``own auc``.
        The own heads are the best choice that gives every value of every attribute another head (Hungarian match
        on the first half). If there are fewer heads than values, both are None for the values left over.

    Raises:
        ValueError: if outputs and attributes differ in number.
    """
    generator = np.random.default_rng(seed)
    halves, held_out = in_halves(outputs, generator)
    rows, chosen_on, scored_on = [], [], []
    for name, values in attributes.items():
        values = np.asarray(values)
        if len(values) != len(outputs):
            raise ValueError(f"{len(values)} values of {name} for {len(outputs)} images")
        known = np.unique(values)
        if len(known) < 2 or any(len(np.unique(values[half])) < len(known) for half in halves):
            continue
        for value in known:
            first, second = held_out(values == value)
            head, null = int(first.argmax()), 0.0
            for _ in range(permutations):
                a, b = held_out(shuffled(values, halves, generator) == value)
                null = max(null, float(b[a.argmax()]))
            row = {"attribute": name, "value": int(value), "head": head, "auc": float(second[head]), "null": null}
            rows.append(row | {"own head": None, "own auc": None})
            chosen_on.append(first)
            scored_on.append(second)
    if rows:
        for row, head in zip(*linear_sum_assignment(-np.array(chosen_on)), strict=True):
            rows[row] |= {"own head": int(head), "own auc": float(scored_on[row][head])}
    return rows


def distinct_heads(outputs: Tensor, count: int = 8) -> list[int]:
    """The heads to show: those with the most decided answers, each different from the others.

    outputs: (N, K). A head's decidedness is the standard deviation of its answers. A head is skipped if its correlation
    with a head already taken exceeds 0.7. Labels and attributes are not used.
    """
    centred = outputs - outputs.mean(0)
    spread = centred.norm(dim=0)
    correlation = ((centred.T @ centred) / (spread.outer(spread) + 1e-12)).abs()
    taken: list[int] = []
    for head in spread.argsort(descending=True).tolist():
        if all(correlation[head, other] < 0.7 for other in taken):
            taken.append(head)
        if len(taken) == count:
            break
    return taken


def gallery(outputs: Tensor, heads: list[int], count: int = 6) -> dict[int, tuple[Tensor, Tensor]]:
    """For each head the numbers of the ``count`` images that it answers to most, and of those it answers to least."""
    return {
        head: (outputs[:, head].topk(count).indices, outputs[:, head].topk(count, largest=False).indices)
        for head in heads
    }


def knowledge(
    outputs: Tensor | np.ndarray, attributes: dict[str, Tensor], permutations: int = 20, seed: int = 0
) -> tuple[np.ndarray, float]:
    """What every head knows of every attribute, and the most that noise knows.

    For each head and attribute, the value and the sign are chosen on one half of the images. The AUC for that value is
    taken on the other half, so it is 0.5 on average where nothing is known.

    Returns:
        The AUC (K, A), and the largest over all heads, attributes and ``permutations`` shuffled copies of the
        attributes. So in noise the chance that any head exceeds this bar is about 1 in ``permutations`` + 1.

    Raises:
        ValueError: if a value is missing from a half.
    """
    generator = np.random.default_rng(seed)
    halves, held_out = in_halves(outputs, generator)

    def known(values: np.ndarray) -> np.ndarray:
        found = [held_out(values == value) for value in np.unique(values)]
        first, second = (np.array(part) for part in zip(*found, strict=True))
        return np.take_along_axis(second, first.argmax(0)[None], 0)[0]

    truth = [np.asarray(values) for values in attributes.values()]
    if any(len(np.unique(values[half])) < len(np.unique(values)) for values in truth for half in halves):
        raise ValueError("a value of an attribute is missing from a half; there are too few images of it")
    noise = [known(shuffled(values, halves, generator)).max() for values in truth for _ in range(permutations)]
    return np.stack([known(values) for values in truth], 1), float(max(noise, default=0.5))


def fraction_encoding_one(auc: np.ndarray, bar: float) -> float:
    """The share of heads whose AUC (K, A), see :func:`knowledge`, exceeds the bar for exactly one attribute."""
    return float(((auc > bar).sum(1) == 1).mean())


def mutual_information(heads: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of each column of heads (N, K) with values (N,), both whole numbers from 0: (K,) in nats."""
    bins, shape = heads.max() + 1, (values.max() + 1, heads.max() + 1)
    joint = np.stack([np.bincount(values * bins + head, minlength=shape[0] * shape[1]) for head in heads.T])
    joint = joint.reshape(-1, *shape) / len(values)
    apart = joint.sum(1, keepdims=True) * joint.sum(2, keepdims=True)
    return (joint * np.log(np.divide(joint, apart, out=np.ones_like(joint), where=joint > 0))).sum((1, 2))


def mutual_information_gap(outputs: Tensor | np.ndarray, attributes: dict[str, Tensor], bins: int = 20) -> float:
    """MIG (Chen et al., 2018): how much more the best head knows about an attribute than the second best, 0-1.

    outputs: (N, K), K at least 2; the answers of each head are cut into ``bins`` of equal count. Mutual information is
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
      read what is not linear. Every split looks at all heads, so heads that know nothing get hardly any importance.

    Both depend on how sparse the reader is, so compare only what one reader says, and look at :func:`turned` outputs.

    Args:
        outputs: (N, K).
        attributes: name -> value numbers (N,).

    Returns:
        ``disentanglement`` and ``completeness`` (see :func:`dci_of`), and ``informativeness``: the share of held-out
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
        share = rows / np.where(total > 0, total, 1)
        entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(1)
        return np.where(total[:, 0] > 0, 1 - entropy / np.log(max(2, rows.shape[1])), 0)

    weight = importance.sum(1) / (importance.sum() or 1)
    return float(weight @ purity(importance)), float(purity(importance.T).mean())


def turned(outputs: Tensor | np.ndarray, seed: int = 0) -> np.ndarray:
    """The control of every measure of single heads: outputs (N, K) at deviation 1, turned by a random rotation.

    Whoever reads all heads finds the same knowledge in it. Only the axes have lost their meaning.
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    std = outputs.std(0)
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((outputs.shape[1],) * 2))
    return (outputs - outputs.mean(0)) / np.where(std > 0, std, 1) @ (q * np.sign(np.diag(r)))
