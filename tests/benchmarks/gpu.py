"""A GPU's record: ``python tests/benchmarks/gpu.py --data path/to/cifar10 --name cifar10-jpeg-gpu``.

1. Where the time goes: tests/benchmarks/stages.py for ResNet-18 at 32 px and ResNet-34 at 224 px, as stages-NAME.csv.
2. The ``gpu`` preset, with as many epochs as fit into ``--minutes`` by the pace of a trial of one epoch.
3. SimCLR with the same settings and epochs, unless ``--no-simclr``.

Training can be cut off and goes on where it was when the command is given again: ``--slice S`` stops it after S
seconds, for machines that are lent by the slice. The record (settings, scores, metrics, figures, CSV) goes to
figures/records/NAME/ by way of record.py. Without a GPU the same steps are taken in their dry form, a few images
and one epoch, into a folder that is thrown away: it shows that the script works, and measures nothing.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

TESTS = Path(__file__).resolve().parent
ENOUGH = 30.0  # seconds that a slice must have left for a run to be worth starting


def call(*command, seconds: float = 0) -> int:
    """Run it, with SIGTERM, which saves the run, after ``seconds``; its exit status."""
    print("$", *command, flush=True)
    process = subprocess.Popen([sys.executable, *map(str, command)])
    try:
        return process.wait(seconds or None)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        return process.wait()


def stages(out: Path, name: str, dry: bool) -> None:
    """The two stage tables."""
    for backbone, stem, size, batch in (("resnet18", "small", 32, 512), ("resnet34", "imagenet", 224, 128)):
        few = ["--batch-size", 4, "--steps", 1, "--warm-up", 0] if dry else ["--batch-size", batch]
        table = out / f"stages-{name}-{backbone}.csv"
        shape = ["--backbone", backbone, "--stem", stem, "--size", size]
        if not table.exists() and call(TESTS / "stages.py", "--preset", "gpu", *shape, *few, "--csv", table):
            raise SystemExit("the stage table failed")


def train(method: str, run: Path, data: str, epochs: int, extra: list, until: float) -> bool:
    """Begin or go on with a run; whether it ended."""
    if (run / "embedding.png").exists():
        return True
    left = until - time.monotonic()
    if left < ENOUGH:
        return False
    if (run / "checkpoint.pt").exists():
        status = call("-m", "cdlearn.train", "--resume", run, seconds=left)
    else:
        settings = ["--preset", "gpu", "--data", data, "--method", method, "--epochs", epochs, "--out", run]
        status = call("-m", "cdlearn.train", *settings, *extra, seconds=left)
    if status not in (0, 128 + signal.SIGTERM, -signal.SIGTERM):  # the last where it was not training yet, or scoring
        raise SystemExit(f"{run} failed with status {status}")
    return status == 0


def pace(data: str) -> float:
    """Seconds of an epoch, after one that compiles and warms up."""
    from cdlearn.config import Config
    from cdlearn.data import load
    from cdlearn.runtime import compiling
    from cdlearn.trainer import fit

    compiling.FEWEST_STEPS = 0  # the run whose pace this is has more
    config = Config.preset("gpu", data=data, epochs=2)
    seconds = fit(config, load(data, config.size, None, config.seed, stored=config.stored)).history[-1]["seconds"]
    torch.cuda.empty_cache()  # the runs that follow are other processes
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a name or folder of images")
    parser.add_argument("--name", default="gpu", help="of the record")
    parser.add_argument("--minutes", type=float, default=20, help="of training, for each method")
    parser.add_argument("--epochs", type=int, default=0, help="instead of --minutes")
    parser.add_argument("--slice", type=float, default=0, help="seconds until training is stopped and saved")
    parser.add_argument("--no-simclr", action="store_true")
    asked = parser.parse_args()
    asked.until = time.monotonic() + (asked.slice or 1e9)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    if torch.cuda.is_available():
        print(torch.cuda.get_device_name())
        record(asked, Path("runs"), TESTS.parent / "figures" / "records", [])
        return
    print("no GPU here: a dry run, which measures nothing")
    with tempfile.TemporaryDirectory() as scratch:
        record(asked, Path(scratch, "runs"), Path(scratch, "records"), ["--limit", 64, "--batch-size", 16])
    print("the dry run went through")


def record(asked: argparse.Namespace, runs: Path, records: Path, dry: list) -> None:
    """All of it; ``dry`` are the settings that make it small, or nothing."""
    records.mkdir(parents=True, exist_ok=True)
    runs.mkdir(parents=True, exist_ok=True)
    stages(records, asked.name, bool(dry))
    noted = runs / f"{asked.name}-epochs.txt"  # a run that was cut off goes on with as many
    if asked.epochs or not noted.exists():
        fitting = 1 if dry else max(1, int(60 * asked.minutes / pace(asked.data)))
        noted.write_text(str(asked.epochs or fitting))
    epochs = int(noted.read_text())
    methods = ["cd"] if asked.no_simclr else ["cd", "simclr"]
    for method in methods:
        if not train(method, runs / f"record-{asked.name}-{method}-s42", asked.data, epochs, dry, asked.until):
            print("the slice is over; give the same command again")
            return
    options = ["--preset", "gpu", "--data", asked.data, "--epochs", epochs]
    if not dry and call(TESTS / "record.py", asked.name, "--methods", *methods, *options):
        raise SystemExit("the runs are there, but the record failed")


if __name__ == "__main__":
    main()
