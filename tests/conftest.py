"""What the tests share. Settings are made here, at module level, because notebook kernels start before fixtures do.

CUDA is hidden before PyTorch looks for it: a GPU adds up in no fixed order, so nothing on it is equal bit for bit. What
is to be tested on one stands in test_gpu.py, which opens a process that sees it.
"""

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several workers would spin against each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("CDLEARN_PRESET", "smoke")
os.environ.setdefault("TQDM_DISABLE", "1")
if not os.environ.get("CDLEARN_TEST_GPU"):
    os.environ.setdefault("CDLEARN_GPUS", os.environ.get("CUDA_VISIBLE_DEVICES", "all"))  # for test_gpu.py
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def pictures(tmp_path):
    """A folder of 12 small PNG images in 2 class sub-folders, one of them nested deeper."""
    generator = np.random.default_rng(0)
    for number in range(12):
        folder = tmp_path / "pictures" / ("cats" if number % 2 else "dogs/puppies")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / f"{number:02d}.png")
    return tmp_path / "pictures"


def pytest_collection_modifyitems(items):
    """The tests on a GPU run in the process that test_gpu.py opens; here only the test that opens it counts."""
    if not os.environ.get("CDLEARN_TEST_GPU"):
        opens = "test_in_a_process_that_sees_the_gpu"
        items[:] = [item for item in items if item.path.name != "test_gpu.py" or item.name == opens]
