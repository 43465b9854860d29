"""The exported backbone gives the same features where cdlearn cannot be imported."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
import torchvision
from untrained import run_on

from cdlearn import checkpoint, export
from cdlearn.backbones import STEMS, backbone
from cdlearn.evaluate import embed
from cdlearn.runtime.errors import UserError

# A stranger's process: it has the exported folder, torch and torchvision, and cannot import cdlearn.
STRANGER = """
import re, sys, numpy as np, pathlib

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "cdlearn":
            raise ImportError("cdlearn is not here")

sys.meta_path.insert(0, Refuse())
import os, torch
for folder in sys.argv[1:]:
    os.chdir(folder)
    for way, code in enumerate(re.findall("```python\\n(.*?)```", pathlib.Path("README.md").read_text(), re.DOTALL)):
        if "onnxruntime" in code:
            continue
        there = {"images": torch.from_numpy(np.load("images.npy"))}
        with torch.no_grad():
            exec(code, there)
        np.save(f"features-{way}.npy", there["features"].numpy())
assert "cdlearn" not in sys.modules
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folders of two exported backbones, and what the stranger made of the ways that their README shows."""
    place, made = tmp_path_factory.mktemp("export"), {}
    for name in ("tiny", "resnet18"):
        out = place / name
        run = run_on("shapes", place / f"run-{name}", backbone=name, size=32)
        assert export.main([str(run), "--out", str(out)]) == 0
        pixels = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        np.save(out / "images.npy", (pixels / 255).numpy())
        made[out] = run, pixels
    done = subprocess.run([sys.executable, "-c", STRANGER, *made], capture_output=True, text=True, timeout=400, cwd="/")
    assert done.returncode == 0, done.stderr
    return made


def test_a_stranger_gets_the_same_features_in_every_way_that_the_readme_shows(exported):
    for out, (run, pixels) in exported.items():
        model, config = checkpoint.load_model(run)
        expected = embed(model, pixels, config.size, amp=False)["backbone"].numpy()
        ways = sorted(out.glob("features-*.npy"))
        assert len(ways) == 2
        for way in ways:
            assert np.allclose(np.load(way), expected, atol=1e-4), way


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_three_lines_of_the_card_load_a_resnet_strictly_into_torchvisions_own(name, stem):
    net = export.plain(backbone(name, stem))
    there = {"torch": torch, "net": getattr(torchvision.models, name)()}
    exec(export.STEMS[stem], there)
    there["net"].load_state_dict(net.state_dict())
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(there["net"].eval()(x), net(x), rtol=1e-4, atol=1e-4)  # strides by slicing here


ALONE = """
import sys
import backbone, numpy, torch
net = backbone.load()
with torch.no_grad():
    numpy.save("alone.npy", net(torch.from_numpy(numpy.load("images.npy"))).numpy())
net.train()(torch.from_numpy(numpy.load("images.npy"))).sum().backward()
assert net.stem[0].weight.grad.abs().sum() > 0
assert "cdlearn" not in sys.modules
"""


@pytest.mark.parametrize(
    ("settings", "side"),
    [({}, 16), ({"width": 12, "stem": "imagenet"}, 30), ({"method": "cc", "clusters": 2, "batch_size": 4}, 33)],
)
def test_the_tiny_backbone_stands_alone_in_a_file_of_fifty_lines(tmp_path, settings, side):
    run = run_on("shapes", tmp_path / "run", **settings)
    assert export.main([str(run), "--out", str(tmp_path / "out")]) == 0
    source = (tmp_path / "out" / "backbone.py").read_text()
    assert len(source.splitlines()) <= 55 and "cdlearn" not in source
    x = torch.rand(6, 3, side, side, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "out" / "images.npy", x.numpy())
    place = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "out", env=place, timeout=200)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        ours = checkpoint.load_model(run)[0].backbone(x).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "out" / "alone.npy"), ours, rtol=0, atol=1e-6)


def test_nothing_of_ours_is_left_in_the_program(exported):
    for out in exported:
        with zipfile.ZipFile(out / "backbone.pt2") as archive:
            text = b"".join(archive.read(name) for name in archive.namelist() if name.endswith(".json"))
        assert b"cdlearn" not in text and b"SmallMap" not in text and str(export.__file__).encode() not in text


def test_the_settings_and_the_card_say_how_to_use_it(exported):
    for out in exported:
        settings = json.loads((out / "config.json").read_text())
        assert settings["mean"] == [0, 0, 0] and settings["std"] == [1, 1, 1] and settings["size"] == 32
        card = (out / "README.md").read_text()
        assert f"(N, {settings['features']})" in card and "{" not in re.sub("```.*?```", "", card, flags=re.DOTALL)
        assert str(out.parent) not in card


def test_the_card_has_the_scores_that_were_measured(tmp_path):
    run = run_on("shapes", tmp_path / "run")
    assert export.scores(run) == "The run holds no scores."
    row = {"nmi": 0.5, "nmi_std": 0.01, "ari": 0.25, "ari_std": 0, "acc": 0.75, "acc_std": 0, "knn": 0.875, "spread": 1}
    (run / "scores.json").write_text(json.dumps(dict.fromkeys(("raw pixels", "random network", "backbone"), row)))
    assert "| backbone | 0.500 ± 0.010 | 0.250 ± 0.000 | 0.750 ± 0.000 | 0.875 |" in export.scores(run)
    few = {name: {"spread": 0.25} for name in ("raw pixels", "random network", "backbone")}
    (run / "scores.json").write_text(json.dumps(few))
    assert "backbone 0.250" in export.scores(run)


def test_troubles_are_one_line(tmp_path, capsys, monkeypatch):
    run = run_on("shapes", tmp_path / "run")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert export.main([str(run), "--onnx"]) == 2
    assert "--onnx needs onnx and onnxscript: pip install onnx onnxscript" in capsys.readouterr().err
    assert not (run / "export").exists()
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    assert export.main([str(run), "--out", str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err
    with pytest.raises(UserError, match="no checkpoint"):
        export.export(tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")), reason="onnx is not here"
)
def test_onnx_gives_the_same_features_for_any_number_of_images(tmp_path):
    import onnxruntime

    run = run_on("shapes", tmp_path / "run")
    assert export.main([str(run), "--onnx"]) == 0
    assert "onnxruntime" in (run / "export" / "README.md").read_text()
    session = onnxruntime.InferenceSession(run / "export" / "backbone.onnx")
    model, config = checkpoint.load_model(run)
    for count in (1, 7):
        pixels = torch.randint(0, 256, (count, 3, config.size, config.size), dtype=torch.uint8)
        found = session.run(None, {"images": (pixels / 255).numpy()})[0]
        assert np.allclose(found, embed(model, pixels, config.size, amp=False)["backbone"], atol=1e-4)
