"""The end of a run on images without labels: what can be measured all the same."""

import torch
from torch import Tensor, nn

from cdlearn.config import Config
from cdlearn.evaluate.extra_metrics import agreement_between_views, rank_me
from cdlearn.runtime import rng
from cdlearn.trainer import fresh_model

TESTED = 100  # images whose second views are looked for
RANKED = 2_000  # images whose features RankMe is taken from


def scores(model: nn.Module, config: Config, images: Tensor, features: dict[str, Tensor]) -> dict[str, dict]:
    """Stage -> ``rankme``, and ``pairs``: the fraction of ``of`` images that find their own second view first.

    images: uint8 (N, 3, H, W); features: stage -> (N, D). Views are drawn as in training. Untrained heads have no views
    of their own; RankMe of raw pixels, of thousands of dimensions, would take longer than it is worth.
    """
    ranked = drawn(config, len(images))
    found: dict[str, dict] = {stage: {} for stage in features}
    for stage, of in features.items():
        if stage != "raw pixels":
            found[stage]["rankme"] = round(rank_me(of[ranked]), 2)
    device, asked = next(model.parameters()).device, min(TESTED, len(images))
    untrained = agreement_between_views(fresh_model(config).to(device), images, config, asked)
    trained = agreement_between_views(model, images, config, asked)
    for stage, pairs in (trained | {"random network": untrained["backbone"]}).items():
        found[stage] |= {"pairs": round(pairs, 4), "of": asked}
    return found


def of_backbone(model: nn.Module, config: Config, images: Tensor, h: Tensor) -> dict:
    """The same of one backbone, whose features are h (N, D)."""
    ranked, asked = drawn(config, len(images)), min(TESTED, len(images))
    pairs = agreement_between_views(model, images, config, asked)["backbone"]
    return {"rankme": round(rank_me(h[ranked]), 2), "pairs": round(pairs, 4), "of": asked}


def drawn(config: Config, images: int) -> Tensor:
    """The numbers of the images whose features RankMe is taken from."""
    return torch.randperm(images, generator=rng.generator(config.seed, "monitor"))[:RANKED]


def lines(scores: dict, shown: list[str]) -> list[str]:
    """The closing table: a row per stage, and what each measure means. Scores of older runs have ``spread`` alone."""
    asked = scores["output"].get("of")
    rows = [f"{'without labels':<20}{'second view found':>19}{'RankMe':>10}{'spread':>10}"]
    for stage in shown:
        row = scores[stage]
        found = f"{round(row['pairs'] * asked)} of {asked}" if "pairs" in row else ""
        rank = f"{row['rankme']:.1f}" if "rankme" in row else ""
        rows.append(f"{stage:<20}{found:>19}{rank:>10}{row['spread']:>10.3f}")
    if asked:
        rows.append(f"second view found: so many of {asked} images find their own second view first; by chance 1")
    return [
        *rows,
        "RankMe: dimensions in use; spread: 0 if collapsed, about 1 if even. A higher one need not be better",
    ]
