"""Any source of images as one uint8 tensor: drawn, from installed packages, downloaded, or a folder."""

import os
from dataclasses import replace
from pathlib import Path

from cdlearn.data import folders, named
from cdlearn.data.imageset import ImageSet
from cdlearn.data.motifs import MOTIFS, make_motifs
from cdlearn.data.patches import LARGEST, PATCHES, make_patches
from cdlearn.data.reading import Reading
from cdlearn.data.shapes import SHAPES, make_shapes
from cdlearn.runtime.errors import UserError, did_you_mean

__all__ = ["NAMES", "ImageSet", "load", "make_motifs", "make_patches", "make_shapes"]
NAMES = ("patches", "shapes", "motifs", "digits", "cifar10", "cifar100-20", "stl10", "imagenet10")


def load(
    name_or_folder: str,
    size: int = 32,
    limit: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    root: str | Path = "data",
    progress: bool = False,
    stored: int = 0,
    reading: Reading | None = None,
) -> ImageSet:
    """The images of a known data set, or of any folder, at size x size pixels.

    Args:
        name_or_folder: one of NAMES, or a folder of images, nested or not; its first level of sub-folders, where all
            images lie in some, are the classes; folders of splits and wrappers are passed through, see
            cdlearn.data.labels.
        size: side in pixels of what the network will see. Shapes, motifs and digits are drawn at this size.
        limit: take this many images, drawn with ``seed``.
        skip_bad: leave out files and folders that cannot be read, with a count, instead of stopping at the first.
        root: where downloads and decoded folders are kept.
        stored: side in pixels of the images returned. Files are resized (shorter side) and centre-cropped to it. 0 is
            up to twice ``size``, as far as the originals go: views are then cut from real detail, and evaluation
            shrinks (see cdlearn.augment.to_size). Downloaded sets of smaller images keep their own side, which the
            views then enlarge: 60,000 CIFAR images at 224 px would take 9 GB and know no more.
        reading: how the run that looks at the images reads files, see :func:`cdlearn.data.folders.reading_of`; None
            chooses by the images.

    Raises:
        UserError: naming the data set, folder or file at fault, and the mend.
    """
    if limit is not None and limit < 1:
        raise UserError(f"limit {limit}: must be at least 1")
    if not name_or_folder:
        raise UserError(f"no data is named; --data takes a folder of images or one of {', '.join(NAMES)}")
    if name_or_folder == "shapes":
        return make_shapes(limit or SHAPES, size, seed)
    if name_or_folder == "patches":
        return make_patches(limit or PATCHES, stored or min(2 * size, LARGEST), seed)
    if name_or_folder == "motifs":
        return make_motifs(limit or MOTIFS, size, seed)
    if os.path.isdir(name_or_folder):  # pathlib raises for a name that is too long
        of = (size, limit, seed, skip_bad, Path(root), progress, stored)
        return folders.load_folder(Path(name_or_folder), *of, reading=reading)
    if name_or_folder not in NAMES:
        if os.path.exists(name_or_folder):
            raise UserError(f"{name_or_folder} is a file; --data takes a folder of images or one of {', '.join(NAMES)}")
        hint = did_you_mean(name_or_folder, NAMES)
        name = name_or_folder if len(name_or_folder) <= 100 else f"{name_or_folder[:100]}..."
        raise UserError(f"no folder and no data set named {name!r}{hint}; known are {', '.join(NAMES)}")
    if name_or_folder == "imagenet10":
        of = (size, limit, seed, skip_bad, Path(root), progress, stored, named.IMAGENET10, reading)
        return folders.load_folder(Path(root) / "imagenet10", *of)
    whole = named.digits(size) if name_or_folder == "digits" else named.downloaded(name_or_folder, Path(root))
    if limit is not None and limit < len(whole):
        whole = whole.take(folders.draw(len(whole), limit, seed))
    return replace(whole, images=named.resized(whole.images, stored or 2 * size))
