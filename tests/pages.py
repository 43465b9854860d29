"""For the tests of the report's page: small contents of every kind, and the page's blocks read back in Python."""

import base64
import json
import re
import zlib
from dataclasses import replace

import numpy as np
from PIL import Image

from cdlearn.pages.contents import Contents

ODD_NAMES = (
    "<script>alert(1)</script>.png",
    'a "quoted", name.jpg',
    "Ünï cödé/日本.webp",
    "two\nlines.png",
    "\udcff.png",
)


def contents(n=40, heads=4, labelled=True, names=(), noisy=False, **others) -> Contents:
    """``n`` images of plain colours (or noise), ``heads`` heads, and clusters for k = 2..4 or fewer."""
    generator = np.random.default_rng(0)
    xy = generator.normal(size=(n, 2))
    answers = generator.random((n, heads))
    colours = generator.integers(0, 256, (n, 3))

    def thumbnail(image: int, side: int) -> Image.Image:
        if noisy:
            pixels = np.random.default_rng(image).integers(0, 256, (side, side, 3), dtype=np.uint8)
            return Image.fromarray(pixels)
        return Image.new("RGB", (side, side), tuple(map(int, colours[image])))

    def whole(image: int, side: int) -> Image.Image:
        return thumbnail(image, side).resize((side, max(1, round(side * (200 + image % 7) / (300 + image)))))

    order = np.argsort(-answers, axis=0)
    shown = [
        dict(
            number=10 * j,
            on=float((answers[:, j] > 0.5).mean()),
            agreement=0.9,
            spread=0.2,
            same=[(10 * ((j + 1) % heads), 0.8)],
            opposite=[(999, -0.7)],
            top=order[:6, j].tolist(),
            middle=order[n // 2 : n // 2 + 4, j].tolist(),
            bottom=order[::-1][:6, j].tolist(),
        )
        for j in range(heads)
    ]
    clusters = {k: np.arange(n) % k for k in range(2, min(5, n))}
    near = np.argsort(((xy[:, None] - xy[None]) ** 2).sum(-1), axis=1)[:, 1:6] if n < 2000 else None
    return Contents(
        **dict(
            title="a <b>folder</b>",
            files=[*names, *(f"folder {i % 3}/{i:04d}.png" for i in range(n - len(names)))],
            thumbnail=thumbnail,
            xy=xy,
            whole=whole,
            picture=64,
            labels=np.arange(n) % 3 if labelled else None,
            classes=("cat", "dog", "</script>") if labelled else (),
            answers=answers.astype(np.float16) if heads else None,
            heads=shown,
            clusters=clusters,
            silhouette={k: 0.1 * k for k in clusters},
            stability={k: 1 - 0.1 * k for k in clusters},
            medoids={k: list(range(k)) for k in clusters},
            k=3 if 3 in clusters else None,
            advice="No clear k.",
            neighbours=near,
            duplicates=[
                dict(tier="same bytes", images=[0, n - 1], reason="the files' bytes are equal", kept="most bytes")
            ]
            if n > 1
            else [],
            outliers=[(n - 1, 2.5, "few colours")],
            curves=[dict(epoch=e, instance=5 - e / 10, knn=float("nan") if e % 2 else 0.5) for e in range(1, 6)],
            ledger=dict(found=n + 3, used=n, ignored={".mp4": 2}, unreadable=[("bad <i>.png", "damaged")], repeated=[]),
            notes={"method": "cd"},
            key="0123456789abcdef",
            recipe="cd, laptop, 1,000,000 views",
            width=300 + np.arange(n),
            height=200 + np.arange(n) % 7,
            bytes=10_000 + 17 * np.arange(n),
            measures={"highlights": np.linspace(0, 1, n), "sharpness": np.linspace(-4, 0, n)},
            quality=[
                dict(name="dark", measure="highlights", side="below", threshold=0.2, low=0, high=1, meaning="Dark."),
                dict(name="blurred", measure="sharpness", side="below", threshold=-3, low=-4, high=0, meaning="Blur."),
            ],
            names={"heads": {"10": "red"}, "clusters": {"3": {"0": "ships"}}},
            chance={k: 0.05 * k for k in clusters},
            density=dict(of=np.arange(n) % 3 - 1, medoids=[1, 2][: n - 1], advice="HDBSCAN finds 2 clusters.")
            if n > 2
            else None,
            label_first=list(range(n))[::-1][:20],
            since=dict(run="before", new=np.arange(n) % 5 == 0, gone=["old.png"], changed=[], says="8 images are new."),
            tests={"views": "Of 40 images 35 find their own second view first; 1 by chance."},
        )
        | others
    )


def review(n=300) -> Contents:
    """Contents with odd names, a long list of outliers, groups of near-duplicates that share files, and more."""
    mirrored = "one is the other's mirror image"
    made = contents(n, heads=3, names=ODD_NAMES)
    return replace(
        made,
        outliers=[(i, 1 - i / n, f"reason {i}") for i in range(0, 240, 2)],
        duplicates=[
            *made.duplicates,
            dict(tier="perceptual hash", images=[10, 11, 12], reason=mirrored, kept="most pixels"),
            dict(tier="same bytes", images=[1, 0], reason="equal", kept="first name"),
        ],
        label_first=[5, 50, 150, 250],
    )


class Page:
    """A report read back: every block, as the browser would."""

    def __init__(self, path):
        self.text = path.read_text(encoding="utf-8")
        self.blocks = dict(re.findall(r'<script type="text/plain" id="([\w-]+)">([^<]*)</script>', self.text))
        self.record = self.json("record")

    def bytes(self, name: str) -> bytes:
        return zlib.decompress(base64.b64decode(self.blocks[f"block-{name}"]))

    def json(self, name: str):
        return json.loads(self.bytes(name))

    def numbers(self, name: str) -> np.ndarray:
        planes = np.frombuffer(self.bytes(name), np.uint8)
        width = self.record["arrays"][name]["width"]
        return (planes.reshape(width, -1).astype(np.int64) * 256 ** np.arange(width)[:, None]).sum(0)

    def signed(self, name: str) -> np.ndarray:
        zigzag = self.numbers(name)
        return np.where(zigzag % 2, -(zigzag + 1) // 2, zigzag // 2)
