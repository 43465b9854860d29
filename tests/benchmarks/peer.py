"""lightly's SimCLR and ours, the same seconds: ``python tests/benchmarks/peer.py --data FOLDER [--seconds S]``.

    python tests/benchmarks/peer.py --data path/to/cifar10 --limit 5000 --drawn 7 --seconds 120 --seeds 42 43 44

Both train the same network on the same images, held in memory, at the same size, batch and seconds of the clock, in
turns. lightly brings its transforms (as it advises for small images: half the colour strength, no blur), its projection
head and its loss, in float32, one forward pass per view, with ``--workers`` loader processes that are up before the
clock starts. From us it gets the optimizer, the learning rate, the crop range, and a schedule that falls with the time.
Any setting of cdlearn may be given; ``--methods`` names ours, and ``--only NAME`` adds ours with other settings. Prints
the views, NMI and kNN of both with their ratio; adds a row per run to figures/records/peer.csv. Needs the optional
package lightly.

The clock is fair on a machine that does nothing else. Where others compute too, three processes get more of it than
one: ``--by processor`` counts the processor's seconds of the training and its loaders instead. The record has both.
"""

import argparse
import gc
import importlib.util
import statistics
import time
from pathlib import Path

import psutil
import torch
from budget import RECORDS, append, scores, steps_ahead, train_for
from torch import nn
from torchvision.transforms import v2

from cdlearn.config import Config
from cdlearn.data import ImageSet, load
from cdlearn.methods.views import with_backbone
from cdlearn.runtime.commandline import guarded, settings_parser
from cdlearn.runtime.devices import cpu_kind, keep_memory
from cdlearn.runtime.errors import UserError
from cdlearn.trainer import Trainer, fresh_model, learning_rate

THEIRS = "lightly SimCLR"
SHOWN = ("views", "h nmi", "h knn", "z nmi", "z knn")


class Watch:
    """Seconds by the clock and of the processors, of this process and the children that it has now."""

    def __init__(self, by: str):
        self.by, self.processes = by, [psutil.Process(), *psutil.Process().children(recursive=True)]
        self.began = {"seconds": 0.0, "processor s": 0.0}
        self.began = self.read()

    def read(self) -> dict[str, float]:
        """Both, since this watch was made."""
        spent = sum(times.user + times.system for times in (process.cpu_times() for process in self.processes))
        now = {"seconds": time.monotonic(), "processor s": spent}
        return {name: value - self.began[name] for name, value in now.items()}

    def __call__(self) -> float:
        """The one that counts."""
        return self.read()["processor s" if self.by == "processor" else "seconds"]

    def rounded(self) -> dict[str, float]:
        return {name: round(value, 1) for name, value in self.read().items()}


class Images(torch.utils.data.Dataset):
    """Pictures in memory, and lightly's views of them."""

    def __init__(self, images: torch.Tensor, transform):
        self.images, self.transform = [v2.functional.to_pil_image(image) for image in images], transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.transform(self.images[index])


class Peer(nn.Module):
    """lightly's SimCLR around our network, with the ``represent`` that our scores ask for."""

    def __init__(self, config: Config):
        from lightly.models.modules import SimCLRProjectionHead
        from lightly.transforms.utils import IMAGENET_NORMALIZE

        super().__init__()
        self.backbone = fresh_model(config).backbone
        self.head = SimCLRProjectionHead(self.backbone.dim, config.hidden, config.dim)
        self.normalise = v2.Normalize(**IMAGENET_NORMALIZE)  # which its transforms do as well

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(x))

    def represent(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return with_backbone(self.backbone(self.normalise(x)), self.head)


def train_peer(config: Config, images: ImageSet, seconds: float, by: str, workers: int) -> tuple[nn.Module, dict]:
    """lightly's SimCLR for so many seconds: the model, and what it took."""
    from lightly.loss import NTXentLoss
    from lightly.transforms import SimCLRTransform

    torch.manual_seed(config.seed)
    transform = SimCLRTransform(config.size, cj_strength=0.5, gaussian_blur=0.0, min_scale=config.crop[0])
    loader = torch.utils.data.DataLoader(
        Images(images.images, transform), config.batch_size, True, num_workers=workers, drop_last=True,
        persistent_workers=workers > 0,
    )  # fmt: skip
    batches = (batch for _ in iter(int, 1) for batch in loader)
    model, criterion = Peer(config).train(), NTXentLoss(config.instance_temperature)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    following, step = next(batches), 0
    watch = Watch(by)
    while (spent := watch()) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step, steps_ahead(step, spent, seconds))
        loss = criterion(*(model(view) for view in following))
        optimizer.zero_grad()
        loss.backward()
        if config.clip:
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        following, step = next(batches), step + 1
    return model.eval(), watch.rounded() | {"views": 2 * step * config.batch_size}


def train_ours(config: Config, images: ImageSet, seconds: float, by: str) -> tuple[nn.Module, dict]:
    """Ours for so many seconds."""
    trainer, watch = Trainer(config.for_images(images), images.images), Watch(by)
    train_for(trainer, seconds, watch)
    return trainer.model, watch.rounded() | {"views": trainer.views_per_image * trainer.step * config.batch_size}


def comparison(rows: list[dict]) -> list[str]:
    """The lines of a table: mean ± standard deviation over seeds of each way, and ours as a fraction of lightly's."""
    ways = list(dict.fromkeys(row["way"] for row in rows))
    means, lines = {}, [f"{'':<22}" + "".join(f"{name:>18}" for name in SHOWN)]
    for way in ways:
        values = {name: [float(row[name]) for row in rows if row["way"] == way] for name in SHOWN}
        means[way] = {name: statistics.mean(of) for name, of in values.items()}
        spread = {name: statistics.stdev(of) if len(of) > 1 else 0.0 for name, of in values.items()}
        cells = [f"{means[way][name]:.{0 if name == 'views' else 3}f}" for name in SHOWN]
        cells = [
            f"{cell} ± {spread[name]:.{0 if name == 'views' else 3}f}" for cell, name in zip(cells, SHOWN, strict=True)
        ]
        lines.append(f"{way:<22}" + "".join(f"{cell:>18}" for cell in cells))
    for way in (way for way in ways if way != THEIRS and THEIRS in means):
        shares = [means[way][name] / means[THEIRS][name] if means[THEIRS][name] else float("nan") for name in SHOWN]
        lines.append(f"{way + ' / lightly':<22}" + "".join(f"{share:>18.2f}" for share in shares))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="of training")
    parser.add_argument("--by", choices=("clock", "processor"), default="clock", help="which seconds are meant")
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44])
    parser.add_argument(
        "--drawn", type=int, default=7, help="seed by which --limit draws images: the same for all runs"
    )
    parser.add_argument("--methods", nargs="+", default=["simclr"], help="ours")
    parser.add_argument("--only", metavar="NAME", help="do not train lightly's again; NAME is this way's in the record")
    parser.add_argument("--workers", type=int, default=2, help="loader processes of lightly")
    parser.add_argument("--record", type=Path, default=RECORDS / "peer.csv")
    asked, options = parser.parse_known_args()
    if importlib.util.find_spec("lightly") is None:
        raise UserError("lightly is not installed, and it is what this compares with: pip install lightly")
    given = vars(settings_parser("peer", "", Config, {}).parse_args(options))
    first = Config.preset(given.pop("preset", "laptop"), device="cpu", **given)
    images = load(first.data, first.size, first.limit, asked.drawn, stored=first.stored)
    if images.labels is None:
        raise UserError(f"{first.data} has no labels to score by; put each class into a sub-folder")
    keep_memory()  # for both, as they share a process
    machine = f"{cpu_kind()}, {torch.get_num_threads()} threads, {asked.workers} workers, torch {torch.__version__}"
    budget = f"{asked.seconds:g} s by the {asked.by}"
    print(f"{len(images):,} images of {first.data}, {first.size} px, {budget} each; {machine}", flush=True)
    rows = []
    for seed in asked.seeds:
        for way in asked.methods if asked.only else (THEIRS, *asked.methods):
            changes = {"seed": seed} | ({"amp": False, "method": "simclr"} if way == THEIRS else {"method": way})
            config = Config.preset(first.preset_name, device="cpu", **given | changes)
            if way == THEIRS:
                model, took = train_peer(config, images, asked.seconds, asked.by, asked.workers)
            else:
                model, took = train_ours(config, images, asked.seconds, asked.by)
            gc.collect()  # ends lightly's workers: idle ones would take the cores from ours
            row = {"data": Path(first.data).name, "images": len(images), "size": config.size, "budget": budget}
            row |= (
                {"seed": seed, "way": asked.only or way}
                | took
                | scores(model, images, config)[0]
                | {"machine": machine}
            )
            rows.append(row)
            append(asked.record, row)
            told = ", ".join(f"{name} {row[name]}" for name in ("seconds", "processor s", *SHOWN))
            print(f"  {seed} {way:<16}{told}", flush=True)
    print("\n".join(comparison(rows)))


if __name__ == "__main__":
    raise SystemExit(guarded(main))
