"""Any source of images as one uint8 tensor: generated, bundled with scikit-learn, downloaded, or a folder."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor

from cdlearn import folders
from cdlearn.augment import to_size
from cdlearn.errors import UserError, did_you_mean

NAMES = ("shapes", "digits", "cifar10", "cifar100-20", "stl10", "imagenet10")
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


@dataclass(frozen=True)
class ImageSet:
    """Images and whatever is known of them.

    images: uint8 (N, 3, H, W), in memory or memory-mapped.
    labels: int64 (N,), or None where nobody sorted the images. Used for scores only, never for training.
    classes: the labels' names.
    attributes: for generated images, the name of each attribute and its value's number, int64 (N,).
    """

    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    attributes: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self):
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise ValueError(f"images are uint8 N x 3 x H x W, got {self.images.dtype} {tuple(self.images.shape)}")
        for name, values in {"labels": self.labels, **self.attributes}.items():
            if values is not None and len(values) != len(self.images):
                raise ValueError(f"{len(values)} values of {name} for {len(self.images)} images")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: Tensor) -> "ImageSet":
        """The images at ``index``, with their labels and attributes."""
        return replace(
            self,
            images=self.images[index],
            labels=None if self.labels is None else self.labels[index],
            attributes={name: values[index] for name, values in self.attributes.items()},
        )


def load(
    name_or_folder: str,
    size: int = 32,
    limit: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    root: str | Path = "data",
    progress: bool = False,
) -> ImageSet:
    """The images of a known data set, or of any folder, at size x size pixels.

    Args:
        name_or_folder: one of NAMES, or a folder of images, nested or not; its first level of sub-folders, where all
            images lie in some, are the classes.
        size: side in pixels. Shapes are drawn at this size, files resized (shorter side) and centre-cropped. Downloaded
            sets of smaller images keep their own size, which the views then enlarge: 60,000 CIFAR images at 224 px
            would take 9 GB and know no more.
        limit: take this many images, drawn with ``seed``.
        skip_bad: leave out files that cannot be read, with a count, instead of stopping at the first.
        root: where downloads and decoded folders are kept.

    Raises:
        UserError: naming the data set, folder or file at fault, and the mend.
    """
    if limit is not None and limit < 1:
        raise UserError(f"limit {limit}: must be at least 1")
    if name_or_folder == "shapes":
        from cdlearn.shapes import SHAPES, make_shapes

        return make_shapes(limit or SHAPES, size, seed)
    if Path(name_or_folder).is_dir():
        return folders.load_folder(Path(name_or_folder), size, limit, seed, skip_bad, Path(root), progress)
    if name_or_folder not in NAMES:
        if Path(name_or_folder).exists():
            raise UserError(f"{name_or_folder} is a file; --data takes a folder of images or one of {', '.join(NAMES)}")
        hint = did_you_mean(name_or_folder, NAMES)
        raise UserError(f"no folder and no data set named {name_or_folder!r}{hint}; known are {', '.join(NAMES)}")
    if name_or_folder == "imagenet10":
        return folders.load_folder(
            Path(root) / "imagenet10", size, limit, seed, skip_bad, Path(root), progress, only=IMAGENET10
        )
    whole = digits(size) if name_or_folder == "digits" else downloaded(name_or_folder, Path(root))
    if limit is not None and limit < len(whole):
        whole = whole.take(folders.draw(len(whole), limit, seed))
    return replace(whole, images=resized(whole.images, size))


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
    from sklearn.datasets import load_digits

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
