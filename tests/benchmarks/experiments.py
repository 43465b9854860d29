"""Small experiments that the course needs with several seeds: a row per measurement in figures/records/NAME.csv.

    python tests/benchmarks/experiments.py negative-free --seeds 42 43 44 45 46
    python tests/benchmarks/experiments.py swatches-over-length --seeds 42 43 44
    python tests/benchmarks/experiments.py entropy-weight --seeds 42 43 44 45 46
    python tests/benchmarks/experiments.py logits --seeds 42 43 44
    python tests/benchmarks/experiments.py --report      # figures/experiments.md and a figure of each, from the records

Runs that are in the record are not repeated, so a call that was cut goes on with the run at which it stopped, and more
seeds only add to it. Arms share first weights, order and views of a seed, so they are compared pair by pair. ``--data``
asks the question of other images, ``--epochs`` changes the length; both stand in the record.

negative-free           What keeps BYOL from collapsing: target, stop-gradient or predictor? Four arms, h and z.
swatches-over-length    Does the length of training decide what CD and SimCLR find on swatches? Each length is a run of
                        its own, with its own schedule; beside them raw pixels, a random network and untrained DeCNN.
entropy-weight          Where does the entropy's weight alpha tip all heads to 0.5?
logits                  How are the heads' logits distributed, with entropy and without?
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path

import experiments_report
import numpy as np
import torch
from budget import RECORDS, append, recorded
from negative_free import NoPredictor, NoStop, Siamese
from scipy.stats import kurtosis
from torch import Tensor, nn

from cdlearn.backbones import backbone
from cdlearn.config import PRESETS, Config
from cdlearn.data import ImageSet, load
from cdlearn.evaluate import cluster_scores, embed, knn_accuracy, raw_pixels, untrained_heads
from cdlearn.results.run_folder import data_name
from cdlearn.results.scoring import spread
from cdlearn.runtime import rng
from cdlearn.runtime.commandline import guarded
from cdlearn.runtime.devices import cpu_kind
from cdlearn.runtime.errors import UserError
from cdlearn.trainer import Trainer, fit, fresh_model

EDGES = np.linspace(-8, 8, 65)  # of the bins of a logit; the outer ones take what lies beyond


@dataclass(frozen=True)
class Experiment:
    """What is trained and what is measured of it.

    settings: of all runs; arms: name -> what it changes, where ``model`` is a class to train instead of the method's;
    measure: what a trained model has to say, as rows; lengths: epochs of runs of their own, none for the preset's;
    checkpoints: how often a run is measured, evenly spaced, the end included; controls: rows of what trains nothing.
    """

    settings: dict
    arms: dict[str, dict]
    measure: Callable[[nn.Module, Config, ImageSet], list[dict]]
    lengths: tuple[int, ...] = ()
    checkpoints: int = 1
    controls: Callable[[Config, ImageSet], list[dict]] | None = None
    report: dict = field(default_factory=dict)  # see experiments_report.py


def four_scores(features: Tensor, images: ImageSet) -> dict[str, float]:
    """NMI, ARI and ACC of K-means (three seeds) and kNN of features (N, D)."""
    found = cluster_scores(features, images.labels)
    return {name: found[name] for name in ("nmi", "ari", "acc")} | {
        "knn": round(knn_accuracy(features, images.labels), 4)
    }


def scores_of_stages(model: nn.Module, config: Config, images: ImageSet) -> list[dict]:
    """A row for each of h, z, untrained heads and y, as far as the method has them; spread 0: collapsed."""
    features = embed(model, images.images, config.size, amp=config.amp)
    found = {"h": features["backbone"]}
    if model.has_heads:
        device = next(model.parameters()).device
        with torch.no_grad():
            found["z"] = model.projector(features["backbone"].to(device)).float().cpu()
        found["untrained heads"] = untrained_heads(model, features["backbone"], config.seed)
    found["y" if "z" in found else "z"] = features["output"]
    return [
        {"stage": stage} | four_scores(values, images) | {"spread": round(spread(values), 4)}
        for stage, values in found.items()
    ]


def untrained_network(config: Config, images: ImageSet) -> list[dict]:
    """The same network with its first weights."""
    features = embed(fresh_model(config), images.images, config.size, amp=config.amp)["backbone"]
    return [{"arm": "untrained network", "stage": "h"} | four_scores(features, images)]


def swatch_controls(config: Config, images: ImageSet) -> list[dict]:
    """Raw pixels, a random network, and DeCNN, whose filters need no training."""
    decnn = Config.preset(config.preset_name, data=config.data, method="decnn", seed=config.seed, size=config.size)
    code = embed(fresh_model(decnn), images.images, config.size, amp=config.amp)["output"]
    pixels = raw_pixels(images.images, config.size)
    rows = [
        {"arm": name, "stage": "h"} | four_scores(of, images)
        for name, of in (("raw pixels", pixels), ("untrained DeCNN", code))
    ]
    return rows + untrained_network(config, images)


def logits_of(model: nn.Module, config: Config, images: ImageSet) -> np.ndarray:
    """The heads' logits of all images (N, K), float64: the output, an inverse sigmoid away."""
    h = embed(model, images.images, config.size, amp=config.amp)["backbone"]
    with torch.no_grad():
        return model.heads(model.projector(h.to(next(model.parameters()).device))).double().cpu().numpy()


def entropy_of_heads(model: nn.Module, config: Config, images: ImageSet) -> list[dict]:
    """The four scores of h, z and y, and on y's row how far its heads are from 0.5 and from each other."""
    rows, logits = scores_of_stages(model, config, images), logits_of(model, config, images)
    y = 1 / (1 + np.exp(-logits))
    r = np.corrcoef(y, rowvar=False)
    between = np.abs(r[np.triu_indices(len(r), 1)])
    about = {"entropy": binary_entropy(y).mean(), "from one half": np.abs(y - 0.5).mean()}
    about |= {
        "saturated": np.mean((y < 0.1) | (y > 0.9)),
        "logit std": logits.std(),
        "correlation": np.nanmean(between),
    }
    about["excess kurtosis"] = np.mean(kurtosis(logits, axis=0))
    about |= {name: model.history[-1][name] for name in ("feature", "instance")}
    return [row | {k: round(float(v), 4) for k, v in about.items()} if row["stage"] == "y" else row for row in rows]


def binary_entropy(y: np.ndarray) -> np.ndarray:
    """In bits, 0 to 1."""
    y = y.clip(1e-12, 1 - 1e-12)
    return -(y * np.log2(y) + (1 - y) * np.log2(1 - y))


def histogram(model: nn.Module, config: Config, images: ImageSet) -> list[dict]:
    """The fraction of logits in each bin, with what a normal distribution of this spread would have there."""
    logits = logits_of(model, config, images)
    counts, _ = np.histogram(logits.clip(EDGES[0], EDGES[-1]), EDGES)
    drawn = np.random.default_rng(0).normal(logits.mean(), logits.std(), 1_000_000).clip(EDGES[0], EDGES[-1])
    normal, _ = np.histogram(drawn, EDGES)
    about = {"logit std": round(float(logits.std()), 4), "excess kurtosis": round(float(kurtosis(logits, None)), 4)}
    about |= {"entropy": round(float(binary_entropy(1 / (1 + np.exp(-logits))).mean()), 4)}
    places = (EDGES[:-1] + EDGES[1:]) / 2
    return [
        {"stage": "y", "logit": place, "fraction": round(count / counts.sum(), 6), "normal": normed / 1_000_000} | about
        for place, count, normed in zip(places, counts, normal, strict=True)
    ]


EXPERIMENTS = {
    "negative-free": Experiment(
        dict(method="byol", target_momentum=0.99, epochs=24),
        {
            "target and predictor (BYOL)": {},
            "no target (SimSiam)": dict(model=Siamese),
            "no stop-gradient": dict(model=NoStop),
            "no predictor": dict(model=NoPredictor),
        },
        scores_of_stages,
        checkpoints=8,
        controls=untrained_network,
        report=dict(reference="target and predictor (BYOL)", x="epoch", panels=("knn", "nmi", "spread")),
    ),
    "swatches-over-length": Experiment(
        dict(data="shapes"),
        {"CD": {}, "SimCLR": dict(method="simclr")},
        scores_of_stages,
        lengths=(2, 4, 8, 12, 16),
        controls=swatch_controls,
        report=dict(reference="CD", x="epoch", panels=("nmi", "acc", "knn")),
    ),
    "entropy-weight": Experiment(
        {},
        {f"alpha {alpha:g}": dict(alpha=alpha) for alpha in (0.0, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)},
        entropy_of_heads,
        report=dict(reference="alpha 1", x="arm", panels=("entropy", "from one half", "nmi", "knn")),
    ),
    "logits": Experiment(
        {},
        {f"alpha {alpha:g}": dict(alpha=alpha) for alpha in (0.0, 1.0)},
        histogram,
        report=dict(x="logit", panels=("fraction",), beside="normal", log=True),
    ),
}


@cache
def loaded(data: str, size: int, limit: int | None, stored: int) -> ImageSet:
    """The images, the same for all seeds."""
    return load(data, size, limit, 42, stored=stored)


def runs(name: str, preset: str, seeds: list[int], overrides: dict, path: Path) -> None:
    """Make every run of an experiment that its record lacks."""
    experiment = EXPERIMENTS[name]
    lengths = experiment.lengths if "epochs" not in overrides else (overrides["epochs"],)
    for seed, length, (arm, changes) in product(seeds, lengths or (0,), experiment.arms.items()):
        settings = experiment.settings | overrides | {k: v for k, v in changes.items() if k != "model"}
        config = Config.preset(preset, **settings | ({"epochs": length} if length else {}) | {"seed": seed})
        images = loaded(config.data, config.size, config.limit, config.stored)
        if images.labels is None:
            raise UserError(f"{config.data} has no class sub-folders; an experiment compares with labels")
        epochs = config.epochs_for(len(images))
        about = {"data": data_name(config.data), "seed": seed, "epochs": epochs}
        done = {
            (row["data"], row["arm"], row["seed"], row["epochs"])
            for row in recorded(path)
            if row["epoch"] == row["epochs"]
        }
        if (about["data"], arm, str(seed), str(epochs)) not in done:
            one_run(experiment, arm, changes.get("model"), config, images, about, path)
            print(f"{name}: {arm}, seed {seed}, {epochs} epochs: measured", flush=True)
        known = {(row["data"], row["arm"], row["seed"]) for row in recorded(path)}
        for row in experiment.controls(config, images) if experiment.controls else ():
            if (about["data"], row["arm"], str(seed)) not in known:
                append(path, about | {"epochs": 0, "epoch": 0} | row | {"machine": cpu_kind()})


def one_run(
    experiment: Experiment, arm: str, kind: type | None, config: Config, images: ImageSet, about: dict, path: Path
) -> None:
    """Train once; the rows are written when it has ended, so that what was cut leaves none."""
    found: list[dict] = []
    due = {round(about["epochs"] * part / experiment.checkpoints) for part in range(1, experiment.checkpoints + 1)}

    def after_epoch(trainer: Trainer) -> None:
        epoch = trainer.history[-1]["epoch"]
        if epoch in due:
            trainer.model.history = trainer.history
            training = trainer.model.training
            rows = experiment.measure(trainer.model.eval(), config, images)
            trainer.model.train(training)
            found.extend(
                {"arm": arm, "epoch": epoch, "loss": round(trainer.history[-1]["loss"], 4)} | row for row in rows
            )

    model = None
    if kind:
        with rng.drawing(torch.device("cpu"), config.seed, "weights"):
            model = kind(backbone(config.backbone, config.stem, config.width), config)
    fit(config, images, model=model, after_epoch=after_epoch)
    for row in found:
        append(path, about | row | {"machine": cpu_kind()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=EXPERIMENTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44])
    parser.add_argument("--data", help="a data set's name or a folder, instead of the experiment's own")
    parser.add_argument("--epochs", type=int, help="instead of the experiment's own")
    parser.add_argument("--preset", choices=PRESETS, default="laptop")
    parser.add_argument("--record", type=Path, help="instead of figures/records/NAME.csv")
    parser.add_argument("--report", action="store_true", help="write tables and figures of all records, train nothing")
    asked = parser.parse_args()
    if asked.report:
        return experiments_report.write(RECORDS.parent, {name: of.report for name, of in EXPERIMENTS.items()})
    if not asked.name:
        parser.error(f"name an experiment ({', '.join(EXPERIMENTS)}), or give --report")
    overrides = {key: getattr(asked, key) for key in ("data", "epochs") if getattr(asked, key) is not None}
    runs(asked.name, asked.preset, asked.seeds, overrides, asked.record or RECORDS / f"{asked.name}.csv")


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(guarded(main))
