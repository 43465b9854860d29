"""What a report of a very large folder costs: ``python tests/benchmarks/report_size.py RUN --images 100000``.

Draws that many swatches into a folder (64 px, JPEG), makes the report of RUN on it by the command that a user would
type, and prints seconds, the largest memory of that process, and the size of the page. Appends a row to
figures/records/report-size.csv.
"""

import argparse
import csv
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from cdlearn.data.shapes import make_shapes
from cdlearn.runtime.devices import cpu_kind

RECORD = Path(__file__).resolve().parents[2] / "figures" / "records" / "report-size.csv"
PART = 5000  # images drawn at once


def draw(folder: Path, count: int) -> None:
    """Swatches as files 000000.jpg and so on; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, count, PART):
        if (folder / f"{min(start + PART, count) - 1:06}.jpg").exists():
            continue
        for number, pixels in enumerate(make_shapes(min(PART, count - start), 64, seed=start).images, start):
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{number:06}.jpg", quality=85)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("data/many"))
    asked = parser.parse_args()
    draw(asked.folder, asked.images)
    page = asked.folder.with_suffix(".html")
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "cdlearn.report", asked.run, "--data", asked.folder, "--out", page], check=True
    )
    row = {
        "images": asked.images,
        "seconds": round(time.monotonic() - began),
        "memory MiB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "page MB": round(page.stat().st_size / 1e6, 1),
        "machine": f"{os.cpu_count()} cores, {cpu_kind()}",
    }
    print(row)
    new = not RECORD.exists()
    with RECORD.open("a", newline="") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
