"""Contrastive Disentangling: image representations without labels, step by step in the notebooks."""

import os

from cdlearn.runtime import old_names  # noqa: F401

# Memory in large pages, where the system lends them: 3% of a small step. PyTorch looks once, with its first tensor.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
