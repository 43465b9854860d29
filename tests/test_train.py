"""The loop and its command line, as a user meets them: subprocesses, kills, full disks."""

import csv
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest
import torch

from cdlearn import checkpoint, losses, train, trainer
from cdlearn.config import Config
from cdlearn.data import load
from cdlearn.evaluate import __main__ as evaluate_command
from cdlearn.results.run_folder import default_out, new_run
from cdlearn.runtime.errors import UserError

TINY = {"preset": "smoke", "limit": 48, "size": 16, "batch_size": 16, "epochs": 3, "kmeans_seeds": 1}


def options(**settings):
    made = []
    for name, value in (TINY | settings).items():
        made += [f"--{name.replace('_', '-')}", str(value)]
    return made


def tiny(**settings):
    values = TINY | settings
    return Config.preset(values.pop("preset"), **values)


def tiny_images(n=48):
    return torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_run_leaves_all_its_files(tmp_path, capsys):
    assert train.main(options(out=tmp_path / "run")) == 0
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "config.json",
        "metrics.csv",
        "checkpoint.pt",
        "scores.json",
        "losses.png",
        "heads.png",
        "embedding.png",
    }
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert {"loss", "instance", "feature", "entropy", "lr", "seconds", "views/s"} <= set(rows[0])
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    for stage in ("raw pixels", "random network", "backbone", "output"):
        assert {"nmi", "ari", "acc", "nmi_std", "ari_std", "acc_std"} <= set(scores[stage])
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert Config(**{**described["config"], "crop": tuple(described["config"]["crop"])}).epochs == 3
    assert "torch" in described["versions"] and "--limit 48" in described["command"]
    printed = capsys.readouterr().out
    assert "raw pixels" in printed and "held-out AUC" in printed


def test_the_model_of_a_run_loads_and_is_the_trained_one(tmp_path):
    model = trainer.fit(tiny(), tiny_images(), tmp_path)
    loaded, config = checkpoint.load_model(tmp_path)
    assert same_weights(model, loaded) and config == tiny() and not loaded.training


def test_training_learns():
    """On two kinds of image that cannot be confused, the loss falls well below its start."""
    images = tiny_images(64)
    images[:32, 0], images[32:, 2] = 255, 255
    history = trainer.fit(tiny(epochs=15, lr=3e-3, hue=0.0, gray=0.0), images).history
    assert history[-1]["loss"] < history[0]["loss"] - 0.2


def test_weight_decay_shrinks_the_weights_apart_from_the_gradient():
    plain, decayed = (trainer.Trainer(tiny(weight_decay=decay, warmup=0), tiny_images()) for decay in (0.0, 0.1))
    began = [p.detach().clone() for p in plain.model.parameters()]
    plain.train_step(), decayed.train_step()
    for start, one, other in zip(began, plain.model.parameters(), decayed.model.parameters(), strict=True):
        torch.testing.assert_close(one - other, 0.1 * plain.config.lr * start, rtol=1e-2, atol=2e-7)


def test_mended_heads_train_from_settings():
    """The settings reach the loss: its terms are those of cd_loss with the same settings."""
    config = tiny(heads_similarity="correlation", entropy_of="mean", feature_temperature=0.2, amp=False)
    model = trainer.fresh_model(config).train()
    x1, x2 = torch.rand(2, 8, 3, 16, 16)
    terms = model.training_loss(x1, x2)
    (z1, z2), (l1, l2) = (part.chunk(2) for part in model(torch.cat([x1, x2])))
    given = dict(feature_temperature=0.2, heads_similarity="correlation", entropy_of="mean")
    for name, value in losses.cd_loss(z1, z2, l1, l2, **given).items():
        torch.testing.assert_close(terms[name], value)
    assert abs(terms["feature"] - losses.cd_loss(z1, z2, l1, l2, feature_temperature=0.2)["feature"]) > 0.1


def test_same_seed_same_weights_other_seed_others():
    one, same, other = (trainer.fit(tiny(seed=s), tiny_images()) for s in (0, 0, 1))
    assert same_weights(one, same) and not same_weights(one, other)


@pytest.mark.parametrize("stop_at", [1, 3, 4, 8])
def test_a_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one(tmp_path, monkeypatch, stop_at):
    whole = trainer.fit(tiny(), tiny_images(), tmp_path)
    history = [{k: v for k, v in row.items() if k not in ("seconds", "views/s")} for row in whole.history]
    step = trainer.Trainer.train_step

    def stopping(self):
        result = step(self)
        if self.step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    cut = tmp_path / "cut"
    cut.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "train_step", stopping)
        with pytest.raises(trainer.Interrupted):
            trainer.fit(tiny(), tiny_images(), cut)
    resumed = trainer.fit(tiny(), tiny_images(), cut, resume=True)
    assert same_weights(whole, resumed)
    assert history == [{k: v for k, v in row.items() if k not in ("seconds", "views/s")} for row in resumed.history]


def start(*arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-m", "cdlearn.train", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGKILL, -9)]
)
def test_stopped_from_outside_a_run_leaves_the_step_it_came_to(tmp_path, number, code):
    """The run is so long that the signal always finds it at work; the same steps are then taken here."""
    endless, run = tiny(epochs=5_000), tmp_path / "run"
    process = start(*options(epochs=endless.epochs, out=run), cwd=tmp_path)
    try:
        while not (run / "checkpoint.pt").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    if number != signal.SIGKILL:
        assert f"--resume {run}" in errors
    stopped = trainer.Trainer(endless, load("patches", 16, 48, 42).images)
    again = trainer.Trainer(endless, stopped.images)
    stopped.restore(checkpoint.read(run / "checkpoint.pt"))
    while again.step < stopped.step:
        again.train_step()
    assert same_weights(stopped.model, again.model)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(trainer, "SAVE_AFTER_EPOCH", 0.0)
    step = trainer.Trainer.train_step

    def poisoned(self):
        if self.step == 4:
            next(self.model.parameters()).data.fill_(float("nan"))
        return step(self)

    monkeypatch.setattr(trainer.Trainer, "train_step", poisoned)
    assert train.main(options(out=tmp_path / "run")) == 2
    assert "stopped being finite by step 6" in one_line(capsys)
    state = checkpoint.read(tmp_path / "run" / "checkpoint.pt")
    assert state["step"] == 3 and all(torch.isfinite(v).all() for v in state["model"].values())


@pytest.mark.parametrize("which", ["parameters", "buffers"])
def test_weights_and_statistics_that_are_not_finite_are_not_saved(tmp_path, monkeypatch, which):
    """The last step's loss was fine, its result is not. BatchNorm's variance is a buffer."""
    step = trainer.Trainer.train_step

    def overshooting(self):
        result = step(self)
        if self.step == self.steps:
            next(getattr(self.model, which)()).data.fill_(float("inf"))
        return result

    monkeypatch.setattr(trainer.Trainer, "train_step", overshooting)
    with pytest.raises(UserError, match="weights stopped being finite by step 9"):
        trainer.fit(tiny(), tiny_images(), tmp_path)
    assert all(torch.isfinite(v).all() for v in checkpoint.read(tmp_path / "checkpoint.pt")["model"].values())


def one_line(capsys):
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "cifar11"], "did you mean cifar10"),
        (["--method", "simlr"], "did you mean simclr"),
        (["--preset", "labtop"], "did you mean laptop"),
        (["--epoch", "3"], "did you mean --epochs"),
        (["--backbone", "resnet19"], "did you mean resnet18"),
        (["--stem", "big"], "unknown stem"),
        (["--heads-similarity", "corelation"], "unknown heads_similarity 'corelation', did you mean correlation?"),
        (["--entropy-of", "batch"], "unknown entropy_of 'batch'; there are outputs, mean"),
        (["--weight-decay", "-1"], "weight_decay -1.0: must be at least 0"),
        (["--device", "tpu"], "unknown device"),
        (["--data", "no/such"], "no folder"),
        (["--limit", "1", "--batch-size", "2"], "at least 2 are needed"),
        (["--limit", "10", "--batch-size", "16"], "larger than the 10 images"),
        (["--heads", "1"], "heads 1"),
        (["--lr", "-1"], "lr -1.0"),
        (["--crop", "0", "1"], "crop"),
        (["--hue", "0.7"], "hue 0.7"),
        (["--seed", "-1"], "seed -1"),
        (["--gray", "2"], "gray 2.0"),
        (["--kmeans-seeds", "0"], "kmeans_seeds 0"),
        (["--epochs", "x"], "invalid int value"),
        (["--resume", "nowhere"], "no run to resume"),
    ],
)
def test_bad_input_is_one_line(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train.main(["--preset", "smoke", *arguments]) == 2
    assert says in one_line(capsys)


def test_a_finished_run_is_not_overwritten(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert new_run(default_out(tiny()), False).as_posix() == "runs/patches-cd-smoke-s42"
    (tmp_path / "runs/patches-cd-smoke-s42/config.json").write_text("{}")
    assert new_run(default_out(tiny()), False).as_posix() == "runs/patches-cd-smoke-s42-2"
    assert train.main(options(out="runs/patches-cd-smoke-s42")) == 2
    assert "holds a run already" in one_line(capsys)


def test_a_resume_with_other_settings_shows_the_difference(tmp_path, capsys):
    run = tmp_path / "run"
    assert train.main(options(out=run)) == 0
    assert train.main(["--resume", str(run), "--lr", "0.5"]) == 2
    assert "lr is 0.001 there, 0.5 here" in one_line(capsys)


def test_a_resume_on_other_images_or_settings_is_refused(tmp_path):
    trainer.fit(tiny(), tiny_images(), tmp_path)
    with pytest.raises(UserError, match="images differ from those"):
        trainer.fit(tiny(), 255 - tiny_images(), tmp_path, resume=True)
    with pytest.raises(UserError, match=r"made with lr 0.001, not 0.5"):
        trainer.fit(tiny(lr=0.5), tiny_images(), tmp_path, resume=True)
    state = checkpoint.read(tmp_path / "checkpoint.pt")
    state["model"].popitem()
    checkpoint.save(tmp_path / "checkpoint.pt", state)
    with pytest.raises(UserError, match="does not fit this run"):
        trainer.fit(tiny(), tiny_images(), tmp_path, resume=True)


def test_evaluate_scores_a_run_again_and_on_other_images(tmp_path, pictures, capsys):
    run = tmp_path / "run"
    assert train.main(options(out=run)) == 0
    first = (run / "scores.json").read_text()
    (run / "scores.json").unlink()
    capsys.readouterr()
    assert evaluate_command.main([str(run)]) == 0
    assert (run / "scores.json").read_text() == first
    assert evaluate_command.main([str(run), "--data", str(pictures)]) == 0
    assert "12 images of" in capsys.readouterr().out and (run / "scores-pictures.json").exists()
    assert evaluate_command.main(["nowhere"]) == 2
    assert "no checkpoint at nowhere" in one_line(capsys)


def test_a_handful_of_images_is_enough(tmp_path):
    assert train.main(options(limit=6, batch_size=4, out=tmp_path / "run")) == 0


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"step": 1})

    class Full(io.BufferedWriter):
        def write(self, data):
            super().write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", lambda descriptor, mode: Full(io.FileIO(descriptor, mode)))
        with pytest.raises(UserError, match=r"cannot save .*No space left.*is intact"):
            checkpoint.save(path, {"step": 2})
    assert checkpoint.read(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_foreign_dangerous_and_damaged_checkpoints_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": {}}, path)
    with pytest.raises(UserError, match="refused: not a cdlearn checkpoint"):
        checkpoint.read(path)
    torch.save({"format": checkpoint.FORMAT, "config": Trap()}, path)
    with pytest.raises(UserError, match="refused"):
        checkpoint.load_model(tmp_path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match="refused"):
        checkpoint.load_model(tmp_path)
    assert not (tmp_path / "trapped").exists()
    trainer.fit(tiny(), tiny_images(), tmp_path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match="refused: damaged"):
        checkpoint.load_model(tmp_path)
    with pytest.raises(UserError, match="no checkpoint at"):
        checkpoint.load_model(tmp_path / "nowhere")


@pytest.mark.parametrize("preset", ["gpu", "paper"])
def test_the_large_presets_can_take_a_step_anywhere(preset):
    small = {"size": 32, "stem": "small"} if preset == "gpu" else {"size": 64}
    config = Config.preset(preset, batch_size=4, heads=4, dim=4, compile=False, epochs=1, **small)
    made = trainer.Trainer(config, torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8))
    assert torch.isfinite(made.train_step())


def test_published_settings():
    config = Config.preset("paper", data="stl10")
    assert (config.backbone, config.stem, config.size, config.batch_size) == ("resnet34", "imagenet", 224, 128)
    assert (config.lr, config.epochs, config.clip, config.cosine, config.warmup) == (3e-4, 1000, 1.0, True, 0)
    assert (config.dim, config.heads, config.hidden, config.alpha, config.seed) == (128, 128, 512, 1.0, 42)
    assert (config.brightness, config.hue, config.blur, config.crop) == (0.8, 0.2, 0.0, (0.08, 1.0))
    assert Config.preset("paper", data="imagenet10").blur == 0.5
    assert Config.preset("paper", data="cifar10").brightness == 0.4
    assert Config.preset("paper", data="path/to/imagenet10").recipe == "cifar"  # a folder's name decides nothing
    strong = Config.preset("paper", data="path/to/imagenet10", recipe="imagenet10")
    assert (strong.brightness, strong.hue, strong.blur) == (0.8, 0.2, 0.5)
    assert not config.amp and Config.preset("paper", amp=True).amp
    with pytest.raises(UserError, match="unknown recipe 'stl', did you mean stl10"):
        Config.preset("paper", recipe="stl")
    model = trainer.build(config)
    assert [type(m).__name__ for m in model.heads] == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    assert model.projector[0].bias is None and model.heads[0].in_features == 128


def test_learning_rate_rises_then_falls_to_zero():
    config = tiny(warmup=10, lr=1.0)
    rates = [trainer.learning_rate(config, step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.1) and max(rates) > 0.99 and rates[-1] < 1e-4
    flat = tiny(warmup=0, cosine=False, lr=1.0)
    assert {trainer.learning_rate(flat, step, 1000) for step in range(1000)} == {1.0}


def test_the_published_schedule_changes_once_per_epoch():
    config = tiny(warmup=0, lr=1.0, epoch_schedule=True)
    rates = [trainer.learning_rate(config, step, 100, 10) for step in range(100)]
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for epoch in range(10):
        assert rates[10 * epoch : 10 * epoch + 10] == pytest.approx([theirs.get_last_lr()[0]] * 10)
        optimizer.step()
        theirs.step()


def test_a_run_of_an_older_version_goes_on_under_todays_names(tmp_path):
    config, images = tiny(method="dcgan"), tiny_images()
    model = trainer.fit(config, images, tmp_path)
    state = checkpoint.read(tmp_path / "checkpoint.pt")
    state["config"]["rung"] = state["config"].pop("preset_name")
    old = {"discriminator": "judge", "generator": "forger"}
    for row in state["history"]:
        for new, name in old.items():
            row[name] = row.pop(new)
    for name in [name for name in state["model"] if name.startswith("discriminator.")]:
        state["model"]["judge" + name.removeprefix("discriminator")] = state["model"].pop(name)
    checkpoint.save(tmp_path / "checkpoint.pt", state)
    loaded, again = checkpoint.load_model(tmp_path)
    assert again == config
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert trainer.fit(config, images, tmp_path, resume=True).history == model.history
