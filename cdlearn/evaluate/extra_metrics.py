"""Rows beside the published protocol: the same network, scored in other ways, each under its own name.

The paper puts h and y into K-means as they are. The rows here are L2-normalised features and features averaged over
random crops. They are scores of another protocol, so they never stand in for the published one. Two measures need no
labels: RankMe, and whether two views of an image find each other.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdlearn.augment import TwoViews, central_square
from cdlearn.config import Config
from cdlearn.data import ImageSet
from cdlearn.evaluate import cluster_scores, embed, knn_accuracy
from cdlearn.runtime import rng

CROPS = 8  # random crops over which features are averaged
PAIRED = 1024  # images among which views look for each other


def normalised(features: Tensor) -> Tensor:
    """Every image's features (N, D) at unit norm, so that K-means compares directions; a row of zeros stays."""
    return F.normalize(features.float(), dim=1)


def viewed(
    model: nn.Module, images: Tensor, config: Config, views: TwoViews, purpose: str, number: int = 0
) -> dict[str, Tensor]:
    """Both stages of one random view of each image: uint8 (N, 3, H, W) -> backbone (N, dim), output (N, K).

    The draws come from the stream of ``purpose`` and ``number``, so they are the same in every call on one kind of
    device, and do not depend on the batches.
    """
    images, device = central_square(images), next(model.parameters()).device
    generator = rng.generator(config.seed, purpose, number, device)
    draws = views.draw(len(images), images.shape[-2], images.shape[-1], device, generator)
    return embed(
        model, images, config.size, amp=config.amp, view=lambda batch, rows: views.apply(batch, draws.take(rows))
    )


def averaged_over_crops(model: nn.Module, images: Tensor, config: Config, crops: int = CROPS) -> dict[str, Tensor]:
    """Both stages of each image, the mean over random crops: uint8 (N, 3, H, W) -> backbone (N, dim), output (N, K).

    Crops are drawn as in training (size, aspect ratio, flip), without changes of colour and without blur. The features
    of the crops are averaged as they are.
    """
    views = TwoViews(config.size, config.crop, jitter=0, gray=0, blur=0)
    total: dict[str, Tensor] = {}
    for number in range(crops):
        for stage, features in viewed(model, images, config, views, "crops", number).items():
            total[stage] = total.get(stage, 0) + features
    return {stage: features / crops for stage, features in total.items()}


def rank_me(features: Tensor) -> float:
    """RankMe (Garrido et al., 2023): the effective number of dimensions that features use; it needs no labels.

    features: (N, D) -> exp of the entropy of the singular values as fractions of their sum: 1 where all images lie on
    one line, D where all directions are used equally. Features that are all 0 give 1.
    """
    values = torch.linalg.svdvals(features.double())
    fractions = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    return float(torch.exp(-torch.xlogy(fractions, fractions).sum()))


def pairs_found(one: Tensor, other: Tensor) -> float:
    """The fraction of rows of ``one`` whose nearest row of ``other``, by cosine, is their own pair; (N, D) each.

    1/N by chance; ties count fractionally.
    """
    likeness = normalised(one) @ normalised(other).T
    own = likeness.diagonal().unsqueeze(1)
    return float(((likeness > own).sum(1) == 0).div((likeness == own).sum(1)).mean())


def agreement_between_views(model: nn.Module, images: Tensor, config: Config, limit: int = PAIRED) -> dict[str, float]:
    """For each stage :func:`pairs_found` of two views of each of up to ``limit`` images; it needs no labels.

    images: uint8 (N, 3, H, W). Views are drawn as in training. Images and views depend on the seed only.
    """
    drawn = torch.randperm(len(images), generator=rng.generator(config.seed, "pairs", 2))[:limit].sort().values
    views = TwoViews.of(config)
    one, other = (viewed(model, images[drawn.to(images.device)], config, views, "pairs", n) for n in (0, 1))
    return {stage: pairs_found(one[stage], other[stage]) for stage in one}


def rows(model: nn.Module, images: ImageSet, config: Config) -> dict[str, dict[str, float]]:
    """Name -> scores, for both stages: as published, L2-normalised, and averaged over crops.

    With labels, each row has what :func:`cdlearn.evaluate.cluster_scores` gives, and ``knn``. Each has ``rankme``, and
    the rows as published have ``pairs``, the agreement between views.
    """
    plain = embed(model, images.images, config.size, amp=config.amp)
    crops = averaged_over_crops(model, images.images, config)
    pairs = agreement_between_views(model, images.images, config)
    labels = images.labels if images.labels is not None and len(images.labels.unique()) > 1 else None
    found: dict[str, dict[str, float]] = {}
    for stage, features in plain.items():
        of_stage = {
            stage: features,
            f"{stage}, L2-normalised": normalised(features),
            f"{stage}, mean of {CROPS} crops": crops[stage],
        }
        for name, values in of_stage.items():
            scores = {} if labels is None else cluster_scores(values, labels, seeds=config.kmeans_seeds)
            scores |= {} if labels is None else {"knn": round(knn_accuracy(values, labels), 4)}
            found[name] = scores | {"rankme": round(rank_me(values), 2)}
        found[stage]["pairs"] = round(pairs[stage], 4)
    return found


def format_rows(found: dict[str, dict[str, float]]) -> str:
    """The rows as text; what a row does not have is left empty."""
    names = {"nmi": "NMI", "ari": "ARI", "acc": "ACC", "knn": "kNN", "rankme": "RankMe", "pairs": "pairs found"}
    names = {key: title for key, title in names.items() if any(key in row for row in found.values())}
    lines = [f"{'':<28}" + "".join(f"{title:>15}" for title in names.values())]
    for name, row in found.items():
        cells = []
        for key in names:
            spread = f" ± {row[key + '_std']:.3f}" if f"{key}_std" in row else ""
            cells.append(f"{row[key]:.{1 if key == 'rankme' else 3}f}{spread}" if key in row else "")
        lines.append((f"{name:<28}" + "".join(f"{cell:>15}" for cell in cells)).rstrip())
    return "\n".join(lines)
