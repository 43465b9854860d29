"""Images are recognised by what they show, wherever they lie: a run goes on with the very images it began with."""

import zlib

from torch import Tensor


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

    def following(self) -> Tensor | None:
        """The index of the next step, where its images are gathered ahead of time."""
        return self.index(self.step + 1) if self.batches.ahead and self.step + 1 < self.steps else None

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
        """What the method looks at: random views of a batch, and the images without augmentation, where needed.

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
        if self.step == 0:
            self.model.prepare(self.images)
            distributed.share(self.model)
        if compiling.pays(self.config.compile, self.device, self.steps - self.step):
            plain = self.views.apply_part, self.network
            self.compile()
            if not compiling.works(self.trial, self.model):
                self.views.apply_part, self.network = plain

    def compile(self) -> None:
        """Let torch.compile make a graph of the views and one of the loss for every size, when it is first seen."""
        self.views.apply_part = compiling.compiled(self.views.apply_part)
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
        }

    def restore(self, state: dict) -> None:
        """Continue from ``state``. Raises UserError if it belongs to other settings or images."""
        step, seconds, sums, history = checkpoint.progress(state)
        saved, mine = Config.from_dict(state.get("config")).as_dict(), self.config.as_dict()
        for name in mine:
            # a folder may have moved: what it is called says less of the images than their fingerprint
            if name not in (*MACHINE, "data") and saved[name] != mine[name]:
                raise UserError(f"the run was made with {name} {saved[name]}, not {mine[name]}; start a new run")
        if not is_of(state.get("images"), self.images):
            raise UserError("the images differ from those at the start of the run; restore them or start a new run")
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


def fingerprint(images: Tensor) -> list[int]:
    """The number of images (N, 3, H, W), their side and a checksum of every byte, to recognise them anywhere.

    Read in blocks, so a memory-mapped folder stays on the disk. 100,000 images of 64 px take 0.3 s where the system has
    them in memory (tests/benchmarks/fingerprints.py); else the first epoch would have to fetch them, too.
    """
    checksum = 0
    for block in images.split(1024):
        checksum = zlib.crc32(block.contiguous().cpu().numpy(), checksum)
    return [len(images), images.shape[-1], checksum]


def is_of(saved: object, images: Tensor) -> bool:
    """Whether a checkpoint's fingerprint is that of ``images``. Older ones are two numbers, of up to 256 of them."""
    if isinstance(saved, list) and len(saved) == 2:
        some = images[:: max(1, len(images) // 256)]
        return saved == [len(images), zlib.crc32(some.cpu().numpy().tobytes())]
    return saved == fingerprint(images)
