"""Every setting once, with its default, range, help and why.

Nothing here imports torch at first, so that ``--help`` and a misspelt option are answered at once.
"""

import re
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any

from cdlearn.presets import RECIPES, settings_for
from cdlearn.runtime import options
from cdlearn.runtime.errors import UserError, did_you_mean
from cdlearn.runtime.options import option

PRESETS = ("smoke", "laptop", "gpu", "paper")
NAMES = ("patches", "shapes", "motifs", "digits", "cifar10", "cifar100-20", "stl10", "imagenet10")  # data sets
METHODS = ("cd", "simclr", "cc", "centres", "ae", "dae", "vae", "byol", "vicreg", "fastsiam", "decnn", "dcgan",
           "jule", "dec", "dac", "dccm", "pica")  # fmt: skip
MULTI_CROP = ("cd", "simclr", "cc", "byol", "vicreg", "fastsiam")  # methods that take views of several sizes


@dataclass(frozen=True)
class Config:
    """The settings of a run. ``Config.preset(name, **overrides)`` is the way to make one."""

    # fmt: off
    preset_name: str = option("laptop", f"where the other settings start: {', '.join(PRESETS)}", group="", was="rung")

    # what is learned from
    data: str = option("patches", f"a folder of images, or one of {', '.join(NAMES)}", group="data")
    size: int = option(32, "side in pixels of what the network sees", group="data", least=1, most=10_000)
    stored: int = option(0, "side in pixels at which images are kept, so that crops are cut from real detail",
                         group="data", least=1, unset="up to twice --size")  # which scores better than --size
    limit: int | None = option(None, "take this many images, drawn with the seed", group="data", least=1, unset="all")
    seed: int = option(42, "decides which images, weights, views and order are drawn", group="data",
                       least=0, most=2**32 - 1)  # 42 is the paper's

    method: str = option("cd", "how to learn", group="network", choices=METHODS)
    backbone: str = option("tiny", "the network that is kept", group="network",
                           choices=("tiny", "resnet18", "resnet34", "resnet50"))
    stem: str = option("small", "first layers of a ResNet; those of imagenet are for 224 px", group="network",
                       choices=("small", "imagenet"))  # at 32 px imagenet's loses nearly everything
    width: int = option(32, "channels of tiny's first layer", group="network", least=1)
    weights: str = option("", "a pretrained start: imagenet, a file of weights (.safetensors, .pt, .pth) or a run",
                          group="network", unset="random weights")  # see pretrained.py
    normalize: str = option("", "statistics by which a ResNet normalises its pixels", group="network",
                            choices=("none", "imagenet"), unset="as --weights needs, else none")
    freeze: bool = option(False, "leave the backbone of --weights as it is; train projector and heads only",
                          group="network")
    dim: int = option(128, "d, the size of the projection z", group="network", least=1)  # the paper: the batch size
    hidden: int = option(128, "width between the layers of projector and predictor", group="network", least=1)  # as h
    heads: int = option(128, "K, the number of feature heads", group="network",  # the paper: the batch size
                        least=2, because="to have something to contrast")
    clusters: int = option(0, "number of clusters, for the methods that need it", group="network",
                           least=2, unset="as many as there are classes")  # see for_images
    head_batch_norm: bool = option(True, "BatchNorm before the heads' sigmoid; Table 4 leaves it out", group="network")
    per_view_batch_norm: bool = option(False, "BatchNorm over each view by itself, as published; slower",
                                       group="network")

    alpha: float = option(1.0, "weight of the entropy", group="loss", least=0)
    instance_temperature: float = option(0.5, "temperature of the contrast between images", group="loss", above=0)
    feature_temperature: float = option(1.0, "temperature of the contrast between heads", group="loss", above=0)
    heads_similarity: str = option("cosine", "how heads are compared; correlation is best at a temperature near 0.2",
                                   group="loss", choices=("cosine", "correlation"))  # it gives the loss more room
    entropy_of: str = option("outputs", "entropy of every single output, or of each head's mean over a batch",
                             group="loss", choices=("outputs", "mean"), words_were={"answers": "outputs"})
    target_momentum: float = option(0.996, "what byol's target keeps of itself in the first step; it rises to 1",
                                    group="loss", least=0, most=1)

    recipe: str = option("", "the paper's colours and blur for this data set", group="views",
                         choices=tuple(RECIPES), unset="the settings below")
    crop: tuple[float, float] = option((0.08, 1.0), "smallest and largest fraction of the area that a crop keeps",
                                       group="views", above=0, most=1)
    brightness: float = option(0.4, "largest change of brightness", group="views", least=0, most=1)
    contrast: float = option(0.4, "largest change of contrast", group="views", least=0, most=1)
    saturation: float = option(0.4, "largest change of saturation", group="views", least=0, most=1)
    hue: float = option(0.1, "largest change of hue", group="views",
                        least=0, most=0.5, because="half a turn of the colour circle")
    jitter: float = option(0.8, "probability of the four changes above", group="views", least=0, most=1)
    gray: float = option(0.2, "probability of a view without colour", group="views", least=0, most=1)
    blur: float = option(0.0, "probability of a blurred view", group="views", least=0, most=1)  # ImageNet-10's alone
    both_views: bool = option(True, "augment both views; without it one stays plain (Tables 7 and 10)", group="views")
    small_views: int = option(0, "further views of every image, each small (multi-crop)", group="views", least=0)
    small_size: int = option(16, "side in pixels of the small views", group="views", least=1, most=10_000)
    small_crop: tuple[float, float] = option((0.08, 0.5), "smallest and largest fraction of the area in a small view",
                                             group="views", above=0, most=1)
    grow: str = option("", "smaller views at first: 16@0.4,24@0.75 is 16 px for 40% of the steps, 24 px until 75%",
                       group="views", unset="--size throughout")

    # by views, the time of a run does not depend on the number of images
    epochs: int = option(0, "passes over the images; 0 trains nothing", group="training",
                         least=0, unset="as many as --views fills")  # "0 trains nothing" is kept as views = 0
    views: int = option(1_000_000, "length of the training in views of images", group="training",
                        least=1, unset="no training")
    batch_size: int = option(128, "images in a step", group="training",
                             least=2, because="to have something to contrast")
    lr: float = option(1e-3, "peak learning rate", group="training", above=0)
    warmup: int = option(50, "steps in which the learning rate rises, while BatchNorm settles", group="training",
                         least=0)
    cosine: bool = option(True, "decay of the learning rate to zero, without restarts", group="training")
    epoch_schedule: bool = option(False, "change the learning rate once per epoch, as published, not with every step",
                                  group="training")
    clip: float = option(1.0, "largest norm of the gradient", group="training", least=0, unset="no clipping")
    weight_decay: float = option(0.0, "weight decay apart from the gradient, as in AdamW", group="training", least=0)

    # where and how to compute, not what: a run that is resumed may change these
    device: str = option("", "cpu, cuda, cuda:1, … or mps", group="machine", unset="a GPU if there is one")
    amp: bool = option(True, "compute in bf16 where the device has units for it", group="machine")  # 3 times as fast
    compile: bool = option(False, "let torch.compile make a GPU faster", group="machine")  # a CPU would need a compiler

    kmeans_seeds: int = option(3, "seeds of K-means that scores are averaged over", group="scores", least=1)
    # fmt: on

    @classmethod
    def preset(cls, name: str, **overrides) -> "Config":
        """The settings of a preset for the data at hand, changed by ``overrides``.

        Raises:
            UserError: for an unknown preset or setting (with the nearest name), or a value out of range.
        """
        if name not in PRESETS:
            raise UserError(f"unknown preset {name!r}{did_you_mean(name, PRESETS)}; there are {', '.join(PRESETS)}")
        known = {f.name for f in fields(cls)}
        for key in overrides:
            if key not in known:
                raise UserError(f"unknown setting {key!r}{did_you_mean(key, known)}")
        overrides = options.translated(cls, overrides)  # an older command may have an older word
        if overrides.get("epochs") and "views" in overrides:
            raise UserError("epochs and views both say how long to train; give one of them")
        if overrides.get("epochs") == 0 and "views" not in overrides:  # asked for, so there are none
            overrides = {**overrides, "views": 0}
        settings = settings_for(name, overrides.get("data", cls.data), overrides.get("recipe"))
        if "views" in overrides:
            settings["epochs"] = 0  # or the preset's own would outvote them
        config = cls(**{**settings, **overrides})
        config.check()
        return config

    def check(self) -> None:
        """Raises UserError for the first setting that cannot work, naming it."""
        options.check(self)
        if not self.data.strip():
            raise UserError("data is empty; it names a data set or a folder")
        for name in ("crop", "small_crop"):
            if getattr(self, name)[0] > getattr(self, name)[1]:
                raise UserError(f"{name} {getattr(self, name)}: the lower fraction of the area comes first")
        if self.freeze and not self.weights:
            raise UserError("freeze keeps the backbone as it starts, which is random here; pass --weights as well")
        if self.normalize == "imagenet" and self.backbone == "tiny":
            raise UserError("normalize imagenet is for the ResNets; tiny takes pixels as they are")
        self.sizes()
        for name in ("small_views", "grow"):
            if getattr(self, name) and self.method not in MULTI_CROP:
                known = f"leave it away, or take --method {', '.join(MULTI_CROP)}"
                raise UserError(f"{name} {getattr(self, name)}: {self.method} takes views of one size only; {known}")

    def sizes(self) -> tuple[tuple[int, float], ...]:
        """What ``grow`` says: the sizes before ``size``, each with the fraction of the steps until which it is used.

        Raises:
            UserError: if that is not a list of sizes below ``size`` and rising fractions between 0 and 1.
        """
        found = [re.fullmatch(r"(\d{1,5})@(\d?\.\d+)", part.strip()) for part in self.grow.split(",") if self.grow]
        pairs = tuple((int(each[1]), float(each[2])) if each else (0, 0.0) for each in found)
        until = [0.0, *(fraction for _, fraction in pairs), 1.0]
        if any(not 0 < size < self.size for size, _ in pairs) or any(a >= b for a, b in pairwise(until)):
            needed = f"sizes below {self.size} with rising fractions of the run, as in 16@0.4,24@0.75"
            raise UserError(f"grow {self.grow!r}: must be {needed}")
        return pairs

    @classmethod
    def from_dict(cls, settings: Any) -> "Config":
        """The reverse of :meth:`as_dict`. A setting that an older version did not have yet takes its default.

        Only ``stored`` does not: runs from before it kept their images at ``size``.

        Raises:
            UserError: for what are no settings, as from a damaged file, naming the first that cannot be.
        """
        if not isinstance(settings, dict):
            raise UserError("there are no settings in it")
        known = {f.name for f in fields(cls)}
        settings = options.translated(cls, settings)
        for name in settings:
            if name not in known:
                raise UserError(f"unknown setting {name!r}; a newer version of cdlearn may have made it")
        settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
        config = cls(**{"stored": settings.get("size", cls.size)} | settings)
        config.check()
        return config

    def for_images(self, images) -> "Config":
        """These settings with ``clusters`` filled in, where the method needs it: the number of classes of an ImageSet.

        Raises:
            UserError: if the images have no labels to count classes by, or are all of one class.
        """
        from cdlearn.methods import needs_clusters  # late, because it loads torch

        if self.clusters or not needs_clusters(self.method):
            return self
        found = 0 if images.labels is None else len(images.labels.unique())
        if found < 2:
            known = "have no labels to count classes by" if images.labels is None else "are all of one class"
            raise UserError(
                f"{self.method} must be given the number of clusters, but the images {known}; pass --clusters K"
            )
        return replace(self, clusters=found)

    def epochs_for(self, images: int) -> int:
        """The number of epochs over this many images; 0 if there is to be no training."""
        from cdlearn.methods import views_of  # late, because it loads torch

        of_image = views_of(self.method) + self.small_views
        return self.epochs or (max(1, round(self.views / (of_image * images))) if self.views else 0)

    def differences(self) -> dict:
        """The settings that are not at their defaults, so that a setting added later changes nothing here."""
        standard = type(self)().as_dict()
        return {name: value for name, value in self.as_dict().items() if value != standard[name]}

    def as_dict(self) -> dict:
        """For config.json and the checkpoint."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


MACHINE = options.in_group(Config, "machine")
