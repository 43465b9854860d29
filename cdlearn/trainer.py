"""The training loop: Trainer, which takes the steps, and fit, which runs them all."""

import math
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cdlearn import checkpoint
from cdlearn.augment import TwoViews, to_size
from cdlearn.config import Config
from cdlearn.data import ImageSet
from cdlearn.methods import build
from cdlearn.runtime import distributed
from cdlearn.runtime.devices import autocast, keep_memory, pick_device
from cdlearn.runtime.errors import Interrupted, UserError
from cdlearn.runtime.signals import caught_signals

SAVE_EVERY = 60.0  # seconds between checkpoints within an epoch
SAVE_AFTER_EPOCH = 10.0  # seconds since the last one that make an epoch's end worth one
LOOK_EVERY = 10  # steps between looks at the loss: each look waits for a GPU to catch up


def learning_rate(config: Config, step: int, steps: int) -> float:
    """Linear warm-up over ``warmup`` steps (or a tenth of them all), then cosine decay to zero without restarts."""
    rise = min(1.0, (step + 1) / max(1, min(config.warmup, steps // 10)))
    fall = 0.5 * (1 + math.cos(math.pi * step / steps)) if config.cosine else 1.0
    return config.lr * rise * fall


class Trainer:
    """All that a run carries from one step to the next, and how to save and restore it.

    What is random in a step depends on the seed and the step's number alone, so on a CPU, with as many threads, a
    restored run takes the very steps that the uninterrupted one takes. (A GPU adds up in no fixed order.)
    """

    def __init__(self, config: Config, images: Tensor, model: nn.Module | None = None):
        check_count(config, len(images))
        self.config, self.images = config, images
        self.device = distributed.own_device(pick_device(config.device))
        if self.device.type == "cpu":
            keep_memory()
        if self.device.type == "cuda" and images.nbytes < 0.5 * torch.cuda.mem_get_info(self.device)[0]:
            self.images = images.to(self.device)  # uint8 on the device: no copy in the loop
        model = (fresh_model(config) if model is None else model).to(self.device, memory_format=torch.channels_last)
        self.model = distributed.synchronised(model, self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr, fused=True)
        self.views = TwoViews.of(config)
        self.generator = torch.Generator(self.device)
        self.loss = distributed.replicated(self.model, self.forward)
        if config.compile and self.device.type == "cuda":
            self.loss = torch.compile(self.loss)
            self.views.apply_part = torch.compile(self.views.apply_part)
        self.steps_per_epoch = len(images) // config.batch_size  # the rest of the shuffled images sits the epoch out
        self.epochs = config.epochs_for(len(images))
        self.steps = self.epochs * self.steps_per_epoch
        self.step = 0
        self.shuffled = -1  # the epoch whose order of images is at hand
        self.seconds = 0.0  # of training in the epoch at hand
        self.sums: dict[str, Tensor] = {}  # of the loss terms over the epoch at hand
        self.history: list[dict[str, float]] = []  # a row an epoch

    def forward(self, x1: Tensor, x2: Tensor, x: Tensor) -> dict[str, Tensor]:
        with autocast(self.device, self.config.amp):
            return self.model.training_loss(x1, x2, x)

    def train_step(self) -> Tensor:
        """One step; returns a number, on the device, that is finite where loss and gradient are."""
        epoch, place = divmod(self.step, self.steps_per_epoch)
        if self.shuffled != epoch:
            shuffle = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
            self.order = torch.randperm(len(self.images), generator=shuffle)
            self.order = self.order.to(self.images.device)
            self.shuffled = epoch
        size, rank, ranks = self.config.batch_size, distributed.rank(), distributed.ranks()
        index = self.order[place * size :][:size][distributed.part(size)]
        batch = self.images[index].to(self.device, non_blocking=True)
        self.generator.manual_seed(self.config.seed * 1_000_003 + 2**40 + self.step)
        x1, x2 = self.views(batch, self.generator, rank, ranks)
        x = to_size(batch, self.config.size) if self.model.needs_plain else x1
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step, self.steps)
        if self.step == 0 and hasattr(self.model, "prepare"):
            self.model.prepare(self.images)
            distributed.share_weights(self.model)  # threads and GPUs add up in no fixed order
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):  # what a method draws itself
            torch.manual_seed(self.config.seed * 1_000_003 + 2**41 + self.step)
            terms = self.loss(x1, x2, x)
        self.optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip or math.inf)
        self.optimizer.step()
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
        self.step += 1
        return terms["loss"].detach() + norm

    def state(self) -> dict:
        """For the checkpoint: tensors, numbers and strings only."""
        return {
            "config": self.config.as_dict(),
            "images": fingerprint(self.images),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "epoch": self.step // self.steps_per_epoch,
            "seconds": self.seconds,
            "sums": self.sums,
            "history": self.history,
            "random": torch.get_rng_state(),
        }

    def restore(self, state: dict) -> None:
        """Go on where ``state`` was taken. Raises UserError where it is not of these settings and images."""
        try:
            saved, mine = Config.from_dict(state["config"]).as_dict(), self.config.as_dict()
            for name in mine:
                if name != "device" and saved[name] != mine[name]:
                    raise UserError(f"the run was made with {name} {saved[name]}, not {mine[name]}; start a new run")
            if state["images"] != fingerprint(self.images):
                raise UserError("the images are not those that the run began with; restore them or start a new run")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
            self.sums = {name: value.to(self.device) for name, value in state["sums"].items()}
            self.history = list(state["history"])
            torch.set_rng_state(state["random"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise UserError(f"the checkpoint does not fit this run ({str(error).splitlines()[0]})") from error


def fingerprint(images: Tensor) -> list[int]:
    """The number of images (N, 3, H, W) and a checksum of up to 256 of them, to know them again."""
    some = images[:: max(1, len(images) // 256)]
    return [len(images), zlib.crc32(some.cpu().numpy().tobytes())]


def check_count(config: Config, images: int) -> None:
    """Raises UserError where there are too few images for a batch, for the clusters, or for any contrast at all."""
    if images < 2:
        raise UserError(
            f"{images} image in {config.data}: it has no other to be contrasted with; at least 2 are needed"
        )
    if config.batch_size > images:
        raise UserError(
            f"batch size {config.batch_size} is larger than the {images} images; pass --batch-size {images} or less"
        )
    distributed.check_batch(config.batch_size)
    if config.clusters > images:
        raise UserError(f"{images} images cannot be put into {config.clusters} clusters; pass a smaller --clusters")


def fresh_model(config: Config) -> nn.Module:
    """The untrained model of a run: the same weights for the same seed. Also the control called random network."""
    state = torch.get_rng_state()
    torch.manual_seed(config.seed)
    try:
        return build(config)
    finally:
        torch.set_rng_state(state)


def fit(
    config: Config,
    images: ImageSet | Tensor,
    out: Path | None = None,
    resume: bool = False,
    progress: bool = False,
    after_epoch: Callable[[Trainer], None] | None = None,
    model: nn.Module | None = None,
) -> nn.Module:
    """Train on uint8 images (N, 3, H, W); the labels of an ImageSet are not looked at.

    Args:
        out: folder for checkpoint.pt and metrics.csv; None keeps nothing on disk.
        resume: go on from out/checkpoint.pt.
        progress: show a bar with loss terms, views/s and the time left.
        after_epoch: called with the Trainer, whose ``history`` holds one row per epoch, after each of them.
        model: what to train; None builds the method that ``config`` names. Any module with the methods' interface will
            do (see cdlearn.methods).

    Returns:
        The model, on its device, in evaluation mode; its ``history`` is the rows of metrics.csv.

    Raises:
        UserError: too few images, a loss that is no longer finite (the last good checkpoint stays), a full disk.
        Interrupted: after SIGINT or SIGTERM, once the run is saved.
    """
    trainer = Trainer(config, images.images if isinstance(images, ImageSet) else images, model)
    if resume:
        trainer.restore(checkpoint.read(out / "checkpoint.pt"))
    if distributed.rank() > 0:
        out, progress = None, False
    elif out and not resume:
        save(trainer, out)  # so that there is a good checkpoint from the start, and a full disk is found out now
    with caught_signals() as caught:
        run(trainer, out, progress, after_epoch, caught)
    if out:
        checkpoint.write_text(out / "metrics.csv", to_csv(trainer.history))
    trainer.model.history = trainer.history
    return trainer.model.eval()


def run(trainer: Trainer, out: Path | None, progress: bool, after_epoch, caught: list[int]) -> None:
    """The loop: steps, looks, epochs, saves."""
    per_epoch, batch = trainer.steps_per_epoch, trainer.config.batch_size
    alone = distributed.ranks() == 1
    bar = tqdm(
        total=trainer.steps * batch * 2,
        initial=trainer.step * batch * 2,
        unit="views",
        unit_scale=True,
        disable=not progress,
        dynamic_ncols=True,
    )
    saved = time.monotonic()
    trainer.model.train()
    with bar:
        while trainer.step < trainer.steps:
            began, epoch = time.monotonic(), trainer.step // per_epoch
            finite = torch.ones((), dtype=torch.bool, device=trainer.device)
            while True:  # steps until something is to be looked at; nothing here waits for the device
                finite = finite & torch.isfinite(trainer.train_step())
                ended = trainer.step % per_epoch == 0
                if ended or (caught and alone) or trainer.step % LOOK_EVERY == 0:  # ranks look at the same steps
                    break
            stop, finite = distributed.agree(caught, finite)
            since = time.monotonic() - saved
            due = since > (SAVE_AFTER_EPOCH if ended else SAVE_EVERY) or trainer.step == trainer.steps
            to_save = out is not None and bool(due or stop)
            # a finite gradient can still make a step too large: such weights must not replace the good ones on disk
            if not finite or (to_save and not all(p.isfinite().all() for p in trainer.model.parameters())):
                raise UserError(
                    f"loss, gradient or weights stopped being finite by step {trainer.step} (epoch {epoch + 1}); "
                    f"the last good checkpoint is kept; try a lower --lr than {trainer.config.lr:g}"
                )
            trainer.seconds += time.monotonic() - began
            done = (trainer.step - 1) % per_epoch + 1
            bar.set_description(f"epoch {epoch + 1}/{trainer.epochs}", refresh=False)
            bar.set_postfix({name: f"{value.item() / done:.3f}" for name, value in trainer.sums.items()}, refresh=False)
            bar.update(trainer.step * batch * 2 - bar.n)
            if ended:
                end_epoch(trainer, epoch)
                if after_epoch:
                    after_epoch(trainer)
            if to_save:
                save(trainer, out)
                saved = time.monotonic()
            if stop:
                raise Interrupted(stop)


def end_epoch(trainer: Trainer, epoch: int) -> None:
    """Close the epoch: one row for metrics.csv, the sums back to nothing."""
    count = trainer.steps_per_epoch
    row = {"epoch": epoch + 1} | {name: value.item() / count for name, value in trainer.sums.items()}
    row["lr"] = learning_rate(trainer.config, trainer.step - 1, trainer.steps)
    row["seconds"] = round(trainer.seconds, 3)
    row["views/s"] = round(2 * count * trainer.config.batch_size / trainer.seconds, 1)
    trainer.history.append(row)
    trainer.sums, trainer.seconds = {}, 0.0


def save(trainer: Trainer, out: Path) -> None:
    """checkpoint.pt, then metrics.csv from its history: a resumed run's rows follow on without gap or repetition."""
    checkpoint.save(out / "checkpoint.pt", trainer.state())
    checkpoint.write_text(out / "metrics.csv", to_csv(trainer.history))


def to_csv(rows: list[dict[str, float]]) -> str:
    """Rows as CSV with a header; a column that a row lacks is left empty."""
    names = dict.fromkeys(name for row in rows for name in row)
    cells = [[f"{row[name]:.6g}" if name in row else "" for name in names] for row in rows]
    return "".join(",".join(line) + "\n" for line in ([names, *cells] if rows else []))
