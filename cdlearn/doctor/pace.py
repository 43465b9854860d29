"""How long each preset takes on this machine: a few training steps, and arithmetic."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from cdlearn.config import Config
from cdlearn.data.shapes import SHAPES, make_shapes
from cdlearn.runtime.devices import pick_device
from cdlearn.trainer import Trainer

SLOW = 400.0  # views/s of the laptop preset below which the ResNets are not tried: a single step would take minutes


@dataclass(frozen=True)
class Probe:
    """A preset to try.

    name: of a preset. data: shapes, or a folder's usual settings. batch: images a step on a CPU; 0 takes the preset's
    own. seconds: to spend on the measured steps. runs: (what it is on, number of images) to reckon with.
    """

    name: str
    data: str
    batch: int
    seconds: float
    runs: tuple[tuple[str, int], ...]


PROBES = (
    Probe("smoke", "shapes", 0, 0.3, (("shapes", 512),)),
    Probe("laptop", "shapes", 0, 2.0, (("shapes", SHAPES),)),
    Probe("laptop", "a folder", 0, 1.0, (("any folder", 10_000),)),
    Probe("gpu", "a folder", 16, 1.5, (("60,000 images", 60_000),)),
    Probe("paper", "a folder", 8, 2.5, (("60,000 images", 60_000),)),
)


def steps_of(config: Config, images: int) -> int:
    """Training steps of a whole run over this many images."""
    return config.epochs_for(images) * (images // config.batch_size)


def run_seconds(config: Config, images: int, seconds_per_image: float) -> float:
    """Training time of a whole run. A step's time is taken to grow in proportion to its batch.

    On two cores that was true within 30% from a batch of 8 (ResNet-34, 224 px) or 16 (ResNet-18, 32 px) to 512.
    """
    return steps_of(config, images) * config.batch_size * seconds_per_image


def readable_time(seconds: float) -> str:
    """In the unit that a person would use: '41 s', '12 min', '5.5 h', '61 days'."""
    for unit, length, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48), ("days", 86400, float("inf"))):
        if seconds < most * length:
            count = seconds / length
            return f"{count:.1f} {unit}" if count < 10 else f"{count:.0f} {unit}"
    raise ValueError(f"{seconds} seconds")


def seconds_per_image(config: Config, spend: float) -> float:
    """The median time of a training step, divided by its batch; two views of each image are part of it.

    config: its batch_size is the number of images a step. spend: seconds for the steps that count; one step before
    them does not, as threads start and memory settles in it.
    """
    trainer = Trainer(config, make_shapes(config.batch_size, 32).images)
    float(trainer.train_step())
    times: list[float] = []
    while not times or sum(times) < spend:
        began = time.perf_counter()
        float(trainer.train_step())  # a number of its own: waits for a GPU to be done
        times.append(time.perf_counter() - began)
    return statistics.median(times) / config.batch_size


def estimates(measure=seconds_per_image, device: str = "") -> Iterator[tuple[bool, str]]:
    """For each probe whether it could be made, and a line about what it found.

    measure: as :func:`seconds_per_image`.
    """
    on = pick_device(device).type
    views = 0.0  # a second, of the laptop preset
    for probe in PROBES:
        config = Config.preset(probe.name, data=probe.data, device=device)
        batch = config.batch_size if on == "cuda" or not probe.batch else probe.batch
        if views and views < SLOW and probe.name in ("gpu", "paper"):
            yield False, f"{probe.name} preset: not tried, this machine is too slow for it; keep to laptop"
            continue
        try:
            each = measure(replace(config, batch_size=batch, compile=False, limit=None), probe.seconds)
        except torch.OutOfMemoryError:
            yield False, f"{probe.name} preset: its batch of {batch} does not fit in the device's memory"
            continue
        views = 2 / each if probe.name == "laptop" else views
        how = f"{2 / each:,.0f} views/s at {config.size} px"
        if batch != config.batch_size:
            how += f", estimated from a batch of {batch} instead of {config.batch_size}"
        if config.compile and on == "cuda":
            how += ", estimated without torch.compile, which makes it faster"
        for what, images in probe.runs:
            took = readable_time(run_seconds(config, images, each))
            yield True, f"{probe.name} preset on {what}: about {took} of training on the {on} ({how})"
