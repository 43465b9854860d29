"""Decoding many files, in threads where that pays, and what was chosen for them in all."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from cdlearn.data import deep
from cdlearn.data.decoding import Noted, noted
from cdlearn.runtime.errors import UserError

THREADS_PAY = 2e-4  # seconds to decode a file: below, the interpreter is busy for most of it, and threads only queue


@dataclass
class Facts:
    """What was chosen for the images of a folder, see ``Noted``. ``several`` of the files hold ``pages`` in all."""

    several: int = 0
    pages: int = 0
    on_black: int = 0
    shallow: int = 0

    def add(self, noted: Noted) -> None:
        self.several += noted.pages > 1
        self.pages += noted.pages if noted.pages > 1 else 0
        self.on_black += noted.on_black
        self.shallow += noted.shallow

    def lines(self) -> list[str]:
        """A line for each choice that was made."""
        lines = []
        if self.several:
            hold = "files hold" if self.several > 1 else "file holds"
            lines.append(
                f"{self.several:,} {hold} several pages; the first of each is used ({self.several:,} of {self.pages:,})"
            )
        if self.on_black:
            few = f"{self.on_black:,} images are" if self.on_black > 1 else "1 image is"
            lines.append(
                f"{few} nearly white on a transparent ground, which is made black; other such grounds are white"
            )
        if self.shallow:
            few = f"{self.shallow:,} images of" if self.shallow > 1 else "1 image of"
            lines.append(
                f"{few} 16-bit colour, read at 8 bits, black 0 and white 65,535; pip install imagecodecs to read all"
            )
        return lines


def decode_all(
    files: list[Path], out: np.ndarray, skip_bad: bool, progress: bool, ranges: deep.Ranges
) -> tuple[list[int], Facts]:
    """Decode ``files`` into the rows of ``out``; returns the numbers of those that could be read, packed to the front.

    The first few one after the other, the others by threads if that pays: Pillow lets go of the interpreter while it
    decodes and resizes, but not while it reads a header, which is most of the work for small images.
    """

    def one(path):
        try:
            return noted(path, out.shape[-1], ranges)
        except UserError:
            if not skip_bad:
                raise
            return None

    good: list[int] = []
    facts = Facts()
    start = 0
    spread: Callable = map
    Image.preinit()  # its parts are imported now, so as not to count as the first file's time
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = tqdm(total=len(files), desc="decoding", unit="image", disable=not progress, leave=False)
        while start < len(files):
            part = files[start : start + (1024 if start else 32)]  # bounded: memory does not grow with the folder
            began = time.perf_counter()
            for number, read in enumerate(spread(one, part), start):
                if read is not None:
                    out[len(good)] = read[0]
                    facts.add(read[1])
                    good.append(number)
                bar.update()
            if start == 0 and time.perf_counter() - began > THREADS_PAY * len(part):
                spread = pool.map
            start += len(part)
        bar.close()
    return good, facts
