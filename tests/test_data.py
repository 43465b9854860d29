"""Folders, bundled and downloaded data sets: every loader on small files in the true on-disk format."""

import hashlib
import json
import pickle
import tarfile

import numpy as np
import pytest
import torch
import torchvision
from conftest import SHARED
from PIL import Image

from cdlearn import checkpoint, data, train
from cdlearn.data import cache, folders, named
from cdlearn.evaluate import __main__ as evaluate
from cdlearn.runtime.errors import UserError


def test_folder_with_classes(pictures):
    images = data.load(str(pictures), size=8)
    assert images.images.shape == (12, 3, 16, 16) and images.images.dtype == torch.uint8
    assert images.classes == ("cats", "dogs") and images.labels.tolist() == [0] * 6 + [1] * 6


def test_folder_without_classes_has_no_labels(tmp_path):
    for i in range(3):
        Image.new("RGB", (9, 9), (i, 0, 0)).save(tmp_path / f"{i}.png")
    assert data.load(str(tmp_path), size=8).labels is None


def test_limit_is_drawn_with_the_seed(pictures):
    one, same, other = (data.load(str(pictures), 8, limit=5, seed=s).images for s in (0, 0, 1))
    assert len(one) == 5 and torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1", "I;16", "I", "F", "PA"])
def test_every_kind_of_image_becomes_rgb(tmp_path, mode):
    ramp = np.linspace(0, 255, 40 * 30).reshape(30, 40)
    if mode == "I;16":
        image = Image.fromarray((ramp * 257).astype(np.uint16))
    elif mode in ("I", "F"):
        image = Image.fromarray((ramp * 257).astype(np.int32 if mode == "I" else np.float32))
    elif mode == "PA":
        image = Image.fromarray(ramp.astype(np.uint8)).convert("P")
        image.info["transparency"] = 0
    else:
        image = Image.fromarray(ramp.astype(np.uint8)).convert("RGB").convert(mode)
    path = tmp_path / ("x.tif" if mode in ("F", "I", "CMYK", "I;16") else "x.png")
    image.save(path)
    pixels = folders.decode(path, 20)
    assert pixels.shape == (3, 20, 20) and pixels.dtype == np.uint8
    assert pixels[:, 0].mean() < 60 and pixels[:, -1].mean() > 195  # the ramp, not white or black all over


def test_transparent_pixels_are_white_and_wild_sizes_fit(tmp_path):
    Image.new("RGBA", (3, 400), (255, 0, 0, 0)).save(tmp_path / "tall.png")
    Image.new("RGB", (1, 1), (10, 20, 30)).save(tmp_path / "dot.png")
    assert (folders.decode(tmp_path / "tall.png", 16) == 255).all()
    assert folders.decode(tmp_path / "dot.png", 16)[:, 5, 5].tolist() == [10, 20, 30]


def test_a_truncated_image_is_named_or_skipped(pictures, capsys):
    bad = pictures / "cats" / "bad.png"
    bad.write_bytes((pictures / "cats" / "01.png").read_bytes()[:200])
    with pytest.raises(UserError, match=r"bad\.png.*--skip-bad") as error:
        data.load(str(pictures), 8)
    assert "\n" not in str(error.value)
    assert len(data.load(str(pictures), 8, skip_bad=True)) == 12
    assert "skipped 1 of 13" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "says"),
    [("cifar", "did you mean cifar10"), ("no/such/folder", "no folder"), ("shape", "did you mean shapes")],
)
def test_an_unknown_data_set_is_named(name, says):
    with pytest.raises(UserError, match=says):
        data.load(name)


def test_an_empty_folder_and_a_file_are_named(tmp_path):
    with pytest.raises(UserError, match="no image in"):
        data.load(str(tmp_path))
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(UserError, match="is a file"):
        data.load(str(tmp_path / "x.png"))
    with pytest.raises(UserError, match=r"cannot read .*x\.png"):
        data.load(str(tmp_path))


def test_large_folders_are_decoded_once_into_a_mapped_file(pictures, tmp_path, monkeypatch):
    small = data.load(str(pictures), 16)
    monkeypatch.setattr(cache, "IN_MEMORY", 0)
    root = tmp_path / "data"
    first = data.load(str(pictures), 16, root=root)
    assert torch.equal(first.images, small.images) and torch.equal(first.labels, small.labels)
    monkeypatch.setattr(cache, "decode_all", lambda *_: pytest.fail("decoded twice"))
    assert torch.equal(data.load(str(pictures), 16, root=root).images, small.images)
    Image.new("RGB", (20, 20)).save(pictures / "cats" / "new.png")
    with pytest.raises(pytest.fail.Exception, match="decoded twice"):
        data.load(str(pictures), 16, root=root)
    with pytest.raises(pytest.fail.Exception, match="decoded twice"):
        data.load(str(pictures), 16, root=root, stored=16)
    assert sorted(p.suffix for p in (root / "decoded").glob("[!.]*")) == [
        ".json",
        ".npy",
        ".npy",
    ]  # nothing half-written


def test_digits_come_with_scikit_learn():
    digits = data.load("digits", size=16, limit=100)
    assert digits.images.shape == (100, 3, 16, 16) and len(digits.classes) == 10


def write_cifar(root, kind, monkeypatch):
    """CIFAR's own format, pickled batches in a folder, with checksums to match."""
    generator = np.random.default_rng(0)
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    lists = {}
    for name in ("train_list", "test_list"):
        lists[name] = []
        for file, _ in getattr(kind, name):
            n = 100
            batch = {"data": generator.integers(0, 256, (n, 3072), dtype=np.uint8)}
            batch["labels" if kind is torchvision.datasets.CIFAR10 else "fine_labels"] = [i % 100 for i in range(n)]
            if kind is torchvision.datasets.CIFAR10:
                batch["labels"] = [i % 10 for i in range(n)]
            (folder / file).write_bytes(pickle.dumps(batch))
            lists[name].append([file, hashlib.md5((folder / file).read_bytes()).hexdigest()])
        monkeypatch.setattr(kind, name, lists[name])
    meta = dict(kind.meta)
    count = 10 if kind is torchvision.datasets.CIFAR10 else 100
    (folder / meta["filename"]).write_bytes(pickle.dumps({meta["key"]: [f"class {i}" for i in range(count)]}))
    meta["md5"] = hashlib.md5((folder / meta["filename"]).read_bytes()).hexdigest()
    monkeypatch.setattr(kind, "meta", meta)


def test_cifar10_takes_train_and_test_from_the_local_copy(tmp_path, monkeypatch):
    write_cifar(tmp_path, torchvision.datasets.CIFAR10, monkeypatch)
    images = data.load("cifar10", root=tmp_path)
    assert images.images.shape == (600, 3, 32, 32) and len(images.classes) == 10
    raw = pickle.loads((tmp_path / "cifar-10-batches-py" / "test_batch").read_bytes())
    assert images.images[-1].flatten().tolist() == raw["data"][-1].tolist()


def test_cifar100_has_its_twenty_super_classes(tmp_path, monkeypatch):
    write_cifar(tmp_path, torchvision.datasets.CIFAR100, monkeypatch)
    images = data.load("cifar100-20", root=tmp_path)
    assert len(images.classes) == 20 and torch.bincount(images.labels).tolist() == [10] * 20
    names = dict(enumerate(images.classes))
    # fine classes in alphabet order: apple 0, beaver 4, bicycle 8, woman 98, worm 99
    found = [names[images.labels[i].item()] for i in (0, 4, 8, 98, 99)]
    assert found == ["fruit and vegetables", "aquatic mammals", "vehicles 1", "people", "non-insect invertebrates"]


def test_stl10_takes_the_labelled_images(tmp_path, monkeypatch):
    kind = torchvision.datasets.STL10
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in ("train_list", "test_list"):
        listed = []
        for file, _ in getattr(kind, name):
            n = 6
            body = generator.integers(0, 256, (n, 3, 96, 96), dtype=np.uint8)
            if file.endswith("y.bin"):
                body = np.arange(1, n + 1, dtype=np.uint8)
            body.tofile(folder / file)
            listed.append([file, hashlib.md5((folder / file).read_bytes()).hexdigest()])
        monkeypatch.setattr(kind, name, listed)
    (folder / kind.class_names_file).write_text("\n".join(f"class{i}" for i in range(10)))
    monkeypatch.setattr(kind, "_check_integrity", lambda self: True)
    images = data.load("stl10", size=32, root=tmp_path)
    assert images.images.shape == (12, 3, 64, 64) and images.labels.tolist() == [0, 1, 2, 3, 4, 5] * 2


def test_a_host_that_is_down_is_said_with_the_folder(tmp_path, monkeypatch):
    def down(*_, **__):
        raise OSError("name or service not known")

    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", down)
    with pytest.raises(UserError, match="put the folder cifar-10-batches-py into"):
        data.load("cifar10", root=tmp_path)


def test_imagenet10_names_the_missing_synset(tmp_path):
    for name in named.IMAGENET10[:-1]:
        (tmp_path / "imagenet10" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "imagenet10" / name / "x.JPEG")
    with pytest.raises(UserError, match="n07747607"):
        data.load("imagenet10", root=tmp_path)


@pytest.mark.skipif(not (SHARED / "tiny10.tar.xz").exists(), reason="no shared images here")
def test_real_photographs(tmp_path):
    with tarfile.open(SHARED / "tiny10.tar.xz") as archive:
        members = [member for member in archive if member.isfile()][::50]
        for member in members:  # by hand: Python 3.10 and 3.11 have extractall's filter in their later versions only
            (tmp_path / member.name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / member.name).write_bytes(archive.extractfile(member).read())
    images = data.load(str(tmp_path / "tiny10"), size=32)
    assert images.images.shape == (100, 3, 64, 64) and len(members) == 100 and len(images.classes) == 10
    assert 40 < images.images.float().mean() < 200


def test_a_run_from_before_images_were_stored_larger_goes_on_with_its_own(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = "--preset smoke --size 8 --stored 8 --limit 8 --epochs 1 --batch-size 4 --out run"
    assert train.main(["--data", str(pictures), *settings.split()]) == 0
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    state = checkpoint.read(tmp_path / "run" / "checkpoint.pt")
    assert described["config"].pop("stored") == state["config"].pop("stored") == 8
    (tmp_path / "run" / "config.json").write_text(json.dumps(described))
    checkpoint.save(tmp_path / "run" / "checkpoint.pt", state)
    assert train.main(["--resume", "run"]) == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert evaluate.main(["run"]) == 0
    assert json.loads((tmp_path / "run" / "scores.json").read_text()) == scores
