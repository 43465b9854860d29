"""A pretrained start: files in the real formats, what fits and what does not, frozen backbones, no training at all."""

import argparse
import hashlib
import json
import urllib.error

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

import cdlearn
from cdlearn import checkpoint, export, pretrained, report, train
from cdlearn.backbones import backbone
from cdlearn.config import Config
from cdlearn.data import load
from cdlearn.results import scoring
from cdlearn.runtime.errors import UserError
from cdlearn.trainer import Trainer, fit, fresh_model

SMALL = dict(size=16, batch_size=4, kmeans_seeds=1, compile=False)
ONE = torch.ones(1)
NETWORK = dict(backbone="resnet18", stem="imagenet")


@pytest.fixture(scope="module")
def resnet():
    """torchvision's ResNet-18 as after some training: its BatchNorms have statistics."""
    torch.manual_seed(0)
    net = torchvision.models.resnet18()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.fixture(scope="module")
def file(resnet, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(resnet.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def blank():
    """Our network for these weights; a test that fills it leaves nothing of what was in it."""
    return backbone("resnet18", "imagenet")


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    """A run of ours."""
    (out := tmp_path_factory.mktemp("runs") / "tiny").mkdir()
    images = torch.randint(0, 256, (12, 3, 16, 16), dtype=torch.uint8)
    fit(Config.preset("smoke", method="byol", epochs=1, **SMALL), images, out)
    return out


def prefixed(state: dict, prefix: str) -> dict:
    return {prefix + name: value for name, value in state.items()}


def numbered(state: dict) -> dict:
    """As of nn.Sequential(*list(resnet.children())[:-1])."""
    names = {ours: number for number, ours in pretrained.NUMBERED.items()}
    return {
        ".".join([names[name.split(".")[0]], *name.split(".")[1:]]): value
        for name, value in state.items()
        if name[:2] != "fc"
    }


def halved(value: torch.Tensor) -> torch.Tensor:
    return value.half() if value.is_floating_point() else value


FORMS = {
    "plain": lambda state: state,
    "lightning": lambda state: {"epoch": 3, "state_dict": prefixed(state, "backbone.") | {"projector.0.bias": ONE}},
    "DataParallel": lambda state: {"model": prefixed(state, "module."), "args": argparse.Namespace(lr=0.1)},
    "both": lambda state: {"net": prefixed(state, "module.encoder.")},
    "momentum contrast": lambda state: prefixed(state, "module.encoder_q.") | prefixed(state, "module.encoder_k."),
    "numbered": lambda state: {"model_state_dict": prefixed(numbered(state), "backbone.")},
    "half": lambda state: {name: halved(value) for name, value in state.items()},
    "old": lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
}


@pytest.mark.parametrize("form", [*FORMS, "safetensors"])
def test_every_form_gives_the_same_network(form, resnet, blank, tmp_path):
    state = resnet.state_dict()
    if form == "safetensors":  # timm's files, whose names are the same
        safetensors.torch.save_file(state, path := tmp_path / "model.safetensors", {"format": "pt"})
    else:
        torch.save(FORMS[form](state), path := tmp_path / "model.pt")
    start = pretrained.read(str(path), "resnet18")
    start.put_into(blank)
    ours = blank.state_dict()
    wanted = {name: value for name, value in state.items() if name[:2] != "fc" and "num_batches" not in name}
    for name, value in wanted.items():
        assert torch.allclose(ours[name], value, atol=1e-3 if form == "half" else 0), name
    assert start.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_pixels_are_normalised_as_torchvision_does_it(resnet, file):
    start = pretrained.read(str(file), "resnet18")
    config = start.settled(Config.preset("smoke", weights=str(file), **NETWORK | SMALL))
    assert config.normalize == "imagenet"
    x = torch.rand(2, 3, 64, 64)
    usual = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    with torch.no_grad():
        ours = fresh_model(config, start).eval().backbone(x)
        resnet.fc, classifier = nn.Identity(), resnet.fc
        theirs = resnet(torchvision.transforms.functional.normalize(x, usual.mean, usual.std))
        plain = resnet(x)
        resnet.fc = classifier
    assert torch.allclose(ours, theirs, atol=1e-4) and not torch.allclose(ours, plain, atol=0.1)


def test_the_sentence_counts_what_is_kept(file):
    start = pretrained.read(str(file), "resnet18")
    assert start.said("imagenet") == "kept 120 of 122 tensors of resnet18.pth; left out: fc"
    assert start.said("small") == "kept 119 of 122 tensors of resnet18.pth; fresh: conv1 (small stem); left out: fc"


def test_the_small_stem_keeps_all_but_conv1(resnet, file):
    start = pretrained.read(str(file), "resnet18")
    config = start.settled(Config.preset("smoke", weights=str(file), backbone="resnet18", stem="small", **SMALL))
    ours, fresh = fresh_model(config, start).backbone, fresh_model(config).backbone
    assert torch.equal(ours.conv1.weight, fresh.conv1.weight)
    assert torch.equal(ours.layer4[1].conv2.weight, resnet.layer4[1].conv2.weight)
    for more in (dict(freeze=True), dict(epochs=0)):
        with pytest.raises(UserError, match="a fresh one would spoil all that follows; pass --stem imagenet"):
            start.settled(Config.preset("smoke", weights=str(file), backbone="resnet18", stem="small", **SMALL | more))


class Harmful:
    def __reduce__(self):
        return print, ("this ran",)


def without(name: str):
    return lambda state: {key: value for key, value in state.items() if key != name}


def renamed(old: str, new: str):
    return lambda state: {key.replace(old, new) if key.startswith(old) else key: of for key, of in state.items()}


def changed(name: str, *shape: int, value: float = 0.0):
    return lambda state: state | {name: torch.full(shape, value)}


NO_NUMBER = float("nan")
WRONG = {
    "a part is missing": (without("layer2.0.bn1.bias"), r"no whole resnet18: layer2.0.bn1.bias is missing"),
    "another block": (changed("layer1.0.se.weight", 3), r"it has layer1.0.se.weight as well"),
    "wide": (changed("layer1.0.conv1.weight", 128, 64, 3, 3), r"conv1.weight is 128 x 64 x 3 x 3, not 64 x 64 x 3 x 3"),
    "other depth": (
        changed("layer1.2.conv1.weight", 1),
        r"a ResNet of 3 \+ 2 \+ 2 \+ 2 blocks; there are resnet18, resnet",
    ),
    "gray": (changed("conv1.weight", 64, 1, 7, 7), r"conv1.weight of w.pt is 64 x 1 x 7 x 7"),
    "deep stem": (renamed("conv1.", "conv1.0."), r"conv1.weight is missing"),
    "not finite": (changed("bn1.bias", 64, value=NO_NUMBER), r"w.pt is damaged: bn1.bias is not finite"),
    "another network": (lambda s: {"features.0.weight": ONE}, r"no ResNet .* its tensors are features.0.weight"),
    "two networks": (lambda s: prefixed(s, "a.") | prefixed(s, "b."), r"several networks \(a., b.\)"),
    "nothing": (lambda s: {"epoch": 3}, r"holds no weights by name"),
    "a list": (lambda s: [1, 2], r"holds no weights by name"),
    "a network": (lambda s: nn.Linear(2, 2), r"it holds torch.nn.modules.linear.Linear, so loading it could run code"),
    "code": (lambda s: {"state_dict": s, "more": Harmful()}, r"it holds print, so loading it could run code"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(case, resnet, blank, tmp_path, capsys):
    make, says = WRONG[case]
    torch.save(make(resnet.state_dict()), path := tmp_path / "w.pt")
    with pytest.raises(UserError, match=says) as error:
        start = pretrained.read(str(path), "resnet18")
        start.put_into(blank)
    assert "\n" not in str(error.value) and "w.pt" in str(error.value) and "this ran" not in capsys.readouterr().out


def test_nothing_is_made_for_weights_that_do_not_fit(resnet, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(without("layer2.0.bn1.bias")(resnet.state_dict()), "w.pt")
    given = ["--preset=smoke", "--size=16", "--batch-size=4", f"--data={pictures}", "--out=run"]
    assert train.main([*given, "--weights=w.pt"]) == 2
    assert "layer2.0.bn1.bias is missing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_files_that_cannot_be_read_are_named(file, tmp_path):
    cut = tmp_path / "cut.pth"
    cut.write_bytes(file.read_bytes()[:100_000])
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    (tmp_path / "text.pt").write_text("weights")
    (tmp_path / "w.onnx").write_text("x")
    (tmp_path / "empty").mkdir()
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "script.pt")
    for name, says in {
        "cut.pth": "is damaged",
        "cut.safetensors": "is damaged",
        "text.pt": "is damaged",
        "script.pt": "TorchScript program; save the state_dict",
        "w.onnx": "is no file of weights; --weights takes .safetensors, .pt or .pth",
        "empty": "is no run and no export",
        "nowhere.pt": "no file or run at",
    }.items():
        with pytest.raises(UserError, match=says) as error:
            pretrained.read(str(tmp_path / name), "resnet18")
        assert name in str(error.value) and "\n" not in str(error.value), name


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            dict(backbone="resnet34"),
            "resnet18.pth has backbone resnet18, and the run backbone resnet34; pass --backbone",
        ),
        (dict(method="decnn"), "decnn has a network of its own"),
    ],
)
def test_settings_that_do_not_fit_are_named(given, says, file):
    config = Config.preset("smoke", **dict(weights=str(file)) | NETWORK | SMALL | given)
    with pytest.raises(UserError, match=says):
        pretrained.read(str(file), "resnet18").settled(config)


def test_settings_that_were_not_asked_for_follow_the_weights(file, tiny_run):
    config = Config.preset("laptop", weights=str(file))
    free = frozenset(config.as_dict())
    settled = pretrained.read(str(file), "tiny").settled(config, free)
    assert (settled.backbone, settled.stem, settled.size) == ("resnet18", "imagenet", pretrained.LARGE)
    assert pretrained.read(str(file), "tiny").settled(config, free - {"size"}).size == config.size
    settled = pretrained.read(str(tiny_run), "tiny").settled(Config.preset("laptop", weights=str(tiny_run)), free)
    assert (settled.backbone, settled.width, settled.size) == ("tiny", 8, config.size)
    with pytest.raises(UserError, match="has width 8, and the run width 32; pass --width 8"):
        pretrained.read(str(tiny_run), "tiny").settled(Config.preset("laptop", weights=str(tiny_run)))


def test_a_run_and_its_export_are_starts(tiny_run, tmp_path):
    export.export(tiny_run, tmp_path)
    (tmp_path / "config.json").unlink()  # the file alone says how it is to be used
    model, _ = checkpoint.load_model(tiny_run)
    for source in (tiny_run, tiny_run / "checkpoint.pt", tmp_path, tmp_path / "backbone.safetensors"):
        start = pretrained.read(str(source), "tiny")
        config = start.settled(Config.preset("smoke", weights=str(source), method="byol", **SMALL))
        made = fresh_model(config, start)
        for name, value in model.backbone.state_dict().items():
            assert torch.equal(made.backbone.state_dict()[name], value)
            assert torch.equal(made.online[0].state_dict()[name], value)
        assert config.normalize == "none"


def test_an_export_of_a_normalised_network_is_one_again(file, resnet, tmp_path):
    images = torch.randint(0, 256, (6, 3, 64, 64), dtype=torch.uint8)
    (run := tmp_path / "run").mkdir()
    fit(Config.preset("smoke", weights=str(file), epochs=0, **NETWORK | SMALL), images, run)
    export.export(run, tmp_path / "export")
    described = json.loads((tmp_path / "export" / "config.json").read_text())
    assert described["mean"] == [0.485, 0.456, 0.406] and described["std"] == [0.229, 0.224, 0.225]
    card = (tmp_path / "export" / "README.md").read_text()
    assert hashlib.sha256(file.read_bytes()).hexdigest() in card and "normalize(images, [0.485" in card
    x = torch.rand(2, 3, 16, 16)
    names = {"images": x}
    code = (
        card.split("```python\n")[1]
        .split("```")[0]
        .replace("backbone.safetensors", str(tmp_path / "export/backbone.safetensors"))
    )
    exec(code, names)
    by_program = torch.export.load(tmp_path / "export" / "backbone.pt2").module()(x)
    with torch.no_grad():
        ours = checkpoint.load_model(run)[0].backbone(x)
    assert torch.allclose(names["features"], ours, atol=1e-5) and torch.allclose(by_program, ours, atol=1e-5)
    for source in (tmp_path / "export", run):
        assert pretrained.read(str(source), "resnet18").normalize == "imagenet"


@pytest.mark.parametrize("method", ["cd", "simclr", "byol", "ae", "dcgan"])
def test_a_frozen_backbone_stays_as_it_is(method, tiny_run):
    images = torch.randint(0, 256, (12, 3, 16, 16), dtype=torch.uint8)
    own = dict(weights=str(tiny_run), freeze=True, method=method, epochs=2)
    start = pretrained.read(str(tiny_run), "tiny")
    config = start.settled(Config.preset("smoke", **own | SMALL))
    before = fresh_model(config, start).state_dict()
    trained = fit(config, images)
    after = trained.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    kept = {name for name in after if name.startswith(("backbone.", "online.0."))}
    assert kept and not moved & kept and moved - kept
    assert all(weight.grad is None for weight in trained.backbone.parameters())


def test_freezing_needs_weights():
    with pytest.raises(UserError, match="pass --weights as well"):
        Config.preset("smoke", freeze=True)
    with pytest.raises(UserError, match="normalize imagenet is for the ResNets"):
        Config.preset("smoke", normalize="imagenet")


def test_a_resumed_run_does_not_need_the_file(resnet, tmp_path):
    torch.save(resnet.state_dict(), path := tmp_path / "w.pth")
    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    config = Config.preset("smoke", weights=str(path), epochs=1, **NETWORK | SMALL)
    whole = fit(config, images).state_dict()

    def stop(trainer: Trainer) -> None:
        raise KeyboardInterrupt

    (out := tmp_path / "run").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fit(config, images, out, after_epoch=stop)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    resumed = fit(config, images, out, resume=True).state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())
    state = checkpoint.read(out / "checkpoint.pt")
    assert state["weights"]["sha256"] == digest and state["config"]["normalize"] == "imagenet"


def test_from_the_command_line(tiny_run, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ["--preset=smoke", "--size=16", "--batch-size=4", "--kmeans-seeds=1", f"--data={pictures}"]
    assert train.main([*common, "--epochs=1", f"--weights={tiny_run}", "--out=run"]) == 0
    said = capsys.readouterr().out
    assert "kept 54 of 132 tensors of tiny/checkpoint.pt" in said and "left out: online, predictor, projector" in said
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert set(scores["pretrained start"]) == set(scores["backbone"]) and "pretrained start" in said
    assert described["weights"]["sha256"] == hashlib.sha256((tiny_run / "checkpoint.pt").read_bytes()).hexdigest()
    assert described["weights"]["name"] == "tiny/checkpoint.pt"
    assert train.main([*common, "--epochs=1", "--out=fresh"]) == 0
    fresh = json.loads((tmp_path / "fresh" / "scores.json").read_text())
    assert fresh["random network"] == scores["random network"] and scoring.START not in fresh
    assert train.main([*common, "--epochs=1", f"--weights={tiny_run}", "--freeze", "--out=frozen"]) == 0
    frozen = json.loads((tmp_path / "frozen" / "scores.json").read_text())
    assert scoring.START not in frozen  # the backbone is the start
    assert {name: frozen["backbone"][name] for name in ("nmi", "knn")} == {
        name: scores[scoring.START][name] for name in ("nmi", "knn")
    }


def test_without_any_training(file, resnet, pictures, tmp_path, capsys, monkeypatch):
    """A run folder that everything accepts, of fewer images than a batch, with torchvision's features."""
    monkeypatch.chdir(tmp_path)
    given = [f"--data={pictures}", f"--weights={file}", "--backbone=resnet18", "--epochs=0", "--size=32", "--no-amp"]
    assert train.main(["--preset=smoke", *given, "--out=run"]) == 0
    said = capsys.readouterr().out
    assert "0 epochs" in said and "nothing was trained" in said and "kept 120 of 122" in said
    assert not (tmp_path / "run" / "start.json").exists()
    features = cdlearn.load("run").transform(str(pictures))
    images = load(str(pictures), 32, stored=0).images
    with torch.no_grad():
        resnet.fc, classifier = nn.Identity(), resnet.fc
        pixels = torchvision.transforms.functional.resize(images, [32, 32], antialias=True).float() / 255
        theirs = resnet(
            torchvision.transforms.functional.normalize(pixels, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )
        resnet.fc = classifier
    assert features.shape == (12, 512) and torch.allclose(torch.from_numpy(features), theirs, atol=0.05)
    assert train.main(["--resume", "run"]) == 0
    assert export.main(["run"]) == 0
    assert report.main(["run"]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert str(file.parent) not in page


def test_no_epochs_are_asked_for_and_older_settings_mean_what_they_meant():
    assert Config.preset("gpu", epochs=0).epochs_for(100) == Config.preset("laptop", views=0).epochs_for(100) == 0
    assert Config().epochs == 0 and Config().epochs_for(100) > 0
    older = {
        name: value for name, value in Config().as_dict().items() if name not in ("weights", "freeze", "normalize")
    }
    assert older["epochs"] == 0 and Config.from_dict(older).epochs_for(100) == Config().epochs_for(100)
    none = Config.preset("laptop", epochs=0)
    assert Config.from_dict(none.as_dict()) == none
    assert Config.preset("laptop", epochs=0, views=9600).epochs_for(100) == 48  # as in older code
    with pytest.raises(UserError, match=r"epochs -1: must be at least 0$"):
        Config.preset("laptop", epochs=-1)


def test_imagenet_is_downloaded_or_taken_from_where_it_lies(resnet, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(
        UserError, match=r"cannot download https://.*resnet18-\w+.pth \(no route\); .* put it at"
    ) as error:
        pretrained.read("imagenet", "resnet18")
    place = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
    assert str(place) in str(error.value)
    with pytest.raises(UserError, match="no ImageNet weights of tiny; pass --backbone resnet18"):
        pretrained.read("imagenet", "tiny")
    torch.save(resnet.state_dict(), place)
    start = pretrained.read("imagenet", "resnet18")
    assert start.name == "resnet18 IMAGENET1K_V1 (resnet18-f37072fd.pth)" and start.normalize == "imagenet"
    task = train.asked_for({"preset": "laptop", "weights": "imagenet"})
    settled = train.started(task)
    assert (settled.backbone, settled.stem, task.start.sha256) == ("resnet18", "imagenet", start.sha256)


def no_network(*asked, **more):
    raise urllib.error.URLError("no route")
