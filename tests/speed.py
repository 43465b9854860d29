"""Training views/s, ours against the conventional way, in one run: ``python tests/speed.py [--backbone tiny] [--size 32]``.

Conventional: torchvision's transforms image by image, float32, NCHW, one forward a view, as most published code does.
Ours: TwoViews on the batch, bf16 where the device has it, channels_last, one forward over both views. Same network,
size, batch, loss and optimiser. The two take turns, so that a noisy machine disturbs both; the median of each counts.
"""

import argparse
import statistics
import time

import torch
from torchvision.transforms import v2

from cdlearn.config import Config
from cdlearn.shapes import make_shapes
from cdlearn.train import Trainer


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


class Conventional:
    """The same training step, written the usual way."""

    def __init__(self, config: Config, images: torch.Tensor):
        from cdlearn.train import fresh_model

        self.model = fresh_model(config)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr)
        self.transform = conventional(config)
        self.config = config
        self.images = [v2.functional.to_pil_image(image) for image in images]
        self.seconds = {"views": 0.0, "network": 0.0}

    def views(self, batch):
        return torch.stack([self.transform(image) for image in batch])

    def train_step(self):
        began = time.perf_counter()
        batch = [self.images[i] for i in torch.randperm(len(self.images))[: self.config.batch_size]]
        x1, x2 = self.views(batch), self.views(batch)
        drawn = time.perf_counter()
        loss = self.model.training_loss(x1, x2)["loss"]
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.seconds["views"] += drawn - began
        self.seconds["network"] += time.perf_counter() - drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7, help="turns each way takes")
    parser.add_argument("--steps", type=int, default=4, help="steps a turn")
    asked = parser.parse_args()
    settings = dict(backbone=asked.backbone, size=asked.size, batch_size=asked.batch_size, device="cpu", epochs=1000)
    config = Config.preset("laptop", data="folder", **settings)
    images = make_shapes(4 * asked.batch_size, asked.size).images
    ours = Trainer(config, images)
    usual = Conventional(Config.preset("laptop", data="folder", per_view_batch_norm=True, **settings), images)
    rates: dict[str, list[float]] = {"conventional": [], "cdlearn": []}
    for turn in range(asked.rounds + 1):  # the first turn warms up
        for name, way in (("conventional", usual), ("cdlearn", ours)):
            began = time.perf_counter()
            for _ in range(asked.steps):
                way.train_step()
            if turn:
                rates[name].append(2 * asked.batch_size * asked.steps / (time.perf_counter() - began))
    middle = {name: statistics.median(values) for name, values in rates.items()}
    print(
        f"{asked.backbone}, {asked.size} px, batch {asked.batch_size}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for name, values in rates.items():
        print(f"  {name:<13}{middle[name]:8.0f} views/s   (turns {min(values):.0f} to {max(values):.0f})")
    print(f"  ratio        {middle['cdlearn'] / middle['conventional']:8.2f}")
    share = usual.seconds["views"] / sum(usual.seconds.values())
    print(f"  the conventional way spends {share:.0%} of its time on the views")


if __name__ == "__main__":
    main()
