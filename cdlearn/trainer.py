"""The training loop: Trainer takes one step, fit runs them all."""

import math
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cdlearn import checkpoint
from cdlearn.augment import TwoViews, to_size
from cdlearn.config import MACHINE, Config
from cdlearn.data import ImageSet
from cdlearn.data.fingerprints import check_same, fingerprint
from cdlearn.methods import build
from cdlearn.runtime import compiling, distributed, prefetch, rng
from cdlearn.runtime.devices import autocast, pick_device, tune
from cdlearn.runtime.errors import Interrupted, UserError
from cdlearn.runtime.signals import caught_signals

SAVE_EVERY = 60.0  # seconds between checkpoints within an epoch
SAVE_AFTER_EPOCH = 10.0  # the same at the end of an epoch, on a CPU, where saving is cheap
LOOK_EVERY = 10  # steps between looks at the loss, because each look waits for the GPU


def learning_rate(config: Config, step: int, steps: int, per_epoch: int = 1) -> float:
    """Linear warm-up over ``warmup`` steps (or a tenth of them all), then cosine decay to zero without restarts.

    per_epoch: steps per epoch; with ``epoch_schedule`` the decay is constant within an epoch.
    """
    rise = min(1.0, (step + 1) / max(1, min(config.warmup, steps // 10)))
    if config.epoch_schedule:
        step -= step % per_epoch
    fall = 0.5 * (1 + math.cos(math.pi * step / steps)) if config.cosine else 1.0
    return config.lr * rise * fall


class Trainer:
    """The state that a run carries from step to step, with save and restore.

    The randomness of a step depends only on the seed and the step's number. So on a CPU with the same number of
    threads, a restored run takes exactly the steps of the uninterrupted one. (A GPU adds up in no fixed order.)
    """

    def __init__(self, config: Config, images: Tensor, model: nn.Module | None = None):
        check_count(config, len(images))
        self.config = config
        self.device = distributed.own_device(pick_device(config.device))
        tune(self.device)
        self.images = prefetch.nearest(images, self.device)
        self.batches = prefetch.Batches(self.images, self.device)
        model = (fresh_model(config) if model is None else model).to(self.device, memory_format=torch.channels_last)
        self.model = distributed.synchronised(model, self.device)
        decay = dict(weight_decay=config.weight_decay, decoupled_weight_decay=True)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr, fused=True, **decay)
        self.views_per_image = (
            getattr(model, "views", 2) if getattr(model, "needs_views", True) else 1
        )  # views, or the image
        self.views = TwoViews.of(config, self.views_per_image)
        self.generator = torch.Generator(self.device)
        self.network = distributed.replicated(self.model, self.forward)
        self.precision = autocast(self.device, config.amp)  # asked once: the question would cut a compiled graph
        self.started = False
        self.steps_per_epoch = len(images) // config.batch_size  # the rest is left out of this epoch
        self.epochs = config.epochs_for(len(images))
        self.steps = self.epochs * self.steps_per_epoch
        self.step, self.seconds = 0, 0.0  # seconds of training in the epoch at hand
        self.order = (-1, Tensor())  # an epoch, and the order of images in it
        self.sums: dict[str, Tensor] = {}  # of the loss terms over the epoch at hand
        self.history: list[dict[str, float]] = []  # one row per epoch

    @cached_property
    def fingerprint(self) -> list[int]:
        """Of the images, which never change."""
        return fingerprint(self.images)

    def forward(self, *batch: Tensor) -> dict[str, Tensor]:
        return self.model.training_loss(*batch)

    def loss(self, *batch: Tensor) -> dict[str, Tensor]:
        """The terms of the method's loss of the views and the plain images, in the precision of the run."""
        with self.precision:
            return self.network(*batch)

    def compile(self) -> None:
        """Let torch.compile make one graph of the views and one of the loss, when they are first called."""
        self.views.apply_part = compiling.compiled(self.views.apply_part)
        self.network = compiling.compiled(self.network) if compiling.loss_pays() else self.network

    def index(self, step: int) -> Tensor:
        """The numbers of the images that this process sees in a step; their order is another in every epoch."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self.order[0] != epoch:
            order = torch.randperm(len(self.images), generator=rng.generator(self.config.seed, "order", epoch))
            self.order = (epoch, order.to(self.images.device))
        size = self.config.batch_size
        return self.order[1][place * size :][:size][distributed.part(size)]

    def gradient(self, batch: Tensor) -> dict[str, Tensor]:
        """The terms of the loss of a batch, and their gradient in the weights."""
        x = to_size(batch, self.config.size) if self.model.needs_unaugmented or self.views_per_image == 1 else None
        views = (x, x)
        if self.views_per_image > 1:
            rng.set_stream(self.generator, self.config.seed, "views", self.step)
            views = self.views(batch, self.generator, distributed.rank(), distributed.ranks())
        with rng.drawing(self.device, self.config.seed, "noise", self.step):  # random draws of the method itself
            terms = self.loss(*views, views[0] if x is None else x)
        self.optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()
        return terms

    def first_gradient(self, batch: Tensor) -> dict[str, Tensor]:
        """The same in the first step that this process takes, in which the method prepares and compiling may fail."""
        self.started = True
        if self.step == 0 and hasattr(self.model, "prepare"):
            self.model.prepare(self.images)
            distributed.share(self.model)  # threads and GPUs add up in no fixed order
        if not compiling.pays(self.config.compile, self.device, self.steps - self.step):
            return self.gradient(batch)
        plain = self.views.apply_part, self.network
        self.compile()
        terms = compiling.attempt(lambda: self.gradient(batch), self.model)
        if terms is None:
            self.views.apply_part, self.network = plain
        return terms or self.gradient(batch)

    def train_step(self) -> Tensor:
        """Take one step; returns a scalar on the device that is finite if loss and gradient are."""
        more, index = self.batches.ahead and self.step + 1 < self.steps, self.index(self.step)
        batch = self.batches(index, self.index(self.step + 1) if more else None)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step, self.steps, self.steps_per_epoch)
        epoch, place = divmod(self.step, self.steps_per_epoch)
        if place == 0 and hasattr(self.model, "begin_epoch"):
            self.model.begin_epoch(epoch, self.epochs, self.images)
            distributed.share(self.model)  # threads and GPUs add up in no fixed order
        if hasattr(self.model, "begin_step"):
            self.model.begin_step(epoch, self.epochs, index)
        terms = self.gradient(batch) if self.started else self.first_gradient(batch)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip or math.inf)
        self.optimizer.step()
        if hasattr(self.model, "after_step"):
            self.model.after_step(self.step, self.steps)
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
        self.step += 1
        return terms["loss"].detach() + norm

    def state(self) -> dict:
        """For the checkpoint: tensors, numbers and strings only."""
        return {
            "config": self.config.as_dict(),
            "images": self.fingerprint,
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
        """Continue from ``state``. Raises UserError if it belongs to other settings or images."""
        step, seconds, sums, history = checkpoint.progress(state)
        saved, mine = Config.from_dict(state.get("config")).as_dict(), self.config.as_dict()
        for name in mine:
            # a folder may have moved: what it is called says less of the images than their fingerprint
            if name not in (*MACHINE, "data") and saved[name] != mine[name]:
                raise UserError(f"the run was made with {name} {saved[name]}, not {mine[name]}; start a new run")
        check_same(state, self.images)
        try:
            if step > self.steps or len(history) != step // self.steps_per_epoch:
                raise ValueError(f"step {step} of {self.steps} with {len(history)} epochs")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["random"])
        except (KeyError, AttributeError, RuntimeError, ValueError, TypeError) as error:
            raise UserError(f"the checkpoint does not fit this run ({str(error).splitlines()[0]})") from error
        self.step, self.seconds, self.history = step, seconds, list(history)
        self.sums = {name: value.to(self.device) for name, value in sums.items()}


def all_finite(model: nn.Module) -> bool:
    """Whether every weight and every buffer is: BatchNorm's variances can be infinite where no weight is."""
    return bool(torch.stack([value.isfinite().all() for value in model.state_dict().values()]).all())


def check_count(config: Config, images: int) -> None:
    """Raises UserError if there are too few images for a batch, for the clusters, or for a contrast."""
    if images < 2:
        raise UserError(f"{images} image in {config.data}: at least 2 are needed, to be contrasted with each other")
    if config.batch_size > images:
        raise UserError(
            f"batch size {config.batch_size} is larger than the {images} images; pass --batch-size {images} or less"
        )
    distributed.check_batch(config.batch_size)
    if config.clusters > images:
        raise UserError(f"{images} images cannot be put into {config.clusters} clusters; pass a smaller --clusters")


def fresh_model(config: Config) -> nn.Module:
    """The untrained model of a run, on its device: the same weights for the same seed. Also the random network."""
    with rng.drawing(torch.device("cpu"), config.seed, "weights"):
        return build(config).to(pick_device(config.device))


def fit(
    config: Config,
    images: ImageSet | Tensor,
    out: Path | None = None,
    resume: bool = False,
    progress: bool = False,
    after_epoch: Callable[[Trainer], None] | None = None,
    model: nn.Module | None = None,
) -> nn.Module:
    """Train on uint8 images (N, 3, H, W); the labels of an ImageSet are not used.

    Args:
        out: folder for checkpoint.pt and metrics.csv; None keeps nothing on disk.
        resume: go on from out/checkpoint.pt.
        progress: show a bar with loss terms, views/s and the time left.
        after_epoch: called with the Trainer after each epoch; its ``history`` holds one row per epoch.
        model: what to train; None builds the method that ``config`` names. Any module with the methods' interface will
            do (see cdlearn.methods).

    Returns:
        The model, on its device, in evaluation mode; its ``history`` is the rows of metrics.csv.

    Raises:
        UserError: too few images, a loss that is no longer finite (the last good checkpoint stays), a full disk.
        Interrupted: after SIGINT, SIGTERM or SIGHUP, once the run is saved.
    """
    trainer = Trainer(config, images.images if isinstance(images, ImageSet) else images, model)
    if resume:
        trainer.restore(checkpoint.read(out / "checkpoint.pt"))
    if distributed.rank() > 0:
        out, progress = None, False
    with caught_signals() as caught:
        if out and not resume:
            save(trainer, out)  # so that a good checkpoint exists from the start, and a full disk shows now
        run(trainer, out, progress, after_epoch, caught)
    trainer.model.history = trainer.history
    return trainer.model.eval()


def run(trainer: Trainer, out: Path | None, progress: bool, after_epoch, caught: list[int]) -> None:
    """The loop: steps, looks, epochs, saves."""
    per_epoch, batch = trainer.steps_per_epoch, trainer.config.batch_size
    alone, cheap = distributed.ranks() == 1, trainer.device.type == "cpu"
    seen, unit = batch * trainer.views_per_image, "views" if trainer.views_per_image > 1 else "images"
    shown = dict(unit=unit, unit_scale=True, disable=not progress, dynamic_ncols=True)
    bar = tqdm(total=trainer.steps * seen, initial=trainer.step * seen, **shown)
    saved = time.monotonic()
    trainer.model.train()
    with bar:
        while trainer.step < trainer.steps:
            began, epoch = time.monotonic(), trainer.step // per_epoch
            finite = torch.ones((), dtype=torch.bool, device=trainer.device)
            while True:  # steps until the next look; nothing in this loop waits for the device
                finite = finite & torch.isfinite(trainer.train_step())
                ended = trainer.step % per_epoch == 0
                if ended or (caught and alone) or trainer.step % LOOK_EVERY == 0:  # ranks look at the same steps
                    break
            stop, finite = distributed.agree(caught, finite)
            since = time.monotonic() - saved
            due = since > (SAVE_AFTER_EPOCH if ended and cheap else SAVE_EVERY) or trainer.step == trainer.steps
            to_save = out is not None and bool(due or stop)
            # a finite gradient can still make too large a step; broken weights must not replace the good ones on disk
            if not finite or (to_save and not all_finite(trainer.model)):
                raise UserError(
                    f"loss, gradient or weights stopped being finite by step {trainer.step} (epoch {epoch + 1}); "
                    f"the last good checkpoint is kept; try a lower --lr than {trainer.config.lr:g}"
                )
            trainer.seconds += time.monotonic() - began
            done = (trainer.step - 1) % per_epoch + 1
            bar.set_description(f"epoch {epoch + 1}/{trainer.epochs}", refresh=False)
            bar.set_postfix({name: f"{value.item() / done:.3f}" for name, value in trainer.sums.items()}, refresh=False)
            bar.update(trainer.step * seen - bar.n)
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
    """Close the epoch: add one row for metrics.csv and reset the sums."""
    count = trainer.steps_per_epoch
    row = {"epoch": epoch + 1} | {name: value.item() / count for name, value in trainer.sums.items()}
    row["lr"] = learning_rate(trainer.config, trainer.step - 1, trainer.steps, count)
    row["seconds"] = round(trainer.seconds, 3)
    row["views/s"] = round(trainer.views_per_image * count * trainer.config.batch_size / trainer.seconds, 1)
    trainer.history.append(row)
    trainer.sums, trainer.seconds = {}, 0.0


def save(trainer: Trainer, out: Path) -> None:
    """Write checkpoint.pt, then metrics.csv from its history, so a resumed run's rows have no gap and no repetition."""
    checkpoint.save(out / "checkpoint.pt", trainer.state())
    checkpoint.write_rows(out / "metrics.csv", trainer.history)
