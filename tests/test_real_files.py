"""What real files do: deep and transparent images, odd metadata, pages, folders that systems make, labels, locks."""

import errno
import json
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from cdlearn import checkpoint, data, train
from cdlearn.data import cache, cache_files, fingerprints, folders, labels, listing, locking
from cdlearn.data.reading import Reading, reading_in
from cdlearn.doctor import rules
from cdlearn.runtime.errors import UserError

RAMP = np.linspace(0, 255, 32 * 32).reshape(32, 32)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png16(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits: (H, W, 3) colour, or (H, W, 2) grey with opacity."""
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    size, colour = pixels.shape[1::-1], {2: 4, 3: 2, 4: 6}[pixels.shape[2]]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 16, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def told(capsys, word: str) -> list[str]:
    """The printed lines that hold a word."""
    return [line for line in capsys.readouterr().out.splitlines() if word in line]


def dim(place, count: int = 3, low: float = 900, high: float = 1100, kind: str = "uint16"):
    """Grey TIFFs, each a ramp of its own between low and high."""
    place.mkdir(exist_ok=True)
    for i in range(count):
        top = high - (high - low) * i / (2 * count)
        tifffile.imwrite(place / f"{i}.tif", (low + RAMP / 255 * (top - low)).astype(kind))
    return place


def test_dim_twelve_bit_images_share_one_range(tmp_path, capsys):
    images = data.load(str(dim(tmp_path / "d")), 32, stored=32)
    assert images.reading == Reading(32, {"unsigned": (0.0, 4095.0)})
    first = images.images[0, 0].numpy().astype(int)
    assert (first.min(), first.max()) == (round(900 / 4095 * 255), round(1100 / 4095 * 255))
    lines = told(capsys, "bits")
    assert lines == ["3 images hold more than 8 bits (900 to 1,100): black is 0 and white 4,095 in every one"]


@pytest.mark.parametrize(
    ("largest", "white"), [(255, 255), (256, 1023), (1024, 4095), (4096, 16383), (16384, 65535), (70_000, 70_000)]
)
def test_white_is_the_largest_number_of_the_depth_in_use(tmp_path, largest, white):
    dim(tmp_path, high=largest, low=0, kind="uint16" if largest < 65536 else "uint32")
    assert data.load(str(tmp_path), 16).reading.ranges == {"unsigned": (0.0, white)}


@pytest.mark.parametrize("kind", ["int16", "int32", "float16", "float32", "float64", "int8"])
def test_signed_and_float_images_share_robust_percentiles(tmp_path, kind):
    low, high = (-100, 120) if kind == "int8" else (-1000, 1000)
    dim(tmp_path, 4, low, high, kind)
    spike = np.full((32, 32), low, kind)
    spike[0, 0] = np.iinfo(kind).max if kind.startswith("int") else 60_000
    tifffile.imwrite(tmp_path / "x.tif", spike)
    images = data.load(str(tmp_path), 32, stored=32)
    ((of, (black, white)),) = images.reading.ranges.items()
    assert of == ("signed" if kind.startswith("int") else "float")
    assert black == low and high * 0.7 < white < high * 1.1 and images.images[0].max() > 230
    # equal numbers are equal pixels, whatever else is in the image
    assert images.images[0, 0, 0, 0] == images.images[1, 0, 0, 0] == images.images[4, 0, 9, 9] == 0


def test_deep_colour_keeps_its_depth_in_every_format(tmp_path, capsys):
    colour = np.stack([900 + RAMP / 255 * 123, 950 + 0 * RAMP, 1023 - RAMP / 255 * 123], 2).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb")
    tifffile.imwrite(
        tmp_path / "b.tif", colour.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", compression="zlib"
    )
    (tmp_path / "c.png").write_bytes(png16(colour))
    (tmp_path / "d.ppm").write_bytes(b"P6\n# by hand\n32 32\n65535\n" + colour.astype(">u2").tobytes())
    (tmp_path / "e.ppm").write_bytes(b"P3 32 32 4095\n" + " ".join(map(str, colour.ravel())).encode())
    images = data.load(str(tmp_path), 32, stored=32)
    assert images.reading.ranges == {"unsigned": (0.0, 1023.0)} and len(told(capsys, "5 images hold")) == 1
    expected = (colour.transpose(2, 0, 1) * (255 / 1023)).round().astype(np.uint8)
    assert all(np.array_equal(image, expected) for image in images.images.numpy())


def test_opacity_is_not_scaled_with_the_folder_and_white_may_be_zero(tmp_path):
    grey = np.full((8, 8, 2), 1000, np.uint16)
    grey[..., 1] = 65535
    (tmp_path / "a.png").write_bytes(png16(grey))
    tifffile.imwrite(tmp_path / "b.tif", np.full((8, 8), 23, np.uint16), photometric="miniswhite")
    images = data.load(str(tmp_path), 8, stored=8).images
    assert images[0].unique().tolist() == [249] and images[1].unique().tolist() == [249]


def test_a_limit_or_other_files_do_not_change_the_range_and_a_run_keeps_it(tmp_path):
    folder = dim(tmp_path / "d", 6, 0, 3000)
    whole, some = data.load(str(folder), 16), data.load(str(folder), 16, limit=2, seed=1)
    assert whole.reading == some.reading
    dim(tmp_path / "bright", 2, 0, 60_000)
    later = data.load(str(tmp_path / "bright"), 16, reading=whole.reading)
    assert later.reading.ranges == {"unsigned": (0.0, 4095.0)} and later.images.max() == 255
    alone = folders.decode_files([folder / "5.tif"], whole.reading)
    assert torch.equal(alone[0], whole.images[5])


def test_a_run_writes_down_how_it_reads_and_one_image_alone_is_read_like_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = dim(tmp_path / "d", 8)
    Image.new("RGB", (9, 9), (9, 200, 9)).save(folder / "small.png")
    settings = "--preset smoke --size 16 --epochs 1 --batch-size 4 --out run"
    assert train.main(["--data", str(folder), *settings.split()]) == 0
    found = reading_in(tmp_path / "run" / "checkpoint.pt")
    assert found == reading_in(tmp_path / "run") == Reading(32, {"unsigned": (0.0, 4095.0)})
    _, config = checkpoint.load_model(tmp_path / "run")
    assert folders.reading_of(tmp_path / "run", config) == found
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    del described["reading"]  # as runs from before it was kept: found out from the folder
    (tmp_path / "run" / "config.json").write_text(json.dumps(described))
    assert folders.reading_of(tmp_path / "run", config) == found
    folder.rename(tmp_path / "gone")
    assert folders.reading_of(tmp_path / "run", config) == Reading(32)


@pytest.mark.parametrize("saved", [None, 3, {}, {"side": 0, "ranges": {}}, {"side": 8, "ranges": {"x": [0, 1]}}])
def test_a_damaged_reading_is_none(saved):
    assert Reading.from_dict(saved) is None
    assert Reading.from_dict(Reading(8, {"float": (0.5, 2.0)}).as_dict()) == Reading(8, {"float": (0.5, 2.0)})


def test_images_of_one_even_colour_are_counted(pictures, capsys):
    for i, colour in enumerate(("red", "black")):
        Image.new("RGB", (40, 30), colour).save(pictures / "cats" / f"x{i}.png")
    data.load(str(pictures), 16)
    assert told(capsys, "even") == ["2 of 14 images are of one even colour, such as cats/x0.png"]


def icon(colour, mode: str = "RGBA") -> Image.Image:
    """A square of a colour on a transparent ground."""
    made = Image.new("RGBA", (32, 32), (255, 255, 255, 0))
    made.paste((*colour, 255), (8, 8, 24, 24))
    return made if mode == "RGBA" else made.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
@pytest.mark.parametrize(("colour", "ground"), [((255,) * 3, 0), ((240,) * 3, 0), ((128,) * 3, 255), ((0,) * 3, 255)])
def test_transparent_ground_leaves_something_to_see(tmp_path, capsys, mode, colour, ground):
    path = tmp_path / ("x.tif" if mode == "PA" else "x.png")
    if mode == "P":  # the first colour of the palette is transparent
        made = Image.fromarray(np.pad(np.ones((16, 16), np.uint8), 8))
        made.putpalette([255, 255, 255, *colour])
        made.save(path, transparency=0)
    elif mode == "PA":
        icon(colour, "LA").save(tmp_path / "x.png")
        path = tmp_path / "x.png"
    else:
        icon(colour, mode).save(path)
    pixels = data.load(str(tmp_path), 32, stored=32).images[0]
    assert pixels[:, 2, 2].tolist() == [ground] * 3 and pixels[:, 16, 16].tolist() == list(colour)
    lines = told(capsys, "transparent")
    expected = "1 image is nearly white on a transparent ground, which is made black; other such grounds are white"
    assert lines == ([expected] if ground == 0 else [])


def test_an_opaque_white_image_stays_white(tmp_path):
    Image.new("RGBA", (9, 9), (255, 255, 255, 255)).save(tmp_path / "x.png")
    assert (folders.decode(tmp_path / "x.png", 8) == 255).all()


def with_chunks(*chunks: bytes, after: bool = False) -> bytes:
    """A PNG of a ramp with more chunks before or after the pixels."""
    raw = b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in RAMP)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0))
    parts = [chunk(b"IDAT", zlib.compress(raw)), *chunks] if after else [*chunks, chunk(b"IDAT", zlib.compress(raw))]
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(parts) + chunk(b"IEND", b"")


LONG = zlib.compress(b"x" * 2_000_000)
ODD_PNG = {
    "compressed text": chunk(b"zTXt", b"Comment\0\0" + LONG),
    "international text": chunk(b"iTXt", b"Comment\0\1\0\0\0" + LONG),
    "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
    "many texts": b"".join(chunk(b"tEXt", b"Comment\0" + b"y" * 900_000) for _ in range(80)),
    "profile": chunk(b"iCCP", b"x\0\0" + LONG),
    "broken profile": chunk(b"iCCP", b"x\0\0not compressed"),
    "broken EXIF": chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
    "checksum": chunk(b"tEXt", b"Comment\0hello")[:-1] + b"?",
    "physical": chunk(b"pHYs", b"\1"),
    "unknown": chunk(b"abCd", b"\xff" * 9),
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", ODD_PNG)
def test_metadata_of_a_png_do_not_decide_whether_it_is_read(tmp_path, name, after):
    (tmp_path / "x.png").write_bytes(with_chunks(ODD_PNG[name], after=after))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module=r"PIL\.")
        assert np.array_equal(folders.decode(tmp_path / "x.png", 32)[0], RAMP.astype(np.uint8))


def test_a_png_that_ends_within_trailing_metadata_is_read_and_one_without_pixels_refused(tmp_path):
    whole = with_chunks(chunk(b"tEXt", b"Comment\0" + b"y" * 1000), after=True)
    (tmp_path / "x.png").write_bytes(whole[:-500])
    assert np.array_equal(folders.decode(tmp_path / "x.png", 32)[0], RAMP.astype(np.uint8))
    (tmp_path / "x.png").write_bytes(with_chunks(ODD_PNG["compressed text"])[:-200])
    with pytest.raises(UserError, match=r"cannot read .*x\.png"):
        folders.decode(tmp_path / "x.png", 32)


@pytest.mark.parametrize(
    "segment", [b"\xe1Exif\0\0MM\0*\xff\xff\xff\xff", b"\xe2MPF\0MM\0*\0\0\0\x08\0\1\xb0\2", b"\xed" + b"8BIM" * 9]
)
@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_metadata_of_other_formats_neither(tmp_path, segment, ending):
    ramp = Image.fromarray(RAMP.astype(np.uint8)).convert("RGB")
    path = tmp_path / f"x.{ending}"
    if ending == "webp":
        ramp.save(path, exif=segment[1:], xmp=b"<" * 100_000, icc_profile=b"not a profile")
    else:
        ramp.save(path)
        content = path.read_bytes()
        size = struct.pack(">H", len(segment) + 1)
        path.write_bytes(content[:2] + b"\xff" + segment[:1] + size + segment[1:] + content[2:])
    assert abs(folders.decode(path, 32)[0].astype(int) - RAMP).mean() < 4
    code = f"from cdlearn.data import folders; folders.decode(folders.Path({str(path)!r}), 32)"
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("PIL")) == (0, 0), done.stderr


@pytest.mark.parametrize("ending", ["tif", "gif", "png", "webp"])
def test_pages_beyond_the_first_are_counted(tmp_path, capsys, ending):
    frames = [Image.fromarray((RAMP * (1 - i / 9)).astype(np.uint8)) for i in range(5)]
    for i in range(3):
        frames[0].save(tmp_path / f"{i}.{ending}", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(tmp_path / f"one.{ending}", lossless=True)
    images = data.load(str(tmp_path), 32, stored=32).images
    assert told(capsys, "pages") == ["3 files hold several pages; the first of each is used (3 of 15)"]
    assert (images[0].int() - images[3].int()).abs().max() < 3


def test_folders_that_systems_make_are_left_out_and_counted(pictures, capsys):
    made = ["@eaDir/00.png/SYNO.png", "#recycle/a.png", "__MACOSX/cats/x.png", "$RECYCLE.BIN/a.png", "lost+found/a.png"]
    made += ["System Volume Information/a.png", ".thumbnails/a.png", ".git/a.png", ".Trash-1000/files/a.png"]
    made += ["cats/Thumbs/01.png", "cats/.picasaoriginals/00.png", "dogs/.ipynb_checkpoints/a-checkpoint.png"]
    for name in made:
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(pictures / name)
    (pictures / "cats" / "._00.png").write_bytes(b"\0\5\x16\7")
    images = data.load(str(pictures), 16)
    assert len(images) == 12 and images.classes == ("cats", "dogs")
    system, hidden = told(capsys, "left out")
    assert "@eaDir (1, with 1 image)" in system and "Thumbs (1, with 1 image)" in system and "$RECYCLE.BIN" in system
    assert hidden == "left out what is hidden: folders (5, with 5 images), 1 image file"


def test_a_class_called_thumbs_stays(tmp_path):
    for name in ("thumbs", "fists"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (9, 9)).save(tmp_path / name / f"{name}.png")
    assert data.load(str(tmp_path), 8).classes == ("fists", "thumbs")


LAYOUTS = {
    "a/1 b/1 c/1": (("a", "b", "c"), "labels: 3 classes (a, b, c), from the first level of sub-folders"),
    "train/a/1 train/b/1 test/a/1": (
        ("a", "b"),
        "from the second level of sub-folders (test and train are taken together as splits; for one of them alone "
        "pass --data F/test)",
    ),
    "Training/a/1 Validation/b/1": (("a", "b"), "second level"),
    "seg_train/seg_train/a/1 seg_test/seg_test/b/1": (("a", "b"), "third level"),
    "train2017/a/1 val2017/b/1": (("a", "b"), "second level"),
    "w/a/1 w/b/1": (("a", "b"), "from the second level of sub-folders (all lie in w)"),
    "w/train/a/1 w/test/b/1": (("a", "b"), "pass --data F/w/test"),
    "train/a/1 train/b/1": (("a", "b"), "all lie in train"),
    "a/x/1 b/y/1": (("a", "b"), "first level"),
    "train/1 plane/1": (("plane", "train"), "train may be a split"),
    "freight_train/1 passenger_train/1": (("freight_train", "passenger_train"), "first level"),
    "1 2": ((), "labels: none, because no sub-folders sort the images"),
    "a/1 a/2": ((), "labels: none, because all images lie in one sub-folder, a"),
    "train/1 test/2": ((), "labels: none, because test and train are splits, with no folders of classes in them"),
    "a/1 b/1 cover": (
        (),
        "labels: none, because 1 of 3 images lie beside the sub-folders (a and b), such as cover; to",
    ),
    "train/a/1 train/b/1 test/2": (
        (),
        "labels: none, because 1 of 3 images lie beside the sub-folders (a and b), such as test/2",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_come_from_the_right_level_and_a_line_says_so(layout):
    home = folders.Path("F")
    found = labels.labelled(sorted(home / name for name in layout.split()), home)
    classes, line = LAYOUTS[layout]
    assert found.classes == classes and line in found.line
    assert (found.labels is None) == (not classes)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.EIO])
def test_a_file_system_without_locks_is_said_and_not_waited_for(pictures, tmp_path, monkeypatch, capsys, code):
    fcntl = pytest.importorskip("fcntl")

    def flock(*_):
        raise OSError(code, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(cache, "IN_MEMORY", 0)
    abandoned = tmp_path / "decoded" / "x.part"
    abandoned.mkdir(parents=True)
    assert len(data.load(str(pictures), 8, root=tmp_path)) == 12
    assert len(told(capsys, "without locks")) == 1 and abandoned.exists()
    assert len(data.load(str(pictures), 8, root=tmp_path)) == 12 and not told(capsys, "without locks")
    monkeypatch.setattr(cache, "ABANDONED", -1)
    cache.sweep(tmp_path / "decoded")
    assert not abandoned.exists()


def test_a_lock_that_fails_inside_filelock_is_done_without(tmp_path, monkeypatch):
    def acquire(*_, **__):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(locking.FileLock, "acquire", acquire)
    with locking.locked(tmp_path / ".lock", "waiting") as held:
        assert held is False


def test_caches_of_a_folder_that_changed_are_removed_and_the_doctor_knows_the_rest(
    pictures, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(cache, "IN_MEMORY", 0)
    root = tmp_path / "data"
    monkeypatch.setattr(rules, "DATA", root)
    other = dim(tmp_path / "other")
    data.load(str(other), 8, root=root)
    data.load(str(pictures), 8, root=root)
    data.load(str(pictures), 16, root=root, limit=3)
    assert len(cache_files.caches(root / "decoded")) == 3 and not told(capsys, "removed")
    for i in range(3):
        Image.new("RGB", (9, 9)).save(pictures / "cats" / f"new{i}.png")
        data.load(str(pictures), 8, root=root)
        assert len(cache_files.caches(root / "decoded")) == 2
    assert told(capsys, "removed")[0].startswith(f"removed 2 older caches of {pictures}")
    (root / "decoded" / "0123.npy").write_bytes(b"older")
    findings = [finding for finding in rules.data() if "decoded images" in finding[1]]
    assert findings[0][0] == "note" and "3 caches" in findings[0][1] and "0123.*" in findings[0][2]


@pytest.mark.parametrize(
    "ending", ["pnm", "pbm", "jpe", "tga", "dib", "ico", "pcx", "qoi", "sgi", "jp2", "j2k", "jpx", "jif"]
)
def test_more_endings_are_read(tmp_path, ending):
    if f".{ending}" not in folders.ENDINGS:
        pytest.skip("not in this Pillow")
    kind = {"pnm": "PPM", "pbm": "PPM", "jif": "JPEG", "jpx": "JPEG2000"}.get(ending)
    image = Image.fromarray(RAMP.astype(np.uint8)).convert("1" if ending == "pbm" else "RGB")
    image.save(tmp_path / f"x.{ending}", **({"format": kind} if kind else {}))
    pixels = data.load(str(tmp_path), 32, stored=32).images[0].float()
    assert pixels[:, 0].mean() < 30 and pixels[:, -1].mean() > 225


def test_other_images_are_named_with_what_would_let_them_be_read(tmp_path):
    for name in ("a.nef", "b.svg", "c.npy", "d.zip", "e.jxl", "f.dcm"):
        (tmp_path / name).write_bytes(b"")
    (line,) = listing.look_through(tmp_path).remarks()
    for part in ("convert .dcm .nef .svg to PNG or TIFF", "save the images in .npy as PNG", "unpack .zip"):
        assert part in line
    assert ".jxl" in folders.ENDINGS or "pip install pillow-jxl-plugin" in line


def test_a_fingerprint_is_of_every_pixel_and_older_ones_are_known():
    images = torch.randint(0, 256, (3000, 3, 8, 8), dtype=torch.uint8)
    whole = fingerprints.fingerprint(images)
    older = [3000, zlib.crc32(images[::11].numpy().tobytes())]
    assert fingerprints.is_of(whole, images) and fingerprints.is_of(older, images)
    images[1501, 2, 7, 7] ^= 1
    assert not fingerprints.is_of(whole, images)
    assert not any(fingerprints.is_of(bad, images) for bad in (None, [], [3000], [3000, 1], "x"))


def test_a_run_goes_on_with_a_folder_that_moved(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = "--preset smoke --size 8 --epochs 2 --batch-size 4 --out run"
    assert train.main(["--data", str(pictures), *settings.split()]) == 0
    moved = pictures.rename(tmp_path / "moved")
    capsys.readouterr()
    assert train.main(["--resume", "run"]) == 2
    assert "there is no such folder now; pass --data FOLDER" in capsys.readouterr().err
    assert train.main(["--resume", "run", "--data", str(moved)]) == 0
    assert len(told(capsys, f"going on with the same images in {moved}")) == 1
    assert train.main(["--resume", "run"]) == 0  # it knows the new place from now on
    Image.new("RGB", (20, 20)).save(moved / "cats" / "00.png")
    moved = moved.rename(tmp_path / "changed")
    before = (tmp_path / "run" / "config.json").read_text()
    assert train.main(["--resume", "run", "--data", str(moved)]) == 2
    assert "the images differ" in capsys.readouterr().err
    assert (tmp_path / "run" / "config.json").read_text() == before
