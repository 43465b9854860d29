"""200,000 small images train in the memory that 20,000 need, but for the names of the files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cdlearn.data.shapes import make_shapes

# Anonymous memory is what a process has for itself. Pages of the mapped file are not part of it: the system drops them
# when it needs the room. A thread looks every 5 ms, because a peak is not to be seen afterwards.
CHILD = """
import json, re, sys, threading, time

def anonymous():
    with open("/proc/self/status") as file:
        return int(re.search(r"RssAnon:\\s+(\\d+)", file.read())[1]) / 1024

def watch():
    while True:
        seen.append(anonymous())
        time.sleep(0.005)

import torch
from cdlearn.data import folders
from cdlearn.config import Config
from cdlearn.data import load
from cdlearn.trainer import Trainer

folders.IN_MEMORY = 2**20
torch.set_num_threads(1)  # little work: threads would only wait for one another when the machine is busy
config = Config.preset("smoke", data=sys.argv[1], size=32, limit=None, batch_size=64)
seen, began = [anonymous()], time.monotonic()
threading.Thread(target=watch, daemon=True).start()
images = load(config.data, config.size, root=sys.argv[2])
loaded = time.monotonic() - began
trainer = Trainer(config, images.images)
for _ in range(8):
    assert torch.isfinite(trainer.train_step())
total = sum(int(images.images[part].sum()) for part in trainer.order[1].split(512))  # all reads of an epoch
print(json.dumps({"images": len(images), "classes": len(images.classes), "MiB": max(seen) - seen[0], "total": total,
                  "load s": loaded, "all s": time.monotonic() - began}))
"""


@pytest.fixture
def place(tmp_path):
    """A folder that does not outlive the test: pytest would keep the last three."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells a process's anonymous memory")
    if shutil.disk_usage(tmp_path).free < 3 * 2**30:
        pytest.skip("less than 3 GiB of disk are free")
    yield tmp_path
    shutil.rmtree(tmp_path)


def linked(place, count):
    """A folder of ``count`` JPEGs in ten classes: links to sixteen of them (some 65,000 to each are allowed)."""
    for number, pixels in enumerate(make_shapes(16, 32).images):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(place / f"{number}.jpg")
    for number in range(10):
        (place / str(count) / f"class{number}").mkdir(parents=True)
    for number in range(count):
        os.link(place / f"{number % 16}.jpg", place / str(count) / f"class{number % 10}" / f"image-{number:06d}.jpg")
    return place / str(count)


def test_memory_does_not_grow_with_the_folder(place):
    used = {}
    for count in (20_000, 200_000):
        command = [sys.executable, "-c", CHILD, linked(place, count), place / "data"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        told = used[count] = json.loads(done.stdout)
        print(told)
        assert told["images"] == count and told["classes"] == 10
    assert used[200_000]["total"] == pytest.approx(10 * used[20_000]["total"], rel=0.01)
    # the pixels are 586 MiB of which none may count; names, labels and the order of the images are some 400 bytes each
    assert used[200_000]["MiB"] - used[20_000]["MiB"] < 120
