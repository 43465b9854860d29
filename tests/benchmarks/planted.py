"""A folder as people have them: 2,000 photographs of tiny10, flat, with planted copies and outliers.

Every choice depends on the seed alone. ``planted.csv`` beside the folder tells the truth: file, class, what it is, and
the file that it is a copy of.
"""

import csv
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

PHOTOGRAPHS = 2000
SIDE = 200  # px of a drawn outlier


def resized(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


def lightened(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.15)


def cropped(image: Image.Image, off: float = 0.05) -> Image.Image:
    """So much less at each side, at the old size."""
    width, height = image.size
    box = (round(off * width), round(off * height), width - round(off * width), height - round(off * height))
    return image.crop(box).resize(image.size, Image.Resampling.LANCZOS)


COPIES = {  # kind -> how many, and how one is made; exact copies are files with equal bytes
    "exact": (12, None),
    "saved again": (12, lambda image: image),
    "half size": (12, resized),
    "lightened": (12, lightened),
    "mirrored": (25, ImageOps.mirror),
    "cropped": (25, cropped),
    "mirrored and cropped": (12, lambda image: cropped(ImageOps.mirror(image))),
    "cropped by 12%": (12, lambda image: cropped(image, 0.12)),
}


def colour(draws: np.random.Generator) -> tuple[int, int, int]:
    return tuple(map(int, draws.integers(0, 256, 3)))


def text_lines(draw: ImageDraw.ImageDraw, draws: np.random.Generator, left: int, ink, step: int = 14) -> None:
    """Lines of made-up words."""
    font, words = ImageFont.load_default(), ["".join(draws.choice(list("abdegilmnorstuvz"), n)) for n in (3, 5, 7, 9)]
    for y in range(16, SIDE - 16, step):
        draw.text((left, y), " ".join(draws.choice(words, 6))[:30], fill=ink, font=font)


def smiley(draws: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw, r = ImageDraw.Draw(image), int(draws.integers(60, 90))
    draw.ellipse((100 - r, 100 - r, 100 + r, 100 + r), fill=(255, 215, 30), outline="black", width=4)
    for x in (100 - r // 3, 100 + r // 3):
        draw.ellipse((x - 8, 70, x + 8, 92), fill="black")
    draw.arc((100 - r // 2, 80, 100 + r // 2, 100 + r // 2), 20, 160, fill="black", width=5)
    return image


def black(draws: np.random.Generator) -> Image.Image:
    """As a photograph with the lid on: a little noise."""
    return Image.fromarray(draws.integers(0, 6, (SIDE, SIDE, 3)).astype(np.uint8))


def screenshot(draws: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), (250, 250, 250))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, SIDE, 12), fill=colour(draws))
    text_lines(draw, draws, 10, (40, 40, 40))
    return image


def drawing(draws: np.random.Generator) -> Image.Image:
    """A few even shapes."""
    image = Image.new("RGB", (SIDE, SIDE), colour(draws))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y, w, h = (int(v) for v in draws.integers(10, 110, 4))
        shape = draw.ellipse if draws.random() < 0.5 else draw.rectangle
        shape((x, y, x + w, y + h), fill=colour(draws))
    return image


def code(draws: np.random.Generator) -> Image.Image:
    """Black and white squares, as a QR code has them."""
    squares = (draws.random((25, 25)) < 0.5).astype(np.uint8) * 255
    return Image.fromarray(squares).resize((SIDE, SIDE), Image.Resampling.NEAREST).convert("RGB")


def scan(draws: np.random.Generator) -> Image.Image:
    """A page of text on greyish paper, a little askew."""
    image = Image.new("RGB", (SIDE, SIDE), (225, 222, 212))
    text_lines(ImageDraw.Draw(image), draws, 18, (70, 65, 60), step=11)
    image = image.rotate(float(draws.uniform(-3, 3)), Image.Resampling.BILINEAR, fillcolor=(225, 222, 212))
    noisy = np.asarray(image) + draws.normal(0, 4, (SIDE, SIDE, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


OUTLIERS = (smiley, black, screenshot, drawing, code, scan)


def plant(photographs: Path, folder: Path, seed: int, count: int = PHOTOGRAPHS) -> Path:
    """Fill ``folder`` unless it is there; returns the CSV beside it."""
    truth = folder.with_suffix(".csv")
    if truth.exists():
        return truth
    draws, rows = np.random.default_rng(seed), []
    files = sorted(path for path in photographs.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    files = [files[i] for i in draws.permutation(len(files))[:count]]
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(files):
        rows.append((f"photo {number:04d}.jpg", path.parent.name, "photograph", ""))
        shutil.copyfile(path, folder / rows[-1][0])
    at = 0
    for kind, (copies, change) in COPIES.items():
        for number in range(at, at + copies):  # of no photograph more than one copy
            name = f"{kind} {number:04d}.jpg"
            if change is None:
                shutil.copyfile(files[number], folder / name)
            else:
                change(Image.open(files[number]).convert("RGB")).save(folder / name, quality=75)
            rows.append((name, files[number].parent.name, kind, rows[number][0]))
        at += copies
    for stranger in OUTLIERS:
        rows.append((f"stranger {stranger.__name__}.jpg", "", "stranger", ""))
        stranger(draws).save(folder / rows[-1][0], quality=90)
    with truth.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("file", "class", "kind", "copy_of"), *rows])
    return truth
