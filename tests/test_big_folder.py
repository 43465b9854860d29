"""Ten times as many images load and train in the same memory, but for the names of the files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cdlearn.data.shapes import make_shapes

FEW, MANY, SIDE = 500, 5_000, 96  # the pixels of the many are 132 MiB

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
from cdlearn.data import cache
from cdlearn.config import Config
from cdlearn.data import load
from cdlearn.evaluate import embed
from cdlearn.trainer import Trainer

cache.IN_MEMORY = int(sys.argv[1])
torch.set_num_threads(1)  # little work: threads would only wait for one another when the machine is busy
seen = []
threading.Thread(target=watch, daemon=True).start()
told = []
for folder in sys.argv[3:]:
    seen.append(anonymous())
    config = Config.preset("smoke", data=folder, size=16, limit=None, batch_size=64, stored=96)
    images = load(config.data, config.size, root=sys.argv[2], stored=config.stored)
    trainer = Trainer(config, images.images)
    for _ in range(4):
        assert torch.isfinite(trainer.train_step())
    assert len(embed(trainer.model, images.images, config.size)["output"]) == len(images)
    total = sum(int(images.images[part].sum()) for part in trainer.order[1].split(512))  # the reads of an epoch, all
    told.append({"images": len(images), "classes": len(images.classes), "MiB": max(seen), "total": total})
    del images, trainer
print(json.dumps(told))
"""


@pytest.fixture
def place(tmp_path):
    """A folder that does not outlive the test: pytest would keep the last three."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells a process's anonymous memory")
    if shutil.disk_usage(tmp_path).free < 2**30:
        pytest.skip("less than 1 GiB of disk is free")
    yield tmp_path
    shutil.rmtree(tmp_path)


def linked(place, count):
    """A folder of ``count`` JPEGs in ten classes: hard links to sixteen of them."""
    for number, pixels in enumerate(make_shapes(16, 32).images):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(place / f"{number}.jpg")
    for number in range(10):
        (place / str(count) / f"class{number}").mkdir(parents=True)
    for number in range(count):
        os.link(place / f"{number % 16}.jpg", place / str(count) / f"class{number % 10}" / f"image-{number:06d}.jpg")
    return place / str(count)


def growth(place, folders, in_memory):
    """MiB that the many images took beyond the few, and what else the child told."""
    command = [sys.executable, "-c", CHILD, str(in_memory), place / f"data{in_memory}", *folders]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    few, many = json.loads(done.stdout.splitlines()[-1])
    assert (few["images"], many["images"]) == (FEW, MANY) and few["classes"] == many["classes"] == 10
    assert many["total"] == pytest.approx(MANY / FEW * few["total"], rel=0.02)
    return many["MiB"] - few["MiB"]


def test_memory_does_not_grow_with_the_folder(place):
    folders = [linked(place, FEW), linked(place, MANY)]
    assert growth(place, folders, 2**20) < 60  # 10 to 31 in seven runs: names, and what the allocator happens to hold
    assert growth(place, folders, 2**30) > 90  # so much it is where the pixels are kept in memory: the test can fail
