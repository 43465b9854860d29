"""How many epochs a run may take, so that every row of a table trains for the same time."""

import json
import time
from dataclasses import replace
from pathlib import Path

import torch

from cdlearn import checkpoint
from cdlearn.config import Config
from cdlearn.data import ImageSet
from cdlearn.runtime import rng
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import UserError
from cdlearn.trainer import fit

LENGTH = {"seed": 0, "epochs": 0, "views": 0}  # settings that do not affect the pace
FIRST_SETTINGS = (  # of version 0.1.0
    "preset_name data size stored limit seed method backbone stem width dim hidden heads clusters alpha "
    "instance_temperature feature_temperature heads_similarity entropy_of head_batch_norm target_momentum "
    "per_view_batch_norm recipe crop brightness contrast saturation hue jitter gray blur both_views epochs views "
    "batch_size lr warmup cosine epoch_schedule clip weight_decay device amp compile kmeans_seeds"
)
TRIAL_IMAGES, TRIAL_EPOCHS = 1024, 8  # of a trial: enough epochs for every phase that a method has
FAR = 0.15  # fraction of the requested time by which a run may miss it


def clock(config: Config) -> float:
    """Seconds that count: of the processor, so that other programs take nothing away; beside a GPU, of the wall."""
    return time.process_time() if pick_device(config.device).type == "cpu" else time.monotonic()


def epochs_for_seconds(config: Config, images: ImageSet, seconds: float, home: Path) -> int:
    """The number of epochs over ``images`` that take about ``seconds`` of training, at least 1.

    It follows from a short trial on some of the images. ``home`` keeps what the trial found, so that a later call,
    which takes up the runs of this one, asks for the same number of epochs.

    Raises:
        UserError: if an earlier trial's file is damaged.
    """
    kept = pace_file(config, images, home)
    try:
        spent = float(json.loads(kept.read_text())["seconds an epoch"])
    except FileNotFoundError:
        spent = measured_pace(config, images)
        keep_pace(kept, spent)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{kept} is damaged ({error}); remove it to time the method again") from error
    return max(1, round(seconds / spent))


def corrected(config: Config, images: ImageSet, seconds: float, home: Path, epochs: int, spent: float | None) -> int:
    """The same after a run of ``epochs`` that took ``spent`` seconds, if that is known: others if it was far off.

    A trial can mislead: phases cost more on all images, and other programs spoil the caches.
    """
    if spent and abs(spent - seconds) > FAR * seconds:
        keep_pace(pace_file(config, images, home), spent / epochs)
        epochs = max(1, round(seconds * epochs / spent))
    return epochs


def pace_file(config: Config, images: ImageSet, home: Path) -> Path:
    """Where the pace of a method with these settings is kept, for every seed and every length."""
    differ = {name: value for name, value in config.differences().items() if name not in LENGTH}
    for digest in older_digests(config):  # another pace would ask for other epochs, and so train every row anew
        if (older := home / f"pace-{config.method}-{len(images)}-{digest}.json").exists():
            return older
    return home / f"pace-{config.method}-{len(images)}-{checkpoint.digest(differ)}.json"


def older_digests(config: Config) -> list[str]:
    """How versions up to 0.1.0 named these settings: by all of them, the defaults, too; none if they could not."""
    if not set(config.differences()) <= set(FIRST_SETTINGS.split()):
        return []
    known = {name: value for name, value in config.as_dict().items() if name in FIRST_SETTINGS.split()} | LENGTH
    if known["entropy_of"] == "outputs":
        known["entropy_of"] = "answers"
    oldest = {"rung" if name == "preset_name" else name: value for name, value in known.items()}
    return [checkpoint.digest(known), checkpoint.digest(oldest)]


def keep_pace(kept: Path, spent: float) -> None:
    checkpoint.write_text(kept, json.dumps({"seconds an epoch": spent}) + "\n")


def measured_pace(config: Config, images: ImageSet) -> float:
    """Seconds that an epoch over ``images`` is likely to take, by a trial on up to 1,024 of them."""
    drawn = torch.randperm(len(images), generator=rng.generator(config.seed, "monitor"))[:TRIAL_IMAGES]
    some = images.take(drawn.sort().values)
    began = clock(config)
    fit(replace(config, epochs=TRIAL_EPOCHS), some)
    batches = len(images) // config.batch_size, len(some) // config.batch_size  # the rest is left out of an epoch
    return (clock(config) - began) / TRIAL_EPOCHS * batches[0] / batches[1]
