"""Every method from end to end: the interface, the command line, resuming, the number of clusters, scores, panels."""

import json
import os
import signal

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import normalized_mutual_info_score

from cdlearn import checkpoint, evaluate, train, trainer
from cdlearn.augment import to_size
from cdlearn.config import Config
from cdlearn.data import ImageSet
from cdlearn.evaluate import __main__ as evaluate_command
from cdlearn.methods import (
    METHODS,
    Method,
    build,
    cluster_centres,
    dac,
    dec,
    decnn,
    jule,
    needs_clusters,
    per_image,
    warn_about_phases,
)
from cdlearn.results import plots, scoring
from cdlearn.runtime.errors import UserError

NEW = ("cc", "centres", "ae", "dae", "vae", "byol", "vicreg", "fastsiam")
NEW += ("decnn", "dcgan", "jule", "dec", "dac", "dccm", "pica")
GIVEN_K = ("cc", "centres", "jule", "dec", "dac", "dccm", "pica")
SMALL = {"limit": 48, "size": 16, "batch_size": 16, "epochs": 2, "kmeans_seeds": 1}


def small(method, **settings):
    return Config.preset("smoke", **{**SMALL, "method": method, "clusters": 3 if method in GIVEN_K else 0, **settings})


def some_images(n=48):
    return torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", METHODS)
def test_the_interface(method):
    config = small(method)
    model = build(config)
    assert isinstance(model, Method)
    *views, x = torch.rand((model.views_per_image if model.views_per_image > 1 else 0) + 1, 8, 3, 16, 16)
    terms = model.training_loss(*views, x=x)
    assert next(iter(terms)) == "loss" and all(value.shape == () for value in terms.values())
    terms["loss"].backward()
    learned, rests = [p for p in model.parameters() if p.requires_grad], model.has_unused_parameters
    assert any(p.grad is not None for p in learned)
    assert all(rests if p.grad is None else torch.isfinite(p.grad).all() for p in learned)
    if not model.needs_unaugmented:
        assert model.training_loss(*views)["loss"].shape == ()
    found = model.eval().represent(x)
    assert set(found) == {"backbone", "output"} and found["backbone"].shape == (8, model.backbone.dim)
    assert needs_clusters(method) == (method in GIVEN_K)
    if method in GIVEN_K:
        assert found["output"].shape == (8, 3)
        torch.testing.assert_close(found["output"].sum(1), torch.ones(8))


@pytest.mark.parametrize("method", NEW)
def test_every_method_trains_from_the_command_line_and_leaves_all_files(method, tmp_path, capsys):
    options = [part for name, value in SMALL.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    run = tmp_path / "run"
    assert train.main(["--preset", "smoke", "--method", method, "--out", str(run), *options]) == 0
    names = {"config.json", "metrics.csv", "checkpoint.pt", "scores.json", "losses.png", "heads.png", "embedding.png"}
    assert {path.name for path in run.iterdir()} >= names - {"heads.png"}
    scores = json.loads((run / "scores.json").read_text())
    assert {"raw pixels", "random network", "backbone", "output"} <= set(scores)
    assert ("argmax" in scores) == (method in GIVEN_K) == ("argmax of output" in capsys.readouterr().out)
    _, config = checkpoint.load_model(run)
    assert config.clusters == json.loads((run / "config.json").read_text())["config"]["clusters"]
    assert config.clusters == (8 if method in GIVEN_K else 0)
    assert evaluate_command.main([str(run)]) == 0
    assert json.loads((run / "scores.json").read_text()) == scores


@pytest.mark.parametrize(  # within and at the end of both epochs; jule has three phases: 3, 15 and 6 steps
    ("method", "stop_at"),
    [*((method, step) for method in NEW for step in (1, 4) if method != "jule"), ("dec", 3), ("decnn", 3),
     *(("jule", step) for step in (2, 3, 7, 19))],
)  # fmt: skip
def test_a_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one(tmp_path, monkeypatch, method, stop_at):
    config, images = small(method, epochs=8 if method == "jule" else 2), some_images()
    whole = trainer.fit(config, images)
    torch.rand(7)  # other draws in between make no difference
    step = trainer.Trainer.train_step

    def stopping(self):
        result = step(self)
        if self.step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "train_step", stopping)
        with pytest.raises(trainer.Interrupted):
            trainer.fit(config, images, tmp_path)
    resumed = trainer.fit(config, images, tmp_path, resume=True)
    for mine, theirs in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]


def test_training_leaves_torchs_random_state_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    trainer.fit(small("vae", epochs=1), some_images())
    assert torch.equal(before, torch.get_rng_state())


def test_the_number_of_clusters_comes_from_the_classes_or_is_asked_for():
    labels = torch.arange(48) % 5
    sorted_images, unsorted = ImageSet(some_images(), labels), ImageSet(some_images())
    config = small("cc", clusters=0)
    assert config.for_images(sorted_images).clusters == 5
    assert small("cc", clusters=7).for_images(sorted_images).clusters == 7
    assert small("cd").for_images(unsorted).clusters == 0
    with pytest.raises(UserError, match=r"no labels to count classes by; pass --clusters K"):
        config.for_images(unsorted)
    with pytest.raises(UserError, match="all of one class"):
        config.for_images(ImageSet(some_images(), 0 * labels))
    for method in GIVEN_K:
        with pytest.raises(UserError, match=f"{method} must be given the number of clusters"):
            trainer.fit(small(method, clusters=0), some_images())
    with pytest.raises(UserError, match="48 images cannot be put into 49 clusters"):
        trainer.fit(small("cc", clusters=49), some_images())
    with pytest.raises(UserError, match="clusters 1: must be at least 2"):
        small("cc", clusters=1)


def test_unsorted_folders_need_the_number_on_the_command_line(pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--preset", "smoke", "--method", "centres", "--data", str(pictures / "cats"), "--batch-size", "4"]
    assert train.main([*options, "--epochs", "1", "--out", "run"]) == 2
    assert "no labels to count classes by; pass --clusters K" in capsys.readouterr().err
    assert train.main([*options, "--epochs", "1", "--out", "run", "--clusters", "7"]) == 2
    assert "6 images cannot be put into 7 clusters" in capsys.readouterr().err
    assert train.main([*options, "--epochs", "1", "--out", "run", "--clusters", "2"]) == 0
    assert checkpoint.load_model("run")[1].clusters == 2


def test_assignment_scores():
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    output = F.one_hot(torch.tensor([2, 2, 0, 0, 1, 0]), 3) * 0.6 + 0.1
    scores = evaluate.assignment_scores(output, labels)
    assert scores["acc"] == pytest.approx(5 / 6, abs=1e-4)
    assert scores["nmi"] == pytest.approx(normalized_mutual_info_score(labels, output.argmax(1)), abs=1e-4)
    assert evaluate.assignment_scores(F.one_hot(labels * 2, 9), labels) == {"nmi": 1, "ari": 1, "acc": 1}
    assert evaluate.assignment_scores(torch.ones(6, 3), labels)["nmi"] == 0
    with pytest.raises(ValueError, match="5 outputs for 6 labels"):
        evaluate.assignment_scores(output[:5], labels)


def test_another_number_of_clusters_than_classes_is_scored(tmp_path):
    images = ImageSet(some_images(), torch.arange(48) % 4, tuple("abcd"))
    config = small("cc", clusters=8)
    scores = scoring.score(scoring.stages(build(config), config, images.images), images, config)
    assert 0 <= scores["argmax"]["acc"] <= 1 and "argmax of output" in scoring.table(scores)


@pytest.mark.parametrize("method", NEW)
def test_every_term_has_its_panel(method):
    config = small(method)
    history = trainer.fit(config, some_images()).history
    figure = plots.losses(history, config)
    terms = {name for row in history for name in row} - {"epoch", "loss", "lr", "seconds", "views/s"}
    assert len(figure.axes) == len(terms) and all(axis.get_title() for axis in figure.axes)


def test_the_trainer_prepares_once_and_only_before_the_first_step(tmp_path, monkeypatch):
    calls = []
    prepare = cluster_centres.Centres.prepare
    monkeypatch.setattr(
        cluster_centres.Centres, "prepare", lambda self, images: (calls.append(len(images)), prepare(self, images))
    )
    trainer.fit(small("centres"), some_images(), tmp_path)
    assert calls == [48]
    trainer.fit(small("centres"), some_images(), tmp_path, resume=True)
    assert calls == [48]


@pytest.mark.parametrize("size", [3, 8, 16, 28, 50, 96])
def test_pictures_come_back_at_the_size_they_went_in(size):
    model = build(small("ae", size=size))
    x = torch.rand(2, 3, size, size)
    assert model.reconstruct(x).shape == x.shape
    assert torch.isfinite(model.training_loss(x)["loss"])


@pytest.mark.parametrize("method", ["ae", "dae", "vae"])
def test_reconstruction_improves(method):
    """On images of one colour each, rebuilding learns to beat the best constant output, the mean image."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 3, 1, 1), dtype=torch.uint8, generator=generator).repeat(1, 1, 16, 16)
    config = small(method, epochs=60, lr=3e-3)
    model = trainer.fit(config, images)
    x = to_size(images, 16)
    with torch.no_grad():
        error = F.mse_loss(model.reconstruct(x), x)
    assert model.history[-1]["reconstruction"] < 0.7 * model.history[0]["reconstruction"]
    assert error < 0.5 * x.var(dim=0, unbiased=False).mean()


# --- phases that do not fit


SHORT = {"dec": 1, "jule": 7, "dac": 1, "decnn": 1}  # the longest run that is too short


@pytest.mark.parametrize("method", METHODS)
def test_a_run_too_short_for_its_phases_says_so_and_what_that_does(method, capsys):
    short = SHORT.get(method, 0)
    for epochs in range(1, 12):
        warn_about_phases(method, epochs)
        said = capsys.readouterr().err
        assert said.count("\n") == (epochs <= short)
        if epochs <= short:
            counted = f"{epochs} epoch:" if epochs == 1 else f"{epochs} epochs:"
            assert said.startswith(f"warning: {method} has phases that do not fit into {counted} ")
            assert said.endswith(f"; --epochs {short + 1} or more has room for them\n")


def test_what_the_warnings_say_is_so():
    assert [per_image.begins(dec.PRETRAINING, epochs) for epochs in (1, 2)] == [0, 1]
    assert [per_image.begins(jule.FIRST, epochs) for epochs in (7, 8)] == [0, 1]
    assert SHORT["decnn"] == decnn.LAYERS - 1
    layers, thresholds = build(small("decnn")), build(small("dac"))
    for epochs in (1, 2):
        learned, moved = set(), set()
        for epoch in range(epochs):
            layers.begin_step(epoch, epochs, None)
            thresholds.begin_epoch(epoch, epochs, None)
            learned.add(layers.layer)
            moved.add(round(float(thresholds.relaxed), 4))
        assert (len(learned) == decnn.LAYERS) == (epochs == 2)
        assert (round(dac.LAST, 4) in moved) == (epochs == 2)


def test_training_warns_once(capsys):
    pixels = some_images(32)
    for epochs, times in ((1, 1), (2, 0)):
        trainer.fit(small("dec", epochs=epochs), pixels)
        assert capsys.readouterr().err.count("has phases that do not fit") == times
