"""How long each preset takes on this machine: a few training steps, and arithmetic."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from cdlearn.config import Config
from cdlearn.data.patches import PATCHES
from cdlearn.data.shapes import make_shapes
from cdlearn.runtime.devices import pick_device
from cdlearn.trainer import Trainer

SLOW = 400.0  # views/s of the laptop preset below which the ResNets are not tried: a single step would take minutes
PROBES = (  # preset, data, images of the whole run, batch on a CPU (0: the preset's own), seconds to measure for
    ("smoke", "patches", 512, 0, 0.3),
    ("laptop", "patches", PATCHES, 0, 2.0),
    ("laptop", "any folder", 10_000, 0, 1.0),
    ("gpu", "60,000 images", 60_000, 16, 1.5),
    ("paper", "60,000 images", 60_000, 8, 2.5),
)
UNITS = ((90, 1, "s"), (5400, 60, "min"), (48 * 3600, 3600, "h"), (float("inf"), 86400, "days"))


def readable_time(seconds: float) -> str:
    """In the unit that a person would use: '41 s', '12 min', '5.5 h', '61 days'."""
    length, unit = next(rest for below, *rest in UNITS if seconds < below)
    return f"{seconds / length:.{int(seconds < 10 * length)}f} {unit}"


def seconds_per_image(config: Config, spend: float) -> float:
    """The median time of a training step, divided by its batch: steps for ``spend`` seconds, after one to warm up."""
    trainer, times = Trainer(config, make_shapes(config.batch_size, 32).images), []
    trainer.prepare()
    while len(times) < 2 or sum(times[1:]) < spend:
        began = time.perf_counter()
        float(trainer.train_step())  # the number itself: it waits for a GPU to be done
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:]) / config.batch_size


def estimates(measure=seconds_per_image, device: str = "") -> Iterator[tuple]:
    """A finding for each probe. measure: as seconds_per_image."""
    on, views, fix = pick_device(device).type, SLOW, "a smaller --batch-size, or the laptop preset"
    for name, data, images, small, spend in PROBES:
        config = Config.preset(name, data=data, device=device)
        batch = config.batch_size if on == "cuda" or not small else small
        if views < SLOW and small:
            yield "note", f"{name} preset: not tried, this machine is too slow for it", "keep to laptop"
            continue
        try:
            each = measure(replace(config, batch_size=batch, compile=False, limit=None), spend)
        except torch.OutOfMemoryError:
            yield "note", f"{name} preset: its batch of {batch} does not fit in the device's memory", fix
            continue
        views = 2 / each if name == "laptop" else views
        how = f"{2 / each:,.0f} views/s at {config.size} px"
        how += f", estimated from a batch of {batch} instead of {config.batch_size}" * (batch != config.batch_size)
        how += ", estimated without torch.compile, which makes it faster" * (config.compile and on == "cuda")
        # A step is taken to grow in proportion to its batch: true within 30% from these small batches to 512, two cores
        took = readable_time(config.epochs_for(images) * (images // config.batch_size) * config.batch_size * each)
        yield "ok", f"{name} preset on {data}: about {took} of training on the {on} ({how})"
    yield "ok", "the closing table and its figures come on top of these times"
