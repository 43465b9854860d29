"""Any source of images as one uint8 tensor: drawn, from installed packages, downloaded, or a folder."""

import os
from dataclasses import replace
from pathlib import Path

from cdlearn.config import NAMES
from cdlearn.data import folders, named
from cdlearn.data.imageset import ImageSet
from cdlearn.data.motifs import MOTIFS, make_motifs
from cdlearn.data.patches import LARGEST, PATCHES, make_patches
from cdlearn.data.reading import Reading
from cdlearn.data.shapes import SHAPES, make_shapes
from cdlearn.runtime.errors import UserError, did_you_mean
from cdlearn.runtime.paths import expanded

__all__ = ["NAMES", "ImageSet", "folder_named", "load", "make_motifs", "make_patches", "make_shapes"]


def folder_named(data: str | Path) -> Path | None:
    """The folder that ``data`` means, or None where it means the data set of that name. Every command asks here.

    A text with a slash, such as ./patches, is always a folder, and so is a Path. A leading ~ is the home folder.

    Raises:
        UserError: where a bare name means both, with the two ways to say which, or where there is neither.
    """
    text, place = os.fspath(data), expanded(data)
    if not text:
        raise UserError(f"no data is named; --data takes a folder of images or one of {', '.join(NAMES)}")
    known = isinstance(data, str) and data in NAMES
    if os.path.isdir(place):  # pathlib raises for a name that is too long
        if known:
            raise UserError(
                f"{data} is a data set, and there is a folder of that name here; --data ./{data} takes the folder; "
                "for the data set rename the folder, or start from elsewhere"
            )
        return place
    if known:
        return None
    if os.path.exists(place):
        raise UserError(f"{text} is a file; --data takes a folder of images or one of {', '.join(NAMES)}")
    name = text if len(text) <= 100 else f"{text[:100]}..."
    raise UserError(
        f"no folder and no data set named {name!r}{did_you_mean(text, NAMES)}; known are {', '.join(NAMES)}"
    )


def load(
    name_or_folder: str | Path,
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
        name_or_folder: one of NAMES, or a folder of images, nested or not; see :func:`folder_named`. Its first level of
            sub-folders, where all images lie in some, are the classes; folders of splits and wrappers are passed
            through, see cdlearn.data.labels.
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
        UserError: naming the data set, folder or file at fault, and the fix.
    """
    if limit is not None and limit < 1:
        raise UserError(f"limit {limit}: must be at least 1")
    folder, root = folder_named(name_or_folder), expanded(root)
    if folder:
        return folders.load_folder(folder, size, limit, seed, skip_bad, root, progress, stored, reading=reading)
    if name_or_folder == "shapes":
        return make_shapes(limit or SHAPES, size, seed)
    if name_or_folder == "patches":
        return make_patches(limit or PATCHES, stored or min(2 * size, LARGEST), seed)
    if name_or_folder == "motifs":
        return make_motifs(limit or MOTIFS, size, seed)
    if name_or_folder == "imagenet10":
        of = (size, limit, seed, skip_bad, root, progress, stored, named.IMAGENET10, reading)
        return folders.load_folder(root / "imagenet10", *of)
    whole = named.digits(size) if name_or_folder == "digits" else named.downloaded(str(name_or_folder), root)
    if limit is not None and limit < len(whole):
        whole = whole.take(folders.draw(len(whole), limit, seed))
    return replace(whole, images=named.resized(whole.images, stored or 2 * size))
