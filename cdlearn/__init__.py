"""Contrastive Disentangling: image representations without labels, step by step in the notebooks."""

import importlib
import os

from cdlearn.runtime import old_names  # noqa: F401

# Memory in large pages, where the system lends them: 3% of a small step. PyTorch looks once, with its first tensor.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def __getattr__(name: str):
    """``cdlearn.load(RUN)``, see :mod:`cdlearn.estimator`, which is imported when it is asked for: it takes seconds."""
    if name == "load":
        return importlib.import_module("cdlearn.estimator").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
