"""What crops from real detail gain: images kept at their size against twice that, both given the same time.

    python tests/benchmarks/stored_size.py --data path/to/tiny10 --seeds 42 43 44

Trains CD at 32 px on images kept at 32 and at 64 px. Views from 64 px cost more, so that run gets fewer epochs. The
record has the seconds of one thread's processor, which a busy machine stretches less than those of the clock: the runs
from 64 px took 3 to 4% more of them. Appends one row per run to figures/records/stored-size.csv.
"""

import argparse
import csv
import platform
import time
from pathlib import Path

import torch

from cdlearn.config import Config
from cdlearn.course import measured
from cdlearn.data import load
from cdlearn.evaluate import embed
from cdlearn.runtime.devices import cpu_kind
from cdlearn.trainer import fit

RECORD = Path(__file__).resolve().parents[2] / "figures" / "records" / "stored-size.csv"


def row(data: str, seed: int, stored: int, epochs: int) -> dict:
    """Train one run and score both its stages on all images."""
    config = Config.preset("laptop", data=data, seed=seed, stored=stored, epochs=epochs)
    images = load(data, config.size, None, seed, stored=stored)
    began, by_clock = time.process_time(), time.monotonic()
    model = fit(config, images)
    seconds, by_clock = time.process_time() - began, time.monotonic() - by_clock
    command = f"python -m cdlearn.train --data path/to/{Path(data).name}"
    made = {
        "seed": seed,
        "stored": stored,
        "command": f"{command} --stored {stored} --epochs {epochs} --seed {seed}",
        "views": 2 * epochs * (len(images) // config.batch_size) * config.batch_size,
        "seconds of processor": round(seconds, 1),
        "seconds by the clock": round(by_clock, 1),
    }
    for stage, features in embed(model, images.images, config.size).items():
        scores = measured(features, images)
        made |= {f"{stage} nmi": scores["nmi"], f"{stage} knn": round(scores["knn"], 4)}
    return made | {"machine": f"{platform.machine()}, {cpu_kind()}, {torch.get_num_threads()} thread"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder of images of 64 px")
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44])
    parser.add_argument("--stored", nargs="+", type=int, default=[32, 64])
    parser.add_argument("--epochs", nargs="+", type=int, default=[20, 19], help="for each of --stored")
    parser.add_argument("--out", type=Path, default=RECORD)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for seed in asked.seeds:
        for stored, epochs in zip(asked.stored, asked.epochs, strict=True):
            made = row(asked.data, seed, stored, epochs)
            new = not asked.out.exists()
            with asked.out.open("a", newline="") as file:
                writer = csv.DictWriter(file, list(made), lineterminator="\n")
                if new:
                    writer.writeheader()
                writer.writerow(made)
            print(made, flush=True)


if __name__ == "__main__":
    main()
