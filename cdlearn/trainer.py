"""The training loop: Trainer takes one step, fit runs them all."""

import math
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from cdlearn import checkpoint, pretrained
from cdlearn.augment import TwoViews, to_size
from cdlearn.config import MACHINE, Config
from cdlearn.data import ImageSet
from cdlearn.data.fingerprints import check_same, fingerprint
from cdlearn.methods import build, warn_about_phases
from cdlearn.methods.base import Method, checked
from cdlearn.runtime import compiling, distributed, prefetch, rng
from cdlearn.runtime.devices import autocast, pick_device, tune
from cdlearn.runtime.errors import Interrupted, UserError
from cdlearn.runtime.paths import expanded
from cdlearn.runtime.progress import Bar
from cdlearn.runtime.signals import caught_signals

SAVE_EVERY = 60.0  # seconds between checkpoints within an epoch
SAVE_AFTER_EPOCH = 10.0  # the same at the end of an epoch, on a CPU, where saving is cheap
CHECK_EVERY = 10  # steps between checks of the loss, because each waits for the GPU


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

    def __init__(self, config: Config, images: Tensor, model: Method | None = None):
        check_count(config, len(images))
        self.config = config
        self.device = distributed.own_device(pick_device(config.device))
        tune(self.device)
        self.images = prefetch.nearest(images, self.device)
        self.batches = prefetch.Batches(self.images, self.device)
        model = fresh_model(config) if model is None else checked(model, config)
        # torch's types know a device or a memory format, not both at once; in one call a GPU is sent one copy
        model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = distributed.synchronised(model, self.device)
        weights, decay = self.model.parameters(), config.weight_decay
        self.optimizer = torch.optim.AdamW(weights, lr=config.lr, weight_decay=decay, fused=True)
        self.views_per_image = model.views_per_image + config.small_views
        self.views = TwoViews.of(config, model.views_per_image, config.small_views)
        self.generator = torch.Generator(self.device)
        self.network = distributed.replicated(self.model, self.model.training_loss)
        self.precision = autocast(self.device, config.amp)  # asked once: the question would cut a compiled graph
        self.start: dict[str, str] = {}  # of pretrained weights: their name, hash, and what was kept
        self.epochs = config.epochs_for(len(images))
        self.steps_per_epoch = max(1, len(images) // config.batch_size)  # the rest is left out of this epoch
        self.steps = self.epochs * self.steps_per_epoch
        self.step, self.begun = 0, -1  # steps taken; the last one for which begin_step was called
        self.seconds = 0.0  # in the epoch at hand
        self.order = (-1, Tensor())  # an epoch, and the order of images in it
        self.sums: dict[str, Tensor] = {}  # of the loss terms over the epoch at hand
        self.history: list[dict[str, float]] = []  # one row per epoch

    def train_step(self) -> Tensor:
        """Take one step; returns a scalar on the device that is finite if loss and gradient are."""
        index, next_one = self.index(self.step), self.batches.ahead and self.step + 1 < self.steps
        batch = self.batches(index, self.index(self.step + 1) if next_one else None)
        self.begin_step(index)
        views, x = self.views_of(batch, self.step / self.steps)
        terms = self.loss(*views, x=x)
        self.optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip or math.inf)
        self.optimizer.step()
        self.model.after_step(self.step, self.steps)
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
        self.step += 1
        return terms["loss"].detach() + norm

    @cached_property
    def fingerprint(self) -> list[int]:
        """Of the images, which never change."""
        return fingerprint(self.images)

    def index(self, step: int) -> Tensor:
        """The numbers of the images that this process sees in a step; their order is another in every epoch."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self.order[0] != epoch:
            order = torch.randperm(len(self.images), generator=rng.generator(self.config.seed, "order", epoch))
            self.order = (epoch, order.to(self.images.device))
        size = self.config.batch_size
        return self.order[1][place * size :][:size][distributed.part(size)]

    def begin_step(self, index: Tensor) -> None:
        """Set the learning rate and call the method's hooks, once a step."""
        if self.begun == self.step:
            return
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step, self.steps, self.steps_per_epoch)
        epoch, place = divmod(self.step, self.steps_per_epoch)
        if place == 0:
            self.model.begin_epoch(epoch, self.epochs, self.images)
            distributed.share(self.model)  # threads and GPUs add up in no fixed order
        self.model.begin_step(epoch, self.epochs, index)
        self.begun = self.step

    def views_of(self, batch: Tensor, done: float) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """The method's input: random views of a batch, and the images without augmentation, where needed.

        done: the fraction of the run that is over, which decides the size of views that grow.
        """
        x = to_size(batch, self.config.size) if self.model.needs_unaugmented else None
        if self.views_per_image == 1:
            return (), x
        rng.set_stream(self.generator, self.config.seed, "views", self.step)
        return self.views(batch, self.generator, distributed.rank(), distributed.ranks(), done), x

    def loss(self, *views: Tensor, x: Tensor | None = None) -> dict[str, Tensor]:
        """The terms of the method's loss, in the precision of the run."""
        with self.precision, rng.drawing(self.device, self.config.seed, "noise", self.step):  # the method's own draws
            return self.network(*views, x=x)

    def prepare(self) -> None:
        """What comes before the loop: the method looks at all images, and views and loss are compiled if that pays."""
        self.model.train()
        if self.step == 0 < self.steps:
            self.model.prepare(self.images)
            distributed.share(self.model)
        if compiling.pays(self.config.compile, self.device, self.steps - self.step):
            plain = self.views.apply_part, self.network
            self.compile()
            if not compiling.works(self.trial, self.model):
                self.views.apply_part, self.network = plain  # type: ignore[method-assign]

    def compile(self) -> None:
        """Let torch.compile make a graph of the views and one of the loss for every size, when it is first seen.

        The compiled function takes the place of a method, which mypy refuses on principle.
        """
        self.views.apply_part = compiling.compiled(self.views.apply_part)  # type: ignore[method-assign]
        self.network = compiling.compiled(self.network) if compiling.loss_pays() else self.network

    def trial(self) -> None:
        """The gradient of the next step at every size to come, for compiling to fail here and not within the run."""
        index, done = self.index(self.step), self.step / self.steps
        self.begin_step(index)
        for later in (done, *(until for _, until in self.views.grow if until > done)):
            views, x = self.views_of(self.images[index].to(self.device), later)
            self.loss(*views, x=x)["loss"].backward()

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
            "weights": self.start,
        }

    def restore(self, state: dict) -> None:
        """Continue from ``state``. Raises UserError if it belongs to other settings or images."""
        step, seconds, sums, history = checkpoint.progress(state)
        saved, mine = Config.from_dict(state.get("config")).as_dict(), self.config.as_dict()
        for name in mine:
            # a folder may have moved: its name identifies the images less well than their fingerprint
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
        self.step, self.begun, self.seconds, self.history = step, -1, seconds, list(history)
        self.start = state.get("weights", {})
        self.sums = {name: value.to(self.device) for name, value in sums.items()}


def check_count(config: Config, images: int) -> None:
    """Raises UserError if there are too few images for a batch, for the clusters, or for a contrast."""
    if images < 2:
        raise UserError(f"{images} image in {config.data}: at least 2 are needed, to be contrasted with each other")
    if config.batch_size > images and config.epochs_for(images):
        raise UserError(
            f"batch size {config.batch_size} is larger than the {images} images; pass --batch-size {images} or less"
        )
    distributed.check_batch(config.batch_size)
    if config.clusters > images:
        raise UserError(f"{images} images cannot be put into {config.clusters} clusters; pass a smaller --clusters")


def fresh_model(config: Config, start: pretrained.Weights | None = None) -> Method:
    """What a run starts from, on its device: the seed's weights, like the random network; ``start`` in the backbone."""
    with rng.drawing(torch.device("cpu"), config.seed, "weights"):
        return build(config, start.put_into if start else None).to(pick_device(config.device))


def fit(
    config: Config,
    images: ImageSet | Tensor,
    out: Path | None = None,
    resume: bool = False,
    progress: bool = False,
    after_epoch: Callable[[Trainer], None] | None = None,
    model: Method | None = None,
    start: pretrained.Weights | None = None,
) -> Method:
    """Train on uint8 images (N, 3, H, W); the labels of an ImageSet are not used.

    Args:
        out: folder for checkpoint.pt and metrics.csv; None keeps nothing on disk.
        resume: go on from out/checkpoint.pt.
        progress: show a bar with loss terms, views/s and the time left.
        after_epoch: called with the Trainer after each epoch; its ``history`` holds one row per epoch.
        model: what to train, a subclass of cdlearn.methods.Method; None builds the method that ``config`` names.
        start: what ``config.weights`` names, if it is read already; a resumed run does not need it.

    Returns:
        The model, on its device, in evaluation mode; its ``history`` is the rows of metrics.csv.

    Raises:
        UserError: too few images, a loss that is no longer finite (the last good checkpoint stays), a full disk.
        Interrupted: after a signal that asks to stop (see cdlearn.runtime.signals), once the run is saved.
    """
    out = out and expanded(out)
    state = checkpoint.read(out / "checkpoint.pt") if resume and out else {}
    if config.weights and model is None:
        config, start = pretrained.resolved(config, start, state)
        model = fresh_model(config, start)
    trainer = Trainer(config, images.images if isinstance(images, ImageSet) else images, model)
    if resume:
        trainer.restore(state)
    elif start:
        trainer.start = start.described(config)
    if distributed.rank() > 0:
        out, progress = None, False
    warn_about_phases(config.method, trainer.epochs)
    with caught_signals() as caught:
        if out and not resume:
            save(trainer, out)  # so that a good checkpoint exists from the start, and a full disk shows now
        trainer.prepare()
        run(trainer, out, progress, after_epoch, caught)
    trainer.model.history = trainer.history
    return trainer.model.eval()


def run(trainer: Trainer, out: Path | None, progress: bool, after_epoch, caught: list[int]) -> None:
    """The loop: steps, checks of the loss, ends of epochs, saves."""
    each, saved = trainer.config.batch_size * trainer.views_per_image, time.monotonic()
    unit = "views" if trainer.views_per_image > 1 else "images"
    with Bar(trainer.steps * each, trainer.step * each, unit, progress) as bar:
        while trainer.step < trainer.steps:
            began = time.monotonic()
            stop, finite = distributed.agree(caught, steps_until_check(trainer, caught))
            ended = trainer.step % trainer.steps_per_epoch == 0
            pause = SAVE_AFTER_EPOCH if ended and trainer.device.type == "cpu" else SAVE_EVERY
            due = stop or time.monotonic() - saved > pause or trainer.step == trainer.steps
            to_save = out is not None and bool(due)
            epoch, place = divmod(trainer.step - 1, trainer.steps_per_epoch)
            # a finite gradient can still make too large a step; broken weights must not replace the good ones on disk
            if not finite or (to_save and not checkpoint.all_finite(trainer.model)):
                raise UserError(
                    f"loss, gradient or weights stopped being finite by step {trainer.step} (epoch {epoch + 1}); "
                    f"the last good checkpoint is kept; try a lower --lr than {trainer.config.lr:g}"
                )
            trainer.seconds += time.monotonic() - began
            means = {name: value.item() / (place + 1) for name, value in trainer.sums.items()}
            bar.show(f"epoch {epoch + 1}/{trainer.epochs}", means, trainer.step * each)
            if ended:
                end_epoch(trainer)
                if after_epoch:
                    after_epoch(trainer)
            if to_save and out:
                save(trainer, out)
                saved = time.monotonic()
            if stop:
                raise Interrupted(stop)


def steps_until_check(trainer: Trainer, caught: list[int]) -> Tensor:
    """Take steps until the next check of the loss; a bool on the device, whether all was finite.

    Nothing in this loop waits for the device. It ends early after a signal, but not with several processes, which have
    to check at the same steps.
    """
    alone = distributed.ranks() == 1
    finite = torch.ones((), dtype=torch.bool, device=trainer.device)
    while True:
        finite = finite & torch.isfinite(trainer.train_step())
        if trainer.step % trainer.steps_per_epoch == 0 or trainer.step % CHECK_EVERY == 0 or (caught and alone):
            return finite


def end_epoch(trainer: Trainer) -> None:
    """Close the epoch: add one row for metrics.csv and reset the sums."""
    count = trainer.steps_per_epoch
    row = {"epoch": trainer.step // count} | {name: value.item() / count for name, value in trainer.sums.items()}
    row["lr"] = learning_rate(trainer.config, trainer.step - 1, trainer.steps, count)
    row["seconds"] = round(trainer.seconds, 3)
    row["views/s"] = round(trainer.views_per_image * count * trainer.config.batch_size / trainer.seconds, 1)
    trainer.history.append(row)
    trainer.sums, trainer.seconds = {}, 0.0


def save(trainer: Trainer, out: Path) -> None:
    """Write checkpoint.pt, then metrics.csv from its history, so a resumed run's rows have no gap and no repetition."""
    checkpoint.save(out / "checkpoint.pt", trainer.state())
    checkpoint.write_rows(out / "metrics.csv", trainer.history)
