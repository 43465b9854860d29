"""Where the time of a training step goes, ours beside the conventional way: ``python tests/benchmarks/stages.py``.

Each stage (crop, colour, forward, backward, step) in milliseconds a step and in views/s, on the CPU or a GPU, both ways
measured in turns in one run (speed.py says what is conventional; its views are made here in the main process).
Beside them the arithmetic of forward and backward, counted by PyTorch, as a fraction of what this device reaches
in one large matrix product of the same type. ``--csv FILE`` keeps the table.
"""

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from speed import TwoOfEach, conventional
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import v2

from cdlearn.augment import TwoViews
from cdlearn.config import Config
from cdlearn.data.shapes import make_shapes
from cdlearn.runtime import compiling
from cdlearn.runtime.devices import fast_bf16, pick_device
from cdlearn.trainer import Trainer, fresh_model

STAGES = ("crop", "colour", "forward", "backward", "step")


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(device: torch.device, work: Callable):
    """(seconds, result) of ``work``."""
    wait(device)
    began = time.perf_counter()
    result = work()
    wait(device)
    return time.perf_counter() - began, result


class Step:
    """One way to take a training step, cut into stages. Subclasses say how views are made and what the loss is."""

    def take(self) -> dict[str, float]:
        """Take a step; seconds a stage. Colour is what the whole of the views takes beyond cropping alone."""
        crop, _ = timed(self.device, lambda: self.views(cropped_only=True))
        whole, views = timed(self.device, lambda: self.views(cropped_only=False))
        self.optimizer.zero_grad(set_to_none=True)
        forward, loss = timed(self.device, lambda: self.loss(*views))
        backward, _ = timed(self.device, loss.backward)
        step, _ = timed(self.device, self.update)
        return dict(zip(STAGES, (crop, whole - crop, forward, backward, step), strict=True))

    def update(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def arithmetic(self) -> int:
        """Floating-point operations of forward and backward: a multiplication and an addition count two."""
        views = self.views(cropped_only=False)
        with FlopCounterMode(display=False) as counter:
            self.loss(*views).backward()
        return counter.get_total_flops()


class Ours(Step):
    """The Trainer's step."""

    def __init__(self, config: Config, images: torch.Tensor):
        self.trainer = Trainer(config, images)
        self.device, self.model, self.optimizer = self.trainer.device, self.trainer.model, self.trainer.optimizer
        self.batch = self.trainer.images[: config.batch_size].to(self.device)
        self.all = self.trainer.views
        self.crop = TwoViews(config.size, config.crop, jitter=0, gray=0, blur=0)
        if config.compile and self.device.type == "cuda":  # as the Trainer's are
            self.trainer.compile()
            self.crop.apply_part = compiling.compiled(self.crop.apply_part)
        self.model.train()

    def views(self, cropped_only: bool):
        return (self.crop if cropped_only else self.all)(self.batch, self.trainer.generator)

    def loss(self, x1, x2):
        return self.trainer.loss(x1, x2)["loss"]


class AsUsual(Step):
    """Image by image, float32, NCHW, one forward a view."""

    def __init__(self, config: Config, images: torch.Tensor):
        self.device = pick_device(config.device)
        self.model = fresh_model(config).to(self.device).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr)
        self.images = TwoOfEach(config, images[: config.batch_size]).images
        self.whole = conventional(config)
        tail = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        self.part = v2.Compose([*self.whole.transforms[:2], *tail])

    def views(self, cropped_only: bool):
        transform = self.part if cropped_only else self.whole
        return [torch.stack([transform(image) for image in self.images]).to(self.device) for _ in range(2)]

    def loss(self, x1, x2):
        return self.model.training_loss(x1, x2)["loss"]


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second in a large matrix product: the best of five."""
    side = 8192 if device.type == "cuda" else 2048
    a = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / min(timed(device, lambda: a @ a)[0] for _ in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--stem", default="small")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--device", default="")
    parser.add_argument("--steps", type=int, default=10, help="measured steps of each way, in turns")
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--csv", type=Path)
    asked = parser.parse_args()
    settings = {name: getattr(asked, name) for name in ("backbone", "stem", "size", "batch_size", "device")}
    settings |= dict(data="folder", epochs=1000)
    images = make_shapes(asked.batch_size, asked.size).images
    ways = {
        "cdlearn": Ours(Config.preset(asked.preset, **settings), images),
        "conventional": AsUsual(Config.preset(asked.preset, per_view_batch_norm=True, **settings), images),
    }
    device = ways["cdlearn"].device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(
        f"{asked.backbone}, {asked.stem} stem, {asked.size} px, batch {asked.batch_size}; {name}, {torch.__version__}"
    )
    taken: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(asked.warm_up + asked.steps):
        for way, step in ways.items():
            seconds = step.take()
            if number >= asked.warm_up:
                taken[way].append(seconds)
    rows = []
    for stage in (*STAGES, "whole"):
        row, middle = {"stage": stage}, {}
        for way, steps in taken.items():
            middle[way] = statistics.median(sum(s.values()) if stage == "whole" else s[stage] for s in steps)
            rate = f"{2 * asked.batch_size / middle[way]:.0f}" if middle[way] > 0 else "too fast to tell"
            row |= {f"{way} ms": f"{1e3 * middle[way]:.2f}", f"{way} views/s": rate}
        faster = min(middle.values()) > 0
        row["times faster"] = f"{middle['conventional'] / middle['cdlearn']:.2f}" if faster else ""
        rows.append(row)
    print("".join(f"{name:>22}" for name in rows[0]))
    for row in rows:
        print("".join(f"{value:>22}" for value in row.values()))
    reduced = ways["cdlearn"].trainer.config.amp and fast_bf16(device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32  # a peak in what convolutions are done in
    work = ways["conventional"].arithmetic()  # the network's; ours adds some zeros for speed, which are no work done
    for way, dtype in (("cdlearn", torch.bfloat16 if reduced else torch.float32), ("conventional", torch.float32)):
        best = peak(device, dtype)
        seconds = statistics.median(s["forward"] + s["backward"] for s in taken[way])
        print(
            f"{way}: {work / 1e9:.1f} GFLOP a step, {work / seconds / 1e12:.3f} TFLOP/s in forward and backward, "
            f"{work / seconds / best:.0%} of the {best / 1e12:.2f} TFLOP/s of a large {dtype} matrix product"
        )
    if asked.csv:
        with asked.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
