"""A picture that moves without a kernel."""

import io

import numpy as np
import PIL.Image

from cdlearn.course import motion


def test_an_animation_and_its_still(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(motion, "figures", lambda: tmp_path)
    monkeypatch.setattr(motion, "display", shown.append)
    monkeypatch.setattr(motion, "show", lambda figure, name, data, alt: shown.append((figure, data)))
    draws = np.random.default_rng(0)
    frames = [draws.normal(0, 1 + n, (40, 4)) for n in range(5)]
    labels = np.arange(40) % 3
    motion.settle(frames, labels, ("a", "b", "c"), [f"epoch {n}" for n in range(5)], "moving", "points that spread")
    gif = PIL.Image.open(io.BytesIO(shown[0].data))
    assert gif.n_frames == 5 and gif.info["loop"] == 0
    assert (tmp_path / "moving.gif").read_bytes() == shown[0].data and len(shown[0].data) < 500_000
    figure, data = shown[1]
    assert [axis.get_title() for axis in figure.axes] == ["epoch 0", "epoch 2", "epoch 4", "", "", ""]
    assert len({axis.get_xlim() + axis.get_ylim() for axis in figure.axes}) == 1, "one frame of reference for all"
    assert len(data) == 40 and set(data["label"]) == {"a", "b", "c"}


def test_every_point_lies_inside():
    frames = [np.array([[-3.0, 1.0]]), np.array([[0.0, 5.0]])]
    low, high = motion.limits(frames)
    assert low < -3 and high > 5
