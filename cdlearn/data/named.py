"""The data sets that have a name: bundled with scikit-learn, or downloaded once and then read from disk."""

from pathlib import Path

import numpy as np
import torch
import torchvision
from sklearn.datasets import load_digits
from torch import Tensor

from cdlearn.augment import to_size
from cdlearn.data.imageset import ImageSet
from cdlearn.runtime.errors import UserError

IMAGENET10 = [
    *("n02056570", "n02085936", "n02128757", "n02690373", "n02692877"),
    *("n03095699", "n04254680", "n04285008", "n04467665", "n07747607"),
]
# CIFAR-100's super-class of each of its 100 fine classes, these in alphabet order (Krizhevsky, 2009, Section 3.1)
SUPERCLASS = (
    "4 1 14 8 0 6 7 7 18 3 3 14 9 18 7 11 3 9 7 11 6 11 5 10 7 6 13 15 3 15 0 11 1 10 12 14 16 9 11 5 "
    "5 19 8 8 15 13 14 17 18 10 16 4 17 4 2 0 17 4 18 17 10 3 2 12 12 16 12 1 9 19 2 10 0 1 16 12 9 13 15 13 "
    "16 19 2 4 6 19 5 5 8 19 18 1 2 15 6 0 17 8 14 13"
)
SUPERCLASSES = (
    *("aquatic mammals", "fish", "flowers", "food containers", "fruit and vegetables", "household electrical devices"),
    *("household furniture", "insects", "large carnivores", "large man-made outdoor things"),
    *("large natural outdoor scenes", "large omnivores and herbivores", "medium-sized mammals"),
    *("non-insect invertebrates", "people", "reptiles", "small mammals", "trees", "vehicles 1", "vehicles 2"),
)


def resized(images: Tensor, size: int) -> Tensor:
    """uint8 (N, 3, H, W) -> uint8 (N, 3, size, size), antialiased; smaller images stay: the views enlarge them."""
    if max(images.shape[-2:]) <= size:
        return images
    out = torch.empty(len(images), 3, size, size, dtype=torch.uint8)
    for start in range(0, len(images), 1024):
        out[start : start + 1024] = (to_size(images[start : start + 1024], size) * 255).round()
    return out


def digits(size: int) -> ImageSet:
    """scikit-learn's 1,797 handwritten digits, enlarged from 8 x 8: real images that come with an installed package."""
    bunch = load_digits()
    gray = torch.from_numpy(bunch.images / 16 * 255).round().to(torch.uint8).unsqueeze(1)
    images = (to_size(gray, size) * 255).round().to(torch.uint8).repeat(1, 3, 1, 1)
    return ImageSet(images, torch.from_numpy(bunch.target).long(), tuple(map(str, range(10))))


def downloaded(name: str, root: Path) -> ImageSet:
    """CIFAR-10, CIFAR-100 with its 20 super-classes, or labelled STL-10: train and test together, as in Table 1."""
    where = {"cifar10": "cifar-10-batches-py", "cifar100-20": "cifar-100-python", "stl10": "stl10_binary"}[name]
    kind = {
        "cifar10": torchvision.datasets.CIFAR10,
        "cifar100-20": torchvision.datasets.CIFAR100,
        "stl10": torchvision.datasets.STL10,
    }[name]
    splits = [{"split": s} for s in ("train", "test")] if name == "stl10" else [{"train": t} for t in (True, False)]
    try:
        try:
            parts = [kind(root, **split) for split in splits]  # the local copy first, its checksums verified
        except RuntimeError:
            parts = [kind(root, download=True, **split) for split in splits]
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"cannot get {name} ({reason}); put the folder {where} into {root.resolve()}") from error
    images = np.concatenate([part.data for part in parts])
    if name != "stl10":
        images = images.transpose(0, 3, 1, 2)  # CIFAR comes as N x H x W x 3
    known = [part.labels if name == "stl10" else part.targets for part in parts]
    labels = torch.from_numpy(np.concatenate(known).astype(np.int64))
    classes = tuple(parts[0].classes)
    if name == "cifar100-20":
        labels, classes = torch.tensor([int(s) for s in SUPERCLASS.split()])[labels], SUPERCLASSES
    return ImageSet(torch.from_numpy(np.ascontiguousarray(images)), labels, classes)
