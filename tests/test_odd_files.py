"""What lies in folders besides good images, and what befalls the cache: no wrong class, no endless wait, no litter."""

import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from cdlearn import data
from cdlearn.data import bulk, cache, decoding, folders
from cdlearn.runtime.errors import UserError


@pytest.fixture
def mapped(monkeypatch, tmp_path):
    """Folders of any size go to the disk; gives the folder of the cache."""
    monkeypatch.setattr(cache, "IN_MEMORY", 0)
    return tmp_path / "data" / "decoded"


def test_a_link_takes_neither_images_nor_labels(pictures, tmp_path, capsys):
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    Image.new("RGB", (9, 9)).save(outside / "x.png")
    (pictures / "cats" / "a").symlink_to(pictures / "dogs")  # walked before the dogs are
    (pictures / "cats" / "b.png").symlink_to(pictures / "dogs" / "puppies" / "00.png")
    (pictures / "dogs" / "up").symlink_to(pictures.parent / "pictures")
    (pictures / "cats" / "more").symlink_to(outside)
    (pictures / "dogs" / "more").symlink_to(outside)
    images = data.load(str(pictures), 8)
    assert images.classes == ("cats", "dogs") and images.labels.bincount().tolist() == [7, 6]
    found = folders.look_through(pictures)
    by_name = {str(link.relative_to(pictures)): first.relative_to(pictures) for link, first in found.repeated}
    assert {name: str(first) for name, first in by_name.items()} == {
        "cats/a": "dogs",
        "cats/b.png": "dogs/puppies/00.png",
        "dogs/up": ".",
        "dogs/more": "cats/more",
    }
    assert "left out links to what is there already" in capsys.readouterr().out


def test_a_folder_that_cannot_be_read_is_named_or_left_out(pictures, monkeypatch, capsys):
    def closed(where):
        if os.path.basename(where) == "dogs":
            raise PermissionError(13, "Permission denied")
        return scan(where)

    scan = os.scandir
    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(UserError, match=r"dogs \(Permission denied\).*--skip-bad"):
        data.load(str(pictures), 8)
    assert len(data.load(str(pictures), 8, skip_bad=True)) == 6
    assert "left out folders that cannot be read" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(pictures, monkeypatch, capsys):
    os.mkfifo(pictures / "cats" / "x.jpg")
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("waits"))
    signal.alarm(20)
    try:
        with pytest.raises(UserError, match=r"x\.jpg \(not a file\)"):
            data.load(str(pictures), 8)
        assert len(data.load(str(pictures), 8, skip_bad=True)) == 12
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "skipped 1 of 13 files that cannot be read" and len(told) == 2


def test_more_than_the_disk_holds_is_refused_before_it_is_written(pictures, mapped, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))
    with pytest.raises(UserError, match=r"12 images of 11000 x 11000 pixels take 4\.4 GB and .* has 1\.0 GB free"):
        data.load(str(pictures), 32, stored=11_000, root=mapped.parent)
    assert not list(mapped.glob("[!.]*"))
    with pytest.raises(UserError, match="too large; pass a smaller --size"):
        data.load(str(pictures), 200_000, stored=200_000, root=mapped.parent)


def builds_beside(pictures, root, at_the_tenth) -> int:
    """Another process that loads the pictures and calls ``at_the_tenth`` on its way; gives its number."""
    child = os.fork()
    if not child:
        noted = bulk.noted
        bulk.noted = lambda path, *of: (path.name == "09.png" and at_the_tenth(), noted(path, *of))[1]
        try:
            data.load(str(pictures), 8, root=root)
        finally:
            os._exit(0)
    return child


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_what_a_killed_build_left_is_removed(pictures, mapped):
    child = builds_beside(pictures, mapped.parent, lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(list(mapped.glob("*.part"))) == 1
    with cache.building(mapped):  # one that is being built is left alone
        cache.sweep(mapped)
        assert len(list(mapped.glob("*.part"))) == 1
    Image.new("RGB", (9, 9)).save(pictures / "cats" / "new.png")  # another key
    assert len(data.load(str(pictures), 8, root=mapped.parent)) == 13
    assert sorted(path.suffix for path in mapped.glob("[!.]*")) == [".json", ".npy", ".npy"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_two_that_want_the_same_images_decode_them_once(pictures, mapped, monkeypatch, capsys):
    ready, tell = os.pipe()
    child = builds_beside(pictures, mapped.parent, lambda: (os.write(tell, b"!"), time.sleep(0.5)))
    assert os.read(ready, 1) == b"!"
    monkeypatch.setattr(cache, "decode_all", lambda *_: pytest.fail("decoded twice"))
    assert len(data.load(str(pictures), 8, root=mapped.parent)) == 12
    assert "another process decodes" in capsys.readouterr().out
    os.waitpid(child, 0)


@pytest.mark.parametrize("damage", ["empty", "truncated", "header", "shape", "kept", "about"])
def test_a_damaged_cache_is_built_anew(pictures, mapped, damage, capsys):
    whole = data.load(str(pictures), 8, root=mapped.parent).images.clone()
    kept = next(mapped.glob("*.kept.npy"))
    pixels = kept.with_name(kept.name.replace(".kept", ""))
    if damage == "shape":
        np.save(pixels, np.zeros((12, 3, 9, 9), np.uint8))
    elif damage == "about":
        pixels.with_suffix(".json").write_text('{"folder": 3')
    elif damage == "kept":
        np.save(kept, np.array([0, 5, 3]))
    else:
        content = pixels.read_bytes()
        pixels.write_bytes({"empty": b"", "truncated": content[:-9], "header": b"x" * len(content)}[damage])
    assert torch.equal(data.load(str(pictures), 8, root=mapped.parent).images, whole)
    assert "is damaged; the images are decoded again" in capsys.readouterr().out
    assert torch.equal(data.load(str(pictures), 8, root=mapped.parent).images, whole)
    assert "damaged" not in capsys.readouterr().out


def test_an_image_that_links_to_itself_is_a_bad_file(pictures, mapped, capsys):
    loop = pictures / "cats" / "loop.png"
    loop.symlink_to(loop)
    with pytest.raises(UserError, match=r"cannot read .*loop\.png \(Too many levels of symbolic links\)"):
        data.load(str(pictures), 8, root=mapped.parent)
    assert len(data.load(str(pictures), 8, root=mapped.parent, skip_bad=True)) == 12
    assert "skipped 1 of 13" in capsys.readouterr().out


@pytest.mark.parametrize("length", [300, 5000])
def test_a_name_of_any_length_is_one_short_line(length):
    with pytest.raises(UserError, match="no folder and no data set named") as error:
        data.load("x" * length)
    assert len(str(error.value)) < 300
    with pytest.raises(UserError, match="no data is named"):
        data.load("")


def test_numbers_that_are_no_brightness_are_refused(tmp_path):
    values = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    values[3, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "x.tif")
    with pytest.raises(UserError, match="NaN"):
        folders.decode(tmp_path / "x.tif", 8)


def test_large_images_have_a_limit_that_small_decoding_lifts(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "LARGEST", 100 * 100)
    monkeypatch.setattr(decoding, "LARGE", 90 * 90)
    image = Image.new("RGB", (400, 400), (9, 99, 199))
    image.save(tmp_path / "x.png")
    image.save(tmp_path / "baseline.jpg")
    image.save(tmp_path / "progressive.jpg", progressive=True)
    assert folders.decode(tmp_path / "baseline.jpg", 32).shape == (3, 32, 32)
    for name in ("x.png", "progressive.jpg"):
        with pytest.raises(UserError, match="million pixels; at most"):
            folders.decode(tmp_path / name, 32)


def test_other_endings_are_counted(pictures, capsys):
    for name in ("a.mp4", "b.mp4", "c.txt", "LICENSE", "d.xyz", ".hidden.txt"):
        (pictures / name).write_bytes(b"")
    Image.new("RGB", (9, 9)).save(pictures / "cats" / "x.jfif", format="JPEG")
    assert len(data.load(str(pictures), 8)) == 13
    told = capsys.readouterr().out
    assert told.startswith("ignored 5 files: 2 .mp4, ")
    assert all(part in told for part in ("1 .txt", "1 .xyz", "1 without an ending")) and told.count("ignored") == 1


def test_phone_photographs_are_read_or_their_reader_named(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "x.png")
    if ".avif" in folders.ENDINGS:
        Image.new("RGB", (16, 16), (200, 100, 0)).save(tmp_path / "x.avif")
        assert abs(int(folders.decode(tmp_path / "x.avif", 8)[0].mean()) - 200) < 10
    if ".heic" in folders.ENDINGS:
        Image.new("RGB", (64, 64), (200, 100, 0)).save(tmp_path / "x.heic")
        assert abs(int(folders.decode(tmp_path / "x.heic", 8)[0].mean()) - 200) < 10
    else:
        (tmp_path / "x.heic").write_bytes(b"")
        (remark,) = folders.look_through(tmp_path).remarks()
        assert remark == "ignored 1 file: 1 .heic (to read them: pip install pillow-heif)"


@pytest.mark.parametrize(
    ("sides", "side"),
    [((500, 300, 200), 64), ((40, 40, 40), 40), ((20, 20, 20), 20), ((20, 20, 500), 32), ((20, 50, 500), 50)],
)
def test_images_are_stored_at_twice_the_size_as_far_as_they_go(tmp_path, sides, side):
    for number, length in enumerate(sides):
        Image.new("RGB", (length + 7, length)).save(tmp_path / f"{number}.png")
    assert data.load(str(tmp_path), 32).images.shape[-2:] == (side, side)
    assert data.load(str(tmp_path), 32, stored=16).images.shape[-2:] == (16, 16)
