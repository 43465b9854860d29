"""For the tests of what is done with a finished run: runs that cost nothing, and folders as people have them."""

import os
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cdlearn import checkpoint
from cdlearn.config import Config
from cdlearn.data import make_shapes
from cdlearn.trainer import Trainer


def run_on(data: str, out: Path, **settings) -> Path:
    """The folder of a run that was saved before its first step."""
    config = Config.preset("smoke", data=data, **(dict(size=16, limit=None, batch_size=2) | settings))
    out.mkdir(parents=True, exist_ok=True)
    images = torch.zeros(config.batch_size, 3, 16, 16, dtype=torch.uint8)
    checkpoint.save(out / "checkpoint.pt", Trainer(config, images).state())
    return out


def save_shapes(folder: Path, count: int, ending: str = ".png", seed: int = 0) -> list[Path]:
    """``count`` swatches of 40 px as files of ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, pixels in enumerate(make_shapes(count, 40, seed).images):
        files.append(folder / f"{number:03d}{ending}")
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(files[-1])
    return files


def odd_folder(folder: Path) -> Path:
    """Everything that a folder of one's own may hold: 24 images that can be read among 36 files."""
    files = save_shapes(folder, 16)
    (folder / "a folder, with spaces").mkdir()
    os.replace(files[0], folder / "a folder, with spaces" / "two words.png")
    os.replace(files[1], folder / "Zürich 日本 ☃.png")
    os.replace(files[2], folder / "<script>alert(1)<")
    os.replace(folder / "<script>alert(1)<", folder / "<script>alert(1)<.png")
    shutil.copy(files[3], folder / "equal.png")  # the same bytes
    Image.open(files[4]).convert("RGB").save(folder / "saved again.jpg", quality=90)  # nearly the same picture
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held sideways
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[:, 20:] = 255
    Image.fromarray(wide).save(folder / "turned.jpg", exif=turned, quality=95)
    save_shapes(folder / "deeper" / "still", 5, ".JPEG", seed=1)
    (folder / "cut.png").write_bytes(files[5].read_bytes()[:300])
    (folder / "text.jpg").write_text("not an image")
    os.symlink(folder / "nowhere.png", folder / "dangling.png")
    os.symlink(files[6], folder / "a link.png")  # sorts before the file that it leads to
    os.symlink(folder, folder / "deeper" / "round")
    (folder / "film.mp4").write_bytes(b"\0" * 10)
    (folder / "more.MP4").write_bytes(b"\0" * 10)
    (folder / "notes.txt").write_text("hello")
    (folder / "README").write_text("hello")
    for name in (".hidden.png", ".DS_Store"):
        (folder / name).write_bytes(files[7].read_bytes())
    save_shapes(folder / ".thumbnails", 2)
    return folder
