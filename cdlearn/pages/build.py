"""Contents -> report.html: one file within a budget of bytes, whole or not there at all."""

import base64
import hashlib
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from tqdm import tqdm

from cdlearn import checkpoint
from cdlearn.pages import atlas, pack
from cdlearn.pages.atlas import Atlas
from cdlearn.pages.blocks import Slots, fitted, record
from cdlearn.pages.contents import Contents
from cdlearn.runtime.errors import UserError

HERE = Path(__file__).parent
SCRIPTS = (  # in order of need
    *("data.js", "pictures.js", "paint.js", "map.js", "marks.js", "hand.js", "keep.js", "ui.js", "gallery.js"),
    *("image.js", "heads.js", "clusters.js", "selection.js", "labels.js", "duplicates.js", "quality.js", "run.js"),
    "start.js",
)
PICTURED = 0.1  # fraction of the budget that the map leaves for larger pictures; they take what is left after it ...
ROOMY = 0.5  # ... up to this fraction
OVERVIEW = 24  # px of a representative
SPARE = 40_000  # bytes for tags and rounding


def build(contents: Contents, out: Path, budget: int = 25_000_000, progress: bool = False) -> Path:
    """Write the page to ``out``.

    Args:
        contents: what to show.
        out: the file; one from before is replaced only once the new one is whole.
        budget: bytes that the file may have at most. The images on the map are as large as this allows, at most 64 px.
        progress: show a bar while thumbnails are made.

    Returns:
        ``out``.

    Raises:
        UserError: when the images do not fit into the budget even at 8 px, or the file cannot be written.
    """
    slots = Slots.along_map(contents.xy)
    facts = record(contents, slots)
    blocks, facts["arrays"] = fitted(contents, slots, budget)
    code = {name: (HERE / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", *SCRIPTS)}
    pages = {}
    blocks["record"] = ""  # its place in the file; it is complete once the atlases are
    small = [*blocks.values(), pack.record(facts), *code.values()]
    left = budget - SPARE - sum(map(len, small)) - 8 * len(contents.pictured())
    mapped = thumbnails(contents, slots, left - PICTURED * budget, progress)
    blocks["tones"], facts["overview"], pages["map"], pages["overview"] = mapped
    left -= len(blocks["tones"]) + len(pack.record(facts["overview"])) + sum(of.bytes for of in pages.values())
    shown, pages["picture"], pages["rest"] = pictures(contents, slots, min(ROOMY * budget, left))
    facts["pictured"] = slots.list(shown)
    for name, of in pages.items():
        facts[f"{name}Atlas"] = {"cell": of.cell, "across": of.across, "pages": len(of.pages)}
    facts["pictureAtlas"]["whole"] = contents.whole is not None
    blocks["record"] = pack.record(facts)
    try:
        checkpoint.write(
            out, lambda file: assemble(file, contents.title, code, blocks, pages, contents.link is not None)
        )
    except UserError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        reason = error.__cause__.strerror or error.__cause__
        raise UserError(f"cannot save {out} ({reason}); free some space, or choose another place") from error
    return out


def pictures(contents: Contents, slots: Slots, most: float) -> tuple[list[int], Atlas, Atlas]:
    """(image numbers, their pictures, smaller ones of all others in slot order) within ``most`` bytes of text.

    The image numbers are all where that fits, else those of galleries and lists; of the others there are pictures at
    their own aspect as large as the room left allows, or none: then the map's have to do.
    """
    side = -(-min(256, max(64, contents.picture)) // 8) * 8  # whole blocks of JPEG: no cell tints the next
    levels = [level for level in ((side, 82), (side, 65), (192, 70), (128, 70), (96, 75), (64, 75)) if level[0] <= side]
    drawn = contents.thumbnail if contents.whole is None else lambda i, cell: laid(contents.whole(i, cell), cell)

    def fit(images: list[int], tried: list[tuple[int, int]], room: float) -> Atlas:
        for cell, quality, each in atlas.estimate(images, drawn, tried) if images else ():
            if each * len(images) <= room and (made := atlas.make(images, drawn, cell, quality, room)):
                return made
        return Atlas(side, atlas.PAGE // side, [])

    everything = slots.order.tolist()
    made = fit(everything, levels[:2], most)
    if made.pages:
        return everything, made, Atlas(side, 1, [])
    listed = contents.pictured()
    while listed and not (made := fit(listed, levels, most)).pages:
        listed = listed[: len(listed) // 2]  # what comes first is what the reader sees first
    rest = sorted(set(everything) - set(listed), key=lambda i: slots.of[i])
    return listed, made, fit(rest, [level for level in levels[2:] if 96 <= level[0] < made.cell], most - made.bytes)


def laid(picture: Image.Image, cell: int) -> Image.Image:
    """A whole picture, its longer side ``cell`` px, at the top left of a square that its last row or column fills.

    Plain grey there would show at the picture's edge, in the blocks of JPEG that hold both.
    """
    pixels = np.asarray(picture.convert("RGB"))[:cell, :cell]
    below, right = cell - pixels.shape[0], cell - pixels.shape[1]
    return Image.fromarray(np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge"))


def thumbnails(contents: Contents, slots: Slots, left: float, progress: bool) -> tuple[str, list[int], Atlas, Atlas]:
    """(block of mean colours, slots of representatives, the map's atlas, theirs) within ``left`` bytes.

    Every picture is drawn from ``contents.thumbnail`` once: what stands for the map in small is a reduced copy.
    """
    n = len(slots.order)
    chosen = [int(i) for i in pack.representatives(slots.at)] if n > 3000 else []
    wanted = set(chosen)
    tones = np.zeros((n, 3), np.uint8)
    small: dict[int, Image.Image] = {}
    bar = tqdm(total=n, desc="thumbnails", disable=not progress, leave=False)

    def watch(slot: int, picture: Image.Image) -> None:
        tones[slot] = np.asarray(picture.resize((1, 1), Image.Resampling.BOX))[0, 0]
        if slot in wanted:
            small[slot] = picture.resize((OVERVIEW, OVERVIEW), Image.Resampling.BOX)
        bar.update()

    left -= n * 3 + len(chosen) * 300  # more than they take: 2.7 bytes of text per image, 210 per representative
    with bar:
        for cell, quality, each in atlas.estimate(slots.order, contents.thumbnail):
            if each * n > left:
                continue
            bar.reset()
            made = atlas.make(slots.order, contents.thumbnail, cell, quality, left, watch)
            if made:
                break
        else:
            raise UserError(
                f"{n:,} images do not fit into a page of {left / 1e6:.1f} MB, even at 8 px each; "
                "raise the budget or leave some images out"
            )
    overview = atlas.make(chosen, lambda slot, side: small[slot], OVERVIEW, 60)
    return pack.numbers((tones & 0xFC).T)[0], chosen, made, overview


def assemble(
    file: BinaryIO, title: str, code: dict[str, str], blocks: dict[str, str], pages: dict[str, Atlas], linked: bool
) -> None:
    """Write the page piece by piece; ``linked``: it may show the originals beside it."""
    pieces = re.split(r"\{\{(\w+)\}\}", code["page.html"])
    scripts = [code[name] for name in SCRIPTS]
    shown = {"img-src": ["file:", "'self'"]} if linked else {}
    policy = {
        "default-src": ["'none'"],
        "script-src": [hashed(script) for script in scripts],
        "style-src": [hashed(code["page.css"])],
        **shown,
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    fillings = {
        "title": lambda: [html.escape(title).encode("utf-8", "replace")],
        "policy": lambda: ["; ".join(" ".join([name, *of]) for name, of in policy.items()).encode()],
        "style": lambda: [code["page.css"].encode()],
        "blocks": lambda: inert(blocks, pages),
        "scripts": lambda: [f"<script>{script}</script>\n".encode() for script in scripts],
    }
    for place, piece in enumerate(pieces):
        for part in fillings[piece]() if place % 2 else [piece.encode()]:
            file.write(part)


def inert(blocks: dict[str, str], pages: dict[str, Atlas]) -> Iterator[bytes]:
    """Every array and every page of pictures in a script element of a type that no browser runs."""
    for name, block in blocks.items():
        yield f'<script type="text/plain" id="block-{name}">{block}</script>\n'.encode()
    for name, of in pages.items():
        for number, page in enumerate(of.pages):
            yield f'<script type="text/plain" id="{name}-{number}">'.encode()
            yield base64.b64encode(page)
            yield b"</script>\n"


def hashed(source: str) -> str:
    """What a Content-Security-Policy calls a script or style that it lets run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
