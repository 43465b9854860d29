"""A pretrained start against a fresh one, on the same images and in equal time: a row per training of the record.

    python -m cdlearn.train --preset laptop --method simclr --data path/to/cifar10 --limit 20000 --epochs 6 \
        --out runs/pretrained-cifar10-s42
    OMP_NUM_THREADS=1 python tests/benchmarks/pretrained.py --data path/to/tiny10 --weights runs/pretrained-cifar10-s42
    python tests/benchmarks/pretrained.py --table

The tiny backbone of SimCLR, 32 px. ImageNet's weights were not at hand, so the start is this very network, trained on
20,000 images of CIFAR-10 (JPEG copy) for 240,000 views; tiny10 has other photographs, mostly of other classes. Seconds
are of the processor, in one thread; the learning rate falls with the time (budget.py). *frozen*: the backbone stays as
it starts, so the scores of h are those without any training, and the row is about z, the output.
"""

import argparse
import sys
import time
from itertools import product

import pandas as pd
import torch
from budget import RECORDS, append, recorded, scores, train_for

from cdlearn import pretrained
from cdlearn.config import Config
from cdlearn.data import load
from cdlearn.runtime.commandline import guarded
from cdlearn.runtime.errors import UserError
from cdlearn.trainer import Trainer, fresh_model

RECORD = RECORDS / "pretrained.csv"
ARMS = (  # start, backbone frozen, seconds
    ("random", False, 0),
    ("pretrained", False, 0),
    ("random", False, 30),
    ("pretrained", False, 30),
    ("pretrained", True, 30),
    ("random", False, 300),
)


def measure(config: Config, start: pretrained.Weights | None, seconds: int, images) -> dict:
    """NMI and kNN of h and z of one run."""
    if start:
        config = start.settled(config)
    trainer = Trainer(config, images.images, fresh_model(config, start))
    spent = train_for(trainer, seconds, time.process_time)
    found, _ = scores(trainer.model, images, config)
    return {"training s": round(spent, 1), "views": 2 * config.batch_size * trainer.step} | found


def table(rows: list[dict]) -> str:
    """Mean over the seeds, as Markdown."""
    frame = pd.DataFrame(rows)
    names = {"h knn": "kNN of h", "h nmi": "NMI of h", "z knn": "kNN of z", "z nmi": "NMI of z"}
    lines = [f"| start | backbone | seconds | seeds | {' | '.join(names.values())} |", "|---" * (4 + len(names)) + "|"]
    for (start, kept, seconds), part in frame.groupby(["start", "backbone", "seconds"], sort=False):
        cells = [" / ".join(f"{float(value):.3f}" for value in part[name]) for name in names]
        lines.append(f"| {start} | {kept} | {seconds} | {' / '.join(part['seed'].astype(str))} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of tiny10")
    parser.add_argument("--weights", help="run or file of the pretrained tiny backbone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43])
    parser.add_argument("--table", action="store_true", help="print the record as a table, and end")
    asked = parser.parse_args()
    if asked.table:
        return print(table(recorded(RECORD)))
    if not (asked.data and asked.weights):
        raise UserError("--data and --weights are needed, or --table")
    torch.set_num_threads(1)
    start = pretrained.read(asked.weights, "tiny")
    print(start.said("small"))
    images = load(asked.data, Config.size)
    for (name, freeze, seconds), seed in product(ARMS, asked.seeds):
        key = {"seed": seed, "start": name, "backbone": "frozen" if freeze else "trained", "seconds": seconds}
        if any(all(row[k] == str(v) for k, v in key.items()) for row in recorded(RECORD)):
            continue
        here = start if name == "pretrained" else None
        its = dict(method="simclr", data=asked.data, seed=seed, weights=asked.weights if here else "", freeze=freeze)
        found = measure(Config.preset("laptop", **its), here, seconds, images)
        append(RECORD, key | found | {"weights": here.sha256[:12] if here else ""})
        print(recorded(RECORD)[-1], flush=True)


if __name__ == "__main__":
    sys.exit(guarded(main))
