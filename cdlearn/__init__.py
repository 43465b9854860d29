"""Contrastive Disentangling: image representations without labels, step by step in the notebooks."""

import importlib
import os

# PyTorch looks at these once, as it is loaded and with its first tensor
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # memory in large pages, where the system lends them: 3% of a step
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # what an Apple GPU cannot do is done by the CPU


def __getattr__(name: str):
    """``cdlearn.load(RUN)``, see :mod:`cdlearn.estimator`, which is imported when it is asked for: it takes seconds."""
    if name == "load":
        return importlib.import_module("cdlearn.estimator").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
