"""Batches of images on the device that trains: from its own memory, or gathered ahead of time by a thread."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

SHARE = 0.5  # of a GPU's free memory that the images may take; the network needs the rest


def nearest(images: Tensor, device: torch.device) -> Tensor:
    """uint8 (N, 3, H, W), moved onto a CUDA device when they fit: then the loop copies nothing."""
    if device.type == "cuda" and images.nbytes < SHARE * torch.cuda.mem_get_info(device)[0]:
        return images.to(device)
    return images


class Batches:
    """``batches(index, following)`` gives uint8 (n, 3, H, W) on ``device``: the images at ``index``, in that order.

    ``ahead`` says whether a thread gathers the images at ``following`` in the meantime. It does so for a GPU that reads
    from the machine's memory or from a mapped file: gathering 128 images of 224 px (19 MB) may have to wait for the
    disk, and only from pinned memory does the GPU copy while it computes. A CPU has no idle cores to gather with.

    images: uint8 (N, 3, H, W), in memory or mapped. ``index`` and ``following`` are (n,), on the device of ``images``.
    """

    def __init__(self, images: Tensor, device: torch.device, ahead: bool | None = None):
        self.images, self.device = images, device
        self.ahead = device.type == "cuda" and images.device.type == "cpu" if ahead is None else ahead
        if self.ahead:
            self.thread = ThreadPoolExecutor(1, "cdlearn-batches")
            self.slots: list[tuple[Tensor, torch.cuda.Event | None] | None] = [None, None]  # one is read, one is filled
            self.turn = 0
            self.coming = None  # (index, future) of the batch that the thread gathers

    def __call__(self, index: Tensor, following: Tensor | None = None) -> Tensor:
        if not self.ahead:
            return self.images[index].to(self.device, non_blocking=self.device.type == "cuda")
        if self.coming is None or not torch.equal(self.coming[0], index):
            self.coming = (index, self.thread.submit(self.gather, index, self.turn))
        gathered = self.coming[1].result()
        batch = gathered.to(self.device, non_blocking=True, copy=True)
        copied = None
        if self.device.type == "cuda":
            copied = torch.cuda.Event()
            copied.record(torch.cuda.current_stream(self.device))
        self.slots[self.turn] = (gathered, copied)
        self.turn = 1 - self.turn
        self.coming = None
        if following is not None:
            self.coming = (following, self.thread.submit(self.gather, following, self.turn))
        return batch

    def gather(self, index: Tensor, turn: int) -> Tensor:
        """The images at ``index``, in the memory of that turn, once the device has copied what was there before."""
        shape = (len(index), *self.images.shape[1:])
        buffer, copied = self.slots[turn] or (None, None)
        if copied is not None:
            copied.synchronize()
        if buffer is None or buffer.shape != shape:
            buffer = torch.empty(shape, dtype=self.images.dtype, pin_memory=self.device.type == "cuda")
        return torch.index_select(self.images, 0, index, out=buffer)
