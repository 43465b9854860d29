"""The end of a run: the table of scores beside its controls, scores.json, and the figures."""

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cdlearn import checkpoint, disentanglement, k_means, mig_dci, tsne
from cdlearn.config import Config
from cdlearn.data import ImageSet
from cdlearn.evaluate import (
    agreement_scores,
    assign_to_clusters,
    assignment_scores,
    clusterings,
    embed,
    knn_accuracy,
    knn_transfer,
    raw_pixels,
    untrained_heads,
)
from cdlearn.methods import needs_clusters
from cdlearn.pretrained import Weights
from cdlearn.results import label_free, plots
from cdlearn.runtime import rng
from cdlearn.runtime.errors import UserError
from cdlearn.trainer import Trainer, fresh_model

START = "pretrained start"  # the backbone before the training, where it had pretrained weights
STAGES = ("raw pixels", "random network", "backbone", "untrained heads", "output")  # those that a method has
MONITORED, CHECKPOINTS = 2048, 10  # images, and epochs of a run, at which the kNN accuracy is measured


def stages(model: nn.Module, config: Config, images: Tensor, reference: Tensor | None = None) -> dict[str, Tensor]:
    """The features to compare, each (N, D): the controls, and the two stages of the model.

    Two controls are untrained. The third, where the method has heads, is untrained heads on the trained z: what
    the output has beyond it, the heads learned. Their BatchNorm takes the moments of ``reference``, the backbone's
    features (M, D) of other images, or of these where it is None.
    """
    device = next(model.parameters()).device
    learned = embed(model, images, config.size, amp=config.amp)
    untrained = embed(fresh_model(config).to(device), images, config.size, amp=config.amp)
    found = {"raw pixels": raw_pixels(images, config.size), "random network": untrained["backbone"]}
    found["backbone"] = learned["backbone"]
    reference = found["backbone"] if reference is None else reference
    if model.has_heads and len(reference) > 1:
        found["untrained heads"] = untrained_heads(model, found["backbone"], config.seed, reference)
    return found | {"output": learned["output"]}


def keep_start(start: Weights, config: Config, images: ImageSet, out: Path) -> None:
    """Score the backbone as it starts, for a row of the closing table; the scores are kept in out/start.json."""
    model = fresh_model(config, start).to(memory_format=torch.channels_last)
    h = embed(model, images.images, config.size, amp=config.amp)["backbone"]
    row = {"spread": round(spread(h), 4)}
    if images.labels is not None and len(images.labels.unique()) > 1:
        row = Clustered({START: h}, config.kmeans_seeds).scores(START, images.labels) | row
        row["knn"] = round(knn_accuracy(h, images.labels), 4)
    else:
        row |= label_free.of_backbone(model, config, images.images, h)
    checkpoint.write_text(out / "start.json", json.dumps(row) + "\n")


def with_start(scores: dict, out: Path) -> dict:
    """``scores`` with those that :func:`keep_start` kept, if it did."""
    try:
        kept = json.loads((out / "start.json").read_text())
    except (OSError, ValueError):
        return scores
    return scores | {START: kept} if isinstance(kept, dict) and set(kept) == set(scores["backbone"]) else scores


def knn_monitor(images: ImageSet, config: Config) -> Callable[[Trainer], None] | None:
    """For ``fit``'s after_epoch: adds the kNN accuracy of both stages to the epoch's row, at ten epochs at most.

    It uses up to 2,048 images drawn with the seed (0.2 s for tiny at 32 px, 0.8 s without bf16 units). It chooses
    nothing: the labels go no further. Epochs in between get NaN. Returns None if there are no labels.
    """
    if images.labels is None or len(images.labels.unique()) < 2:
        return None
    drawn = torch.randperm(len(images), generator=rng.generator(config.seed, "monitor"))[:MONITORED].sort().values

    def measure(trainer: Trainer) -> None:
        row = trainer.history[-1]
        due = row["epoch"] % math.ceil(trainer.epochs / CHECKPOINTS) == 0 or row["epoch"] == trainer.epochs
        features = embed(trainer.model, images.images[drawn], config.size, amp=config.amp) if due else {}
        for stage in ("backbone", "output"):
            row[f"knn {stage}"] = knn_accuracy(features[stage], images.labels[drawn]) if due else math.nan

    return measure


def spread(features: Tensor) -> float:
    """How evenly features spread: 0 if they all point one way (collapsed), about 1 if spread evenly. Needs no labels.

    The standard deviation of the L2-normalised features, times the square root of their number.
    """
    unit = torch.nn.functional.normalize(features.float(), dim=1)
    return float(unit.std(0).mean() * features.shape[1] ** 0.5)


def score(
    features: dict[str, Tensor], images: ImageSet, config: Config, unseen: dict[str, Tensor] | None = None
) -> dict:
    """scores.json: for each stage ``spread``, and with labels NMI, ARI and ACC over K-means seeds.

    Methods that are given the number of clusters have ``argmax`` beside the stages: their own clusters, without
    K-means. unseen: the features of ``images.held_out``. They are put into the clusters of ``images``, and kNN votes
    among ``images``; the scores stand under ``held out``.
    """
    result: dict = {stage: {"spread": round(spread(values), 4)} for stage, values in features.items()}
    clustered = Clustered(features, config.kmeans_seeds)
    labelled = images.labels is not None and len(images.labels.unique()) > 1
    if labelled:
        for stage, values in features.items():
            result[stage] = clustered.scores(stage, images.labels) | result[stage]
            result[stage]["knn"] = round(knn_accuracy(values, images.labels), 4)
        if needs_clusters(config.method):
            result["argmax"] = assignment_scores(features["output"], images.labels)
        if unseen:
            result["held out"] = {stage: clustered.held_out_scores(stage, images, unseen[stage]) for stage in features}
    varied = {name: truth for name, truth in images.attributes.items() if len(truth.unique()) > 1}
    if varied:
        result["attributes"] = {
            name: {stage: clustered.scores(stage, truth) for stage in features} for name, truth in varied.items()
        }
        result["heads"] = best_heads(features["output"], images, varied, labelled)
        if features["output"].shape[1] > 1:
            result["mutual information gap"] = mig_dci.mutual_information_gap(features["output"], varied)
    return result


class Clustered:
    """One K-means per stage and number of clusters, whatever it is scored by."""

    def __init__(self, features: dict[str, Tensor], seeds: int):
        self.features, self.seeds = features, seeds
        self.found: dict[tuple[str, int], list] = {}

    def clusters(self, stage: str, k: int) -> list[np.ndarray]:
        """The clusterings of a stage, one per K-means seed."""
        if (stage, k) not in self.found:
            self.found[stage, k] = clusterings(self.features[stage], k, self.seeds)
        return self.found[stage, k]

    def scores(self, stage: str, truth: Tensor) -> dict[str, float]:
        """NMI, ARI and ACC against ``truth`` (N,), with as many clusters as it has values."""
        return agreement_scores(truth, self.clusters(stage, len(truth.unique())))

    def held_out_scores(self, stage: str, images: ImageSet, new: Tensor) -> dict[str, float]:
        """The same for ``images.held_out``, whose features ``new`` (M, D) are put into the clusters of ``images``."""
        truth, known = images.held_out.labels, self.clusters(stage, len(images.labels.unique()))
        scored = agreement_scores(
            truth, [assign_to_clusters(self.features[stage], clusters, new) for clusters in known]
        )
        return scored | {"knn": round(knn_transfer(self.features[stage], images.labels, new, truth), 4)}


def best_heads(output: Tensor, images: ImageSet, varied: dict[str, Tensor], labelled: bool) -> list[dict]:
    """The best head of output (N, K) for every value of every attribute, and of the class; values by their names."""
    known = varied | ({"class": images.labels} if labelled else {})
    names = {name: images.named(name) for name in varied} | {"class": images.classes}
    return [
        row | {"value": names[row["attribute"]][row["value"]]}
        for row in disentanglement.attribute_scores(output, known)
    ]


def block(title: str, rows: dict[str, dict]) -> list[str]:
    """The lines of a part of the closing table: a row a stage, with NMI, ARI, ACC and kNN."""
    lines = [f"{title:<20}" + "".join(f"{name:>17}" for name in ("NMI", "ARI", "ACC")) + "   kNN"]
    for stage, row in rows.items():
        cells = (f"{row[m]:.3f} ± {row[m + '_std']:.3f}" for m in ("nmi", "ari", "acc"))
        lines.append(f"{stage:<20}" + "".join(f"{cell:>17}" for cell in cells) + f" {row['knn']:.3f}")
    return lines


def table(scores: dict) -> str:
    """The closing table as text."""
    lines, shown = [], [stage for stage in STAGES if stage in scores]
    first = [stage for stage in (*STAGES[:2], START, *STAGES[2:]) if stage in scores]
    if "nmi" in scores["output"]:
        lines += block("K-means on", {stage: scores[stage] for stage in first})
        if "argmax" in scores:
            cells = (f"{scores['argmax'][m]:.3f}        " for m in ("nmi", "ari", "acc"))
            lines.append((f"{'argmax of output':<20}" + "".join(f"{cell:>17}" for cell in cells)).rstrip())
        if "held out" in scores:
            lines += ["", *block("on held-out images", scores["held out"])]
    else:
        lines += label_free.lines(scores, first)
    if "attributes" in scores:
        lines.append("")
        lines.append(f"{'NMI by attribute':<16}" + "".join(f"{stage:>{len(stage) + 3}}" for stage in shown))
        for name, row in scores["attributes"].items():
            cells = (f"{row[stage]['nmi']:>{len(stage) + 3}.3f}" for stage in shown)
            lines.append(f"{name:<16}" + "".join(cells))
        lines.append("")
        lines.append(f"{'best head for':<28}{'head':>6}{'held-out AUC':>14}{'by chance':>11}")
        for row in scores["heads"]:
            what = f"{row['attribute']} = {row['value']}"
            lines.append(f"{what:<28}{row['head']:>6}{row['auc']:>14.3f}{row['null']:>11.3f}")
    return "\n".join(lines)


def notes_on_heads(scores: dict, class_is_new: bool = False) -> dict[int, str]:
    """The best head of every attribute, and how well it separates the attribute's values.

    class_is_new: the attributes together do not determine the class; then also the best head of every class.
    """
    rows = [row for row in scores.get("heads", []) if row["attribute"] != "class"]
    best: dict[str, dict] = {}
    for row in rows:
        if row["auc"] > best.get(row["attribute"], row | {"auc": 0})["auc"]:
            best[row["attribute"]] = row | {"note": f"encodes {row['attribute']}"}
    classes = [row | {"note": f"encodes {row['value']}"} for row in scores.get("heads", []) if row not in rows]
    classes.sort(key=lambda row: -row["auc"])
    notes: dict[int, str] = {}
    for row in [*(classes if class_is_new else []), *best.values()]:
        notes.setdefault(row["head"], f"{row['note']}\nAUC {row['auc']:.3f}")
    return notes


def adds_to(labels: Tensor, attributes: dict[str, Tensor]) -> bool:
    """Whether labels (N,) are no function of the attributes, (N,) each."""
    known = torch.stack(list(attributes.values()), 1)
    return len(torch.cat([known, labels[:, None]], 1).unique(dim=0)) > len(known.unique(dim=0))


def maps(features: dict[str, Tensor], limit: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """t-SNE of backbone and output (as in Figures 4-7) for ``limit`` images drawn with ``seed``, and their numbers."""
    n = len(features["output"])
    drawn = np.sort(np.random.default_rng(seed).permutation(n)[:limit])
    return {stage: tsne.placed(features[stage][drawn].numpy(), seed=seed) for stage in ("backbone", "output")}, drawn


def figures(features: dict[str, Tensor], scores: dict, images: ImageSet, config: Config, history: list[dict]) -> dict:
    """name -> Figure: losses, heads, embedding."""
    made = {"losses": plots.losses(history, config)} if history else {}
    notes = notes_on_heads(scores, bool(images.attributes) and adds_to(images.labels, images.attributes))
    shown_heads = [*notes, *(h for h in disentanglement.distinct_heads(features["output"]) if h not in notes)][:8]
    if shown_heads:
        shown = disentanglement.gallery(features["output"], shown_heads, min(6, len(images)))
        made["heads"] = plots.heads(images.images, shown, notes, config.size)
    if len(images) >= 10:
        points, drawn = maps(features, 1000, config.seed)
        colourings = {"class": (None if images.labels is None else images.labels[drawn].numpy(), images.classes)}
        others = scores.get("attributes", {})
        if others:
            coarser = {name: len(images.named(name)) < len(images.classes) for name in others}
            name = max(others, key=lambda a: others[a]["output"]["nmi"] * coarser[a])
            colourings[name] = (images.attributes[name][drawn].numpy(), images.named(name))
        made["embedding"] = plots.embedding(points, colourings)
    return made


def close(model: nn.Module, config: Config, images: ImageSet, out: Path, history: list[dict], name="scores") -> dict:
    """Score, write ``name``.json, print the table, write the figures into ``out``; returns the scores.

    What took longest is on the disk before anything is printed. A score that is not a number is null in the file.

    Raises:
        UserError: for a single image, which has no other to be compared with.
    """
    if len(images) < 2:
        raise UserError(f"{len(images)} image in {config.data} cannot be scored; at least 2 are needed")
    features = stages(model, config, images.images)
    unseen = stages(model, config, images.held_out.images, features["backbone"]) if images.held_out else None
    scores = score(features, images, config, unseen)
    if "nmi" not in scores["output"]:
        for stage, row in label_free.scores(model, config, images.images, features).items():
            scores[stage] |= row
    scores = with_start(scores, out) if name == "scores" else scores
    content = json.loads(json.dumps(scores), parse_constant=lambda not_a_number: None)
    checkpoint.write_text(out / f"{name}.json", json.dumps(content, indent=1) + "\n")
    if k_means.distinct(features["raw pixels"].numpy(), 2) < 2:
        print(f"the {len(images):,} images are equal, so their scores mean nothing")
    print(table(scores), flush=True)
    suffix = name.removeprefix("scores")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for title, made in figures(features, scores, images, config, history).items():
            checkpoint.write(out / f"{title}{suffix}.png", lambda file, made=made: made.savefig(file, format="png"))
    return scores
