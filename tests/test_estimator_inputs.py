"""Whatever holds paths or images gives the same features, or one line that says what is wrong with it."""

import io
import os
import warnings
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset
from untrained import run_on, save_shapes

import cdlearn
from cdlearn.data import ImageSet
from cdlearn.data.inputs import BLOCK
from cdlearn.runtime.errors import UserError


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return cdlearn.load(run_on("shapes", tmp_path_factory.mktemp("run"), stored=16))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return save_shapes(tmp_path_factory.mktemp("files"), 7)


@pytest.fixture(scope="module")
def expected(encoder, files):
    return encoder.transform(files)


class Frames(torch.utils.data.Dataset):
    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, number):
        return Image.open(self.files[number]), number % 3


HOLDERS = {
    "list of Path": list,
    "list of str": lambda files: list(map(str, files)),
    "tuple": tuple,
    "deque": deque,
    "generator": lambda files: (path for path in files),
    "map": lambda files: map(str, files),
    "array of str": lambda files: np.array(list(map(str, files))),
    "array of Path": lambda files: np.array(files, dtype=object),
    "array of bytes": lambda files: np.array([os.fsencode(path) for path in files]),
    "column of an array": lambda files: np.array(list(map(str, files)))[:, None],
    "Series": lambda files: pd.Series(list(map(str, files)), index=range(50, 57)),
    "Series of Path": lambda files: pd.Series(files),
    "Index": lambda files: pd.Index(list(map(str, files))),
    "DataFrame of one column": lambda files: pd.DataFrame({"file": list(map(str, files))}),
    "dict's values": lambda files: dict(enumerate(files)).values(),
    "folder": lambda files: files[0].parent,
    "folder as str": lambda files: str(files[0].parent),
    "PIL images": lambda files: [Image.open(path) for path in files],
    "array of PIL images": lambda files: np.array([*map(Image.open, files), None], dtype=object)[:-1],
    "contents": lambda files: [path.read_bytes() for path in files],
    "bytearrays": lambda files: [bytearray(path.read_bytes()) for path in files],
    "BytesIO": lambda files: [io.BytesIO(path.read_bytes()) for path in files],
    "open files": lambda files: [path.open("rb") for path in files],
    "pairs with labels": lambda files: [(path, number) for number, path in enumerate(files)],
    "pairs with words": lambda files: [(Image.open(path), "word") for path in files],
    "Dataset": Frames,
    "DataLoader of paths": lambda files: DataLoader(list(map(str, files)), batch_size=3),
    "mixture": lambda files: [files[0], str(files[1]), Image.open(files[2]), files[3].read_bytes(), *files[4:]],
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_whatever_holds_files(encoder, files, expected, holder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # who opened files closes them
        assert np.allclose(encoder.transform(HOLDERS[holder](files)), expected, atol=1e-5)


def test_one_file_is_one_row_and_no_file_depends_on_the_others(encoder, files, expected, tmp_path):
    for one in (files[2], str(files[2]), files[2].read_bytes(), Image.open(files[2]), [files[2]]):
        assert np.allclose(encoder.transform(one), expected[2:3], atol=1e-5)
    Image.new("RGB", (900, 500), "green").save(tmp_path / "large.png")
    assert np.allclose(encoder.transform([files[2], tmp_path / "large.png"])[0], expected[2], atol=1e-5)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr", "HSV", "I;16", "F"])
def test_a_pil_image_of_any_mode_is_read_like_its_file(encoder, tmp_path, mode):
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60), dtype=np.uint8))
    image = grey.convert("I").convert(mode) if mode in ("I;16", "F") else grey.convert("RGB").convert(mode)
    path = tmp_path / "saved.tif"
    (image if mode not in ("HSV", "LA") else image.convert("RGB")).save(path)
    assert np.allclose(encoder.transform([image]), encoder.transform([path]), atol=2e-2)


def test_a_camera_held_sideways(encoder, tmp_path):
    turned, wide = Image.Exif(), np.zeros((20, 40, 3), np.uint8)
    turned[0x0112], wide[:, 20:] = 6, 255
    Image.fromarray(wide).save(tmp_path / "turned.png", exif=turned)
    assert np.allclose(
        encoder.transform(Image.open(tmp_path / "turned.png")), encoder.transform(tmp_path / "turned.png"), atol=1e-5
    )


PIXELS = torch.randint(0, 256, (5, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LAST = PIXELS.permute(0, 2, 3, 1).numpy()
ARRAYS = {
    "torch": PIXELS,
    "numpy": PIXELS.numpy(),
    "channels last": LAST,
    "ImageSet": ImageSet(PIXELS),
    "not contiguous": np.flip(np.flip(LAST, 2), 2),
    "not writable": np.broadcast_to(LAST, LAST.shape),
    "int64": LAST.astype(np.int64),
    "uint16": LAST.astype(np.uint16),
    "other byte order": LAST.astype(">i4"),
    "floats": LAST / 255,
    "half": PIXELS.float() / 255,
    "long double": (LAST / 255).astype(np.longdouble),
    "with gradient": (PIXELS.float() / 255).requires_grad_(),
    "list of arrays": list(LAST),
    "list of tensors": list(PIXELS),
    "generator of tensors": (one for one in PIXELS),
    "list of lists of tensors": [list(PIXELS[:2]), list(PIXELS[2:])],
    "batches": [PIXELS[:2], PIXELS[2:]],
    "pairs": [(one, 1) for one in PIXELS],
    "Dataset": TensorDataset(PIXELS, torch.arange(5)),
    "DataLoader": DataLoader(TensorDataset(PIXELS, torch.arange(5)), batch_size=2),
    "DataLoader of floats": DataLoader(PIXELS / 255, batch_size=2),
    "object array": np.array([*LAST, None], dtype=object)[:-1],
}


@pytest.mark.parametrize("name", ARRAYS)
def test_whatever_holds_pixels(encoder, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.allclose(encoder.transform(ARRAYS[name]), encoder.transform(PIXELS), atol=1e-5)


def test_images_of_many_sizes_grey_ones_and_single_ones(encoder):
    mixed = [torch.full((3, 16 + n, 16), 40 * n, dtype=torch.uint8) for n in range(4)]
    alone = np.concatenate([encoder.transform(one) for one in mixed])
    assert np.allclose(encoder.transform(mixed), alone, atol=1e-5)
    grey = PIXELS[:, :1]
    same = encoder.transform(grey.expand(-1, 3, -1, -1))
    for given in (grey, grey[:, 0], grey.permute(0, 2, 3, 1), list(grey[:, 0]), list(grey)):
        assert np.allclose(encoder.transform(given), same, atol=1e-5)


def test_a_long_generator_is_read_a_block_at_a_time(encoder):
    alive, most = [0], [0]

    def made():
        for number in range(3 * BLOCK):
            most[0] = max(most[0], number - alive[0])
            yield PIXELS[number % 5]

    forward = encoder.model()[0].represent

    def counted(x):
        alive[0] += len(x)
        return forward(x)

    encoder.model()[0].represent = counted
    assert len(encoder.transform(made())) == 3 * BLOCK and most[0] <= BLOCK + 1
    del encoder.model()[0].represent


WRONG = {
    "None": (None, "this is None, not an image"),
    "a number": (3, "this is 3, not an image"),
    "no images": ([], "there are no images in this list"),
    "an empty array": (np.zeros((0, 3, 8, 8), np.uint8), "there are no images"),
    "an empty Series": (pd.Series([], dtype=str), "there are no images in this Series"),
    "a dict": ({"a.png": 1}, "this is a dict, not an image"),
    "a set": ({"a.png"}, "this is a set, not an image"),
    "a missing file": (["gone.png"], r"cannot read gone\.png \(No such file"),
    "a missing name": ("gone", "no folder and no data set named 'gone'"),
    "a gap": (["{file}", None], "image 1 is None"),
    "a gap of pandas": (pd.Series(["{file}", float("nan")], dtype=object), "image 1 is nan"),
    "numbers": ([1, 2], "image 0 is 1"),
    "numpy numbers": (np.arange(4), r"pixels: got torch.int64 \(4,\)"),
    "features": (np.zeros((4, 7)), r"\(4, 7\)"),
    "four channels": (np.zeros((2, 8, 8, 4), np.uint8), "lay transparent images on a ground first"),
    "floats to 255": (255 * np.ones((2, 8, 8, 3)), "float64 go from 255 to 255; they should be from 0 to 1, or uint8"),
    "normalised floats": (torch.tensor([-1.0, 1]).expand(1, 3, 4, 2), "go from -1 to 1"),
    "NaN": (torch.full((1, 3, 4, 4), float("nan")), "go from nan to nan"),
    "16 bits": (np.full((1, 4, 4, 3), 900, np.uint16), "go from 900 to 900; they should be from 0 to 255"),
    "complex": (torch.zeros(1, 3, 4, 4, dtype=torch.complex64), "complex64"),
    "dates": (np.array(["2020-01-01"], dtype="datetime64[D]"), "a ndarray, not an image"),
    "two columns": (pd.DataFrame({"a": ["x"], "b": ["y"]}), r"shape \(1, 2\); pass the one column"),
    "no image": ([b"not an image"], "cannot read image 0"),
    "text mode": ([io.StringIO("x")], "image 0 was opened as text"),
    "a folder in a list": (["{folder}"], "not a file"),
    "an odd one among arrays": ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 5), np.uint8)], r"image 1: got"),
    "too deep": ([[[["a.png"]]]], "not an image"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_holds_no_images_is_one_line(encoder, files, name):
    given, line = WRONG[name]
    if isinstance(given, (list, pd.Series)):
        put = {"{file}": files[0], "{folder}": files[0].parent}
        given = type(given)([put.get(item, item) if isinstance(item, str) else item for item in given])
    with pytest.raises(UserError, match=line) as caught:
        encoder.transform(given)
    assert "\n" not in str(caught.value)


def test_home_is_expanded(encoder, files, monkeypatch):
    monkeypatch.setenv("HOME", str(files[0].parent))
    assert np.allclose(encoder.transform([f"~/{files[0].name}"]), encoder.transform(files[:1]))
    assert len(encoder.transform(Path("~"))) == len(files)
