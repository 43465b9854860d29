"""What it costs to recognise a folder's images: ``python tests/benchmarks/fingerprints.py [--images N]``."""

import argparse
import time

import torch

from cdlearn.data.fingerprints import fingerprint


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    made.add_argument("--images", type=int, default=100_000)
    made.add_argument("--side", type=int, default=64)
    asked = made.parse_args()
    images = torch.randint(0, 256, (asked.images, 3, asked.side, asked.side), dtype=torch.uint8)
    began = time.process_time()
    print(fingerprint(images), f"{time.process_time() - began:.2f} s")


if __name__ == "__main__":
    main()
