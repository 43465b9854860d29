"""For notebook 11: a folder without labels, the reader's own or one that stands in for it."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from PIL import Image

from cdlearn.course import claim
from cdlearn.data import make_shapes
from cdlearn.runtime.errors import UserError
from cdlearn.runtime.paths import expanded

COPIES = 5  # equal files, and as many saved again as JPEG


def own_images(count: int = 2400) -> tuple[str, pd.DataFrame | None]:
    """The folder that ``CDLEARN_IMAGES`` names; else one with ``count`` swatches, a few copies and two other files.

    Returns:
        The folder, and what is known of the images, one row per file in order: None for the reader's own folder.

    Raises:
        UserError: where ``CDLEARN_IMAGES`` names no folder.
    """
    named = os.environ.get("CDLEARN_IMAGES")
    if named and not expanded(named).is_dir():
        raise UserError(f"CDLEARN_IMAGES is {named}, which is no folder; name one, or unset it for the stand-in")
    if named:
        return named, None
    drawn = make_shapes(count, 40, seed=11)
    folder = Path(tempfile.gettempdir(), f"cdlearn-own-images-{count}")
    folder.mkdir(exist_ok=True)
    rows = {}
    for number, pixels in enumerate(drawn.images):
        known = {name: drawn.values[name][of[number]] for name, of in drawn.attributes.items()}
        picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        names = [f"swatch {number:04d}.png"]
        names += [f"swatch {number:04d} copy.png"] if number < COPIES else []
        names += [f"swatch {number:04d} saved again.jpg"] if COPIES <= number < 2 * COPIES else []
        for name in names:
            rows[name] = known
            if not (folder / name).exists():
                picture.save(folder / name, **({"quality": 90} if name.endswith(".jpg") else {}))
    (folder / "read me.txt").write_text("Swatches of printed cloth.\n")
    (folder / "film.mp4").write_bytes(b"")
    return str(folder), pd.DataFrame.from_dict(rows, orient="index").sort_index()


def claims_about(known: pd.DataFrame | None) -> Callable[..., None]:
    """:func:`cdlearn.course.claim` for the folder that stands in; of the reader's own images nothing was claimed."""
    return claim if known is not None else lambda holds, sentence, **about: None
