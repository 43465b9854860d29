"""Contrastive Disentangling: image representations without labels, step by step in the notebooks."""

import os

# PyTorch reads it with its first large tensor: memory in large pages, where the system lends them; 3% of a small step.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
