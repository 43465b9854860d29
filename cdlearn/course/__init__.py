"""What every notebook needs: the preset to run at, models trained once, and the table of controls that grows."""

import contextlib
import csv
import io
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import PIL.Image
import torch
from IPython.display import Image, display
from matplotlib.figure import Figure
from torch import nn

from cdlearn import checkpoint
from cdlearn.config import PRESETS, Config
from cdlearn.data import ImageSet, load
from cdlearn.evaluate import cluster_scores, knn_accuracy
from cdlearn.results.compare_seeds import VERDICTS
from cdlearn.results.run_folder import home_of
from cdlearn.runtime.devices import pick_device
from cdlearn.runtime.errors import UserError, did_you_mean
from cdlearn.trainer import fit

HOME = Path(__file__).resolve().parents[2]  # the repository
SCORES = ("nmi", "ari", "acc")
LARGE = 100_000  # bytes of a picture above which 256 colours have to do: notebooks are read over slow lines, too
LARGEST = 150_000  # bytes of a stored picture


def preset() -> str:
    """The preset that notebooks run at: ``CDLEARN_PRESET``, else gpu where there is one, else laptop."""
    asked = os.environ.get("CDLEARN_PRESET", "gpu" if torch.cuda.is_available() else "laptop")
    if asked not in PRESETS:
        raise UserError(f"CDLEARN_PRESET is {asked!r}{did_you_mean(asked, PRESETS)}; there are {', '.join(PRESETS)}")
    return asked


def pick(smoke: Any, laptop: Any, gpu: Any = None) -> Any:
    """The value for the preset at hand; gpu and paper take laptop's where they have none of their own."""
    if preset() == "smoke":
        return smoke
    return laptop if preset() == "laptop" or gpu is None else gpu


def figures() -> Path:
    """Where figures and tables go: figures/course, or a folder to be thrown away on the smoke preset."""
    folder = Path(tempfile.gettempdir(), "cdlearn-smoke") if preset() == "smoke" else HOME / "figures" / "course"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def show(figure: Figure, name: str = "", data: pd.DataFrame | list[dict] | None = None, alt: str = "") -> None:
    """Display a figure; with a ``name`` keep it as NAME.png in :func:`figures`, and its ``data`` as NAME.csv beside."""
    drawn = picture(figure, alt or name)
    if name:
        checkpoint.write(figures() / f"{name}.png", lambda file: file.write(drawn.data))
        if data is not None:
            table = pd.DataFrame(data).to_csv(index=False, float_format="%.6g", lineterminator="\n")
            checkpoint.write_text(figures() / f"{name}.csv", table)
    display(drawn)


def picture(figure: Figure, alt: str = "") -> Image:
    """A figure as the PNG that a notebook stores: sharp, or small where it is full of images."""
    for dpi in (150, 100):  # a large picture full of images has to do with fewer dots
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi)
        if buffer.tell() > LARGE:
            drawn, buffer = PIL.Image.open(buffer), io.BytesIO()
            drawn.convert("RGB").quantize(256).save(buffer, format="png", optimize=True)
        if buffer.tell() < LARGEST:
            break
    return Image(buffer.getvalue(), width=round(100 * figure.get_figwidth()), alt=alt)


def trained(progress: bool = False, **settings) -> tuple[nn.Module, Config, ImageSet]:
    """A model at the notebooks' preset, changed by ``settings``, with its Config and images; trained once, then loaded.

    The model's ``history`` holds a row an epoch. Runs are kept in runs/course; one whose settings differ in anything is
    not taken for it. Remove the folder to train anew.
    """
    config = Config.preset(preset(), **settings)
    images = load(config.data, config.size, config.limit, config.seed, stored=config.stored)
    config = config.for_images(images)
    out = run_folder(config)
    if (out / "done").exists():
        model, _ = checkpoint.load_model(out)
        model.to(pick_device(config.device), memory_format=torch.channels_last)  # as a fresh one
        model.history = checkpoint.read(out / "checkpoint.pt")["history"]
        return model, config, images
    return trained_into(out, config, images, progress), config, images


def run_folder(config: Config) -> Path:
    """Where :func:`trained` keeps the model of these settings."""
    return home_of(config, HOME / "runs" / "course")


def trained_into(out: Path, config: Config, images: ImageSet, progress: bool) -> nn.Module:
    """Train in a folder of one's own, and give it the name ``out`` when it is done.

    So two notebooks that want the same model at once never load half a run. Both train; the first to finish is kept.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        model = fit(config, images, own, progress=progress)
        (own / "config.json").write_text(json.dumps({"config": config.as_dict()}, indent=1) + "\n")
        (own / "done").touch()
        own.chmod(0o755)
        if not (out / "done").exists():
            shutil.rmtree(out, ignore_errors=True)  # a run that an older version left unfinished
            with contextlib.suppress(OSError):  # another process was first
                own.rename(out)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return model


def claim(holds: bool, sentence: str, about: str = "", verdict: str = "") -> None:
    """Print a sentence of the text with its figures, and fail where it no longer holds.

    So prose cannot drift from numbers. The smoke preset learns nothing: there it only prints what it would check.

    about: the comparison that the sentence is about, such as "heads over z, patches, short run, NMI"; two sentences
    about one comparison must have one verdict. verdict: one of compare_seeds.VERDICTS; not given, it is the one that
    the sentence has in its words. ``python tests/execute.py --claims`` collects all of them in figures/claims.csv.

    Raises:
        AssertionError: with the sentence, on any other preset.
        ValueError: for a comparison without exactly one verdict.
    """
    if about:
        sentence = f"{sentence} [{about}: {the_verdict(sentence, verdict)}]"
    if preset() == "smoke":
        print(f"needs the full preset: {sentence}")
        return
    assert holds, f"this does not hold here: {sentence}"
    print(f"✓ {sentence}")


def the_verdict(sentence: str, verdict: str = "") -> str:
    """The verdict that is given, or else the only one that the sentence has in its words. Raises ValueError."""
    found = [verdict] if verdict else [of for of in VERDICTS if re.search(rf"\b{of}\b", sentence)]
    if len(found) != 1 or found[0] not in VERDICTS:
        raise ValueError(
            f"{sentence!r} is about a comparison, so it needs one verdict of {', '.join(VERDICTS)}; "
            f"found {', '.join(found) or 'none'}"
        )
    return found[0]


def measured(features: torch.Tensor, images: ImageSet, seeds: int = 3) -> dict[str, float]:
    """NMI, ARI, ACC of K-means with their std over ``seeds`` K-means seeds, and kNN accuracy, against the labels."""
    return cluster_scores(features, images.labels, seeds=seeds) | {"knn": knn_accuracy(features, images.labels)}


def controls(notebook: str = "", rows: dict[str, dict[str, float]] | None = None) -> pd.DataFrame:
    """The table of controls, one row a representation of the same images; ``rows`` adds to it or replaces.

    notebook: the number of the notebook that measured the rows, such as "02". The table is kept as controls.csv in
    :func:`figures`, so that it grows from notebook to notebook.
    """
    path = figures() / "controls.csv"
    kept: dict[str, dict] = {}
    if path.exists():
        with path.open(newline="") as file:
            kept = {row["representation"]: row for row in csv.DictReader(file)}
    for name, scores in (rows or {}).items():
        cells = {"representation": name, "notebook": notebook}
        if name in kept and kept[name]["notebook"] < notebook:
            cells["notebook"] = kept[name]["notebook"]  # measured before: it stays where it was added
        for key in (*SCORES, *(f"{key}_std" for key in SCORES), "knn"):
            cells[key] = f"{scores[key]:.4f}"
        kept[name] = cells
    ordered = sorted(kept.values(), key=lambda row: row["notebook"])
    if rows:
        checkpoint.write_text(path, pd.DataFrame(ordered).to_csv(index=False, lineterminator="\n"))
    return pd.DataFrame(
        [
            {"representation": row["representation"]}
            | {key.upper(): f"{round(float(row[key]), 3) + 0.0:.3f} ± {float(row[key + '_std']):.3f}" for key in SCORES}
            | {"kNN": f"{float(row['knn']):.3f}", "measured in": row["notebook"]}
            for row in ordered
            if not notebook or row["notebook"] <= notebook  # what an earlier run of a later notebook left is its own
        ]
    )


def seconds_of(work: Callable[[], Any], repeats: int = 3) -> float:
    """The least time that ``work`` takes of ``repeats``, in seconds: what else the machine does only adds to it."""
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best
