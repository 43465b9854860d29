"""Training views/s, ours against the conventional way, in one run: ``python tests/benchmarks/speed.py``.

Conventional: torchvision's transforms image by image, float32, NCHW, one forward a view, as most published code does.
Ours: TwoViews on the batch, bf16 where the device has it, channels_last, one forward over both views. Same network,
size, batch, loss and optimiser, and both keep freed memory (devices.keep_memory), as they share a process. They take
turns, so that a noisy machine disturbs both; the median of each counts. ``--csv FILE`` adds a row to a file.
"""

import argparse
import csv
import gc
import statistics
import time
from pathlib import Path

import torch
from torchvision.transforms import v2

from cdlearn.config import Config
from cdlearn.data.shapes import make_shapes
from cdlearn.runtime.devices import keep_memory
from cdlearn.trainer import Trainer, fresh_model


def conventional(config: Config) -> v2.Compose:
    """CC's augmentation from torchvision's parts."""
    jitter = v2.ColorJitter(config.brightness, config.contrast, config.saturation, config.hue)
    return v2.Compose(
        [
            v2.RandomResizedCrop(config.size, config.crop, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([jitter], config.jitter),
            v2.RandomGrayscale(config.gray),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )


class TwoOfEach(torch.utils.data.Dataset):
    """Two augmented views of an image, as published code draws them."""

    def __init__(self, config: Config, images: torch.Tensor):
        self.images = [v2.functional.to_pil_image(image) for image in images]
        self.transform = conventional(config)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index]), self.transform(self.images[index])


class Conventional:
    """The same training step, written the usual way; the views are made in ``workers`` other processes, or here."""

    def __init__(self, config: Config, images: torch.Tensor, workers: int):
        self.model = fresh_model(config)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr)
        loader = torch.utils.data.DataLoader(
            TwoOfEach(config, images), config.batch_size, True, num_workers=workers, drop_last=True,
            persistent_workers=workers > 0,
        )  # fmt: skip
        self.batches = (batch for _ in iter(int, 1) for batch in loader)

    def train_step(self):
        x1, x2 = next(self.batches)
        loss = self.model.training_loss(x1, x2)["loss"]
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--stem", default="small")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3, help="turns each way takes")
    parser.add_argument("--steps", type=int, default=20, help="measured steps a turn")
    parser.add_argument("--warm-up", type=int, default=8, help="steps before them: loaders fill, memory settles")
    parser.add_argument("--csv", type=Path)
    asked = parser.parse_args()
    settings = {name: getattr(asked, name) for name in ("backbone", "stem", "size", "batch_size")}
    settings |= dict(device="cpu", epochs=1000)
    config = Config.preset("laptop", data="folder", **settings)
    as_usual = Config.preset("laptop", data="folder", per_view_batch_norm=True, **settings)
    keep_memory()
    images = make_shapes(8 * asked.batch_size, asked.size).images
    cores = torch.get_num_threads()
    network = f"{asked.backbone}, {asked.stem} stem, {asked.size} px, batch {asked.batch_size}"
    print(f"{network}, {cores} threads, torch {torch.__version__}")
    made = {
        "conventional, views in the main process": lambda: Conventional(as_usual, images, 0),
        f"conventional, {cores} loader workers": lambda: Conventional(as_usual, images, cores),
        "cdlearn": lambda: Trainer(config, images),
    }
    rates: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(asked.rounds):
        for name, make in made.items():  # made anew each turn: idle workers would take cores from the others
            way = make()
            for _ in range(asked.warm_up):
                way.train_step()
            began = time.perf_counter()
            for _ in range(asked.steps):
                way.train_step()
            rates[name].append(2 * asked.batch_size * asked.steps / (time.perf_counter() - began))
            del way
            gc.collect()  # ends its workers
    middle = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        print(f"  {name:<42}{middle[name]:7.0f} views/s   (turns {min(values):.0f} to {max(values):.0f})")
    best = max(rate for name, rate in middle.items() if name != "cdlearn")
    ratio = middle["cdlearn"] / best
    print(f"  cdlearn / the faster conventional way     {ratio:7.2f}")
    if asked.csv:
        row = {"network": network} | {name: round(rate) for name, rate in middle.items()} | {"ratio": round(ratio, 2)}
        new = not asked.csv.exists()
        with asked.csv.open("a", newline="") as file:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)


if __name__ == "__main__":
    main()
