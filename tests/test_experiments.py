"""The small experiments: their arms, what they measure on known codes, and one smoke run of each with its report."""

from dataclasses import replace
from types import SimpleNamespace

import experiments
import experiments_report
import negative_free
import numpy as np
import pandas as pd
import pytest
import torch

from cdlearn.backbones import backbone
from cdlearn.config import Config
from cdlearn.runtime.commandline import guarded

TINY = Config.preset("smoke", method="byol", size=16, batch_size=16)


def made(kind):
    torch.manual_seed(0)
    return kind(backbone("tiny", width=8), TINY)


def views():
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(16, 3, 16, 16, generator=generator) for _ in range(2)]


def gradient_into_targets(kind):
    """Whether the loss still reaches the weights when the prediction is cut off from them."""
    model = made(kind)
    model.predictor = torch.nn.Sequential(SimpleCut(), model.predictor)
    model.training_loss(*views())["loss"].backward()
    return any(w.grad is not None and w.grad.abs().sum() > 0 for w in model.online.parameters())


class SimpleCut(torch.nn.Module):
    def forward(self, z):
        return z.detach()


def test_the_four_arms_differ_in_what_they_are_named_for():
    assert gradient_into_targets(negative_free.NoStop), "no stop-gradient: it flows into what is predicted"
    assert not gradient_into_targets(negative_free.Siamese) and not gradient_into_targets(negative_free.BYOL)
    assert isinstance(made(negative_free.NoPredictor).predictor, torch.nn.Identity)
    siamese, byol = made(negative_free.Siamese), made(negative_free.BYOL)
    before = [w.clone() for w in siamese.projector.parameters()]
    siamese.after_step(0, 10)
    assert all(torch.equal(a, b) for a, b in zip(before, siamese.projector.parameters(), strict=True)), (
        "no target moves"
    )
    x = views()[0]
    assert torch.allclose(siamese.eval().represent(x)["backbone"], siamese.online[0](x).float(), atol=1e-5)
    assert torch.allclose(
        byol.training_loss(*views())["loss"], made(negative_free.Siamese).training_loss(*views())["loss"]
    )
    # with equal weights the first loss is one and the same: the target starts as a copy of the online network


def test_binary_entropy_and_the_histogram_of_normal_logits_by_hand(monkeypatch):
    assert experiments.binary_entropy(np.array([0.5, 0.0, 0.25])) == pytest.approx([1, 0, 0.8113], abs=1e-4)
    logits = np.random.default_rng(0).normal(0, 1, (2000, 50))
    monkeypatch.setattr(experiments, "logits_of", lambda *given: logits)
    rows = pd.DataFrame(experiments.histogram(None, None, None))
    assert rows["fraction"].sum() == pytest.approx(1, abs=1e-3) and len(rows) == 64
    assert (rows["fraction"] - rows["normal"]).abs().max() < 0.003
    assert rows["excess kurtosis"].iloc[0] == pytest.approx(0, abs=0.1)
    heavy = np.random.default_rng(0).standard_t(5, (2000, 50))
    monkeypatch.setattr(experiments, "logits_of", lambda *given: heavy)
    assert experiments.histogram(None, None, None)[0]["excess kurtosis"] > 1


def test_logits_are_those_whose_sigmoid_is_the_output():
    config = Config.preset("smoke", size=16)
    model = experiments.fresh_model(config).eval()
    images = SimpleNamespace(images=torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8))
    y = experiments.embed(model, images.images, config.size, amp=config.amp)["output"].numpy()
    assert 1 / (1 + np.exp(-experiments.logits_of(model, config, images))) == pytest.approx(y, abs=1e-5)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "RECORDS", tmp_path / "records")
    return tmp_path


def run(monkeypatch, *options):
    monkeypatch.setattr("sys.argv", ["experiments.py", *options])
    return guarded(experiments.main)


@pytest.mark.parametrize("name", experiments.EXPERIMENTS)
def test_every_experiment_runs_is_not_repeated_and_is_reported(home, monkeypatch, capsys, name):
    small = dict(limit=96, size=16, width=8, heads=8, dim=8, hidden=8, batch_size=32)
    experiment = experiments.EXPERIMENTS[name]
    shortened = {arm: changes | small for arm, changes in list(experiment.arms.items())[:2]}
    monkeypatch.setitem(experiments.EXPERIMENTS, name, replace(experiment, arms=shortened))
    for _ in range(2):
        assert not run(monkeypatch, name, "--preset", "smoke", "--epochs", "2", "--seeds", "0", "1")
    assert capsys.readouterr().out.count("measured") == 2 * len(shortened), "each run once"
    record = pd.read_csv(home / "records" / f"{name}.csv")
    assert set(shortened) <= set(record["arm"]) and set(record["seed"]) == {0, 1}
    if "nmi" in record:
        assert record[["nmi", "ari", "acc", "knn"]].notna().all(axis=None)
        assert not record.duplicated(experiments_report.KEYS).any()
    assert not run(monkeypatch, "--report")
    text = (home / "experiments.md").read_text()
    assert f"## {name}" in text and "nan" not in text and "Not yet measured: " in text
    assert (home / f"{name}.png").stat().st_size > 5_000


def test_images_without_labels_are_named(home, monkeypatch, capsys, pictures):
    flat = pictures.parent / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(pictures.rglob("*.png"))):
        path.rename(flat / f"{number}.png")
    assert run(monkeypatch, "logits", "--preset", "smoke", "--data", str(flat)) == 2
    assert "no class sub-folders" in capsys.readouterr().err
