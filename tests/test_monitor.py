"""What watches a run without touching it, and what ends one in a line."""

import math

import pytest
import torch
from test_train import options, same_weights, tiny

from cdlearn import train, trainer
from cdlearn.data import ImageSet, load
from cdlearn.evaluate import embed, knn_accuracy
from cdlearn.results import scoring


def test_knn_is_looked_at_ten_times_at_most_and_changes_nothing(tmp_path):
    images = load("shapes", 16, 48, 42)
    config = tiny(epochs=20)
    plain = trainer.fit(config, images)
    watched = trainer.fit(config, images, after_epoch=scoring.knn_monitor(images, config))
    assert same_weights(plain, watched)
    looked = [row["epoch"] for row in watched.history if math.isfinite(row["knn output"])]
    assert looked == [*range(2, 21, 2)] and 0 <= watched.history[-1]["knn backbone"] <= 1
    features = embed(watched, images.images, config.size, amp=config.amp)["output"]
    assert watched.history[-1]["knn output"] == knn_accuracy(features, images.labels)
    assert scoring.knn_monitor(ImageSet(images.images), config) is None


def test_the_last_epoch_is_always_looked_at(tmp_path):
    images, config = load("shapes", 16, 48, 42), tiny(epochs=13)
    watched = trainer.fit(config, images, after_epoch=scoring.knn_monitor(images, config))
    looked = [row["epoch"] for row in watched.history if math.isfinite(row["knn output"])]
    assert looked == [*range(2, 13, 2), 13]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.OutOfMemoryError()]
)
def test_a_full_memory_is_one_line(monkeypatch, capsys, tmp_path, error):
    def full(*arguments, **named):
        raise error

    monkeypatch.setattr(train, "fit", full)
    assert train.main(options(out=tmp_path / "run")) == 2
    assert "error: the memory is full; try a smaller --batch-size" in capsys.readouterr().err


def test_other_faults_of_the_program_are_not_hidden(monkeypatch, tmp_path):
    def broken(*arguments, **named):
        raise RuntimeError("a bug")

    monkeypatch.setattr(train, "fit", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train.main(options(out=tmp_path / "run"))
