"""Every setting once, each with its why, and the presets, from a laptop to the paper."""

import math
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real

from cdlearn.backbones import BACKBONES, STEMS
from cdlearn.losses import ENTROPIES, SIMILARITIES
from cdlearn.methods import METHODS, needs_clusters, views_of
from cdlearn.runtime.errors import UserError, did_you_mean

PRESETS = ("smoke", "laptop", "gpu", "paper")
MACHINE = ("device", "compile", "amp")  # settings that say where and how to compute, not what: a run may change them
RENAMED = {"rung": "preset_name"}  # settings that older runs have under another name
LARGEST = 10**12  # of any whole number: beyond it nothing ends, and products stop fitting 64 bits


@dataclass(frozen=True)
class Config:
    """The settings of a run. ``Config.preset(name, **overrides)`` is the way to make one."""

    preset_name: str = "laptop"  # the preset it came from
    # what is learned from
    data: str = "patches"  # a name in cdlearn.data.NAMES, or a folder
    size: int = 32  # side in pixels of what the network sees
    stored: int = 0  # side at which images are kept, for crops of real detail; 0: up to twice size, which scores better
    limit: int | None = None  # this many images, drawn with the seed; None takes all
    seed: int = 42  # the paper's
    # the network
    method: str = "cd"
    backbone: str = "tiny"
    stem: str = "small"  # imagenet is for 224 px; at 32 px it loses nearly everything
    width: int = 32  # channels of tiny's stem
    dim: int = 128  # d, size of z; in the paper as large as the batch
    hidden: int = 128  # width between the layers of projector and predictor; in the paper as wide as h
    heads: int = 128  # K; in the paper as many as the batch has images
    clusters: int = 0  # for methods that must be told; 0 takes the number of classes, see for_images
    # the loss
    alpha: float = 1.0  # weight of the entropy
    instance_temperature: float = 0.5
    feature_temperature: float = 1.0
    heads_similarity: str = "cosine"  # correlation gives the feature loss room, the more at temperature 0.2
    entropy_of: str = "answers"  # mean: heads say yes to half of the images, but may be sure of each
    head_batch_norm: bool = True  # before the sigmoid; Table 4 takes it away
    target_momentum: float = 0.996  # what byol's target keeps of itself in the first step; it rises to 1
    per_view_batch_norm: bool = False  # True as published: two passes, each with its own statistics; slower
    # the views
    recipe: str = ""  # the paper's colours and blur for cifar, stl10 or imagenet10; "" keeps the settings below
    crop: tuple[float, float] = (0.08, 1.0)  # share of the area a crop keeps
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    jitter: float = 0.8  # probability of the four above
    gray: float = 0.2
    blur: float = 0.0  # the paper blurs ImageNet-10 only
    both_views: bool = True  # False leaves one view plain (Tables 7 and 10)
    # the training
    epochs: int = 0  # 0: enough for `views` views, so that the time does not depend on the number of images
    views: int = 1_000_000
    batch_size: int = 128
    lr: float = 1e-3
    warmup: int = 50  # steps in which the learning rate rises; BatchNorm settles meanwhile
    cosine: bool = True  # to zero, without restarts
    epoch_schedule: bool = False  # True as published: the learning rate changes once per epoch, not with every step
    clip: float = 1.0  # largest gradient norm; 0 for no clipping
    weight_decay: float = 0.0  # apart from the gradient, as in AdamW; the paper has none
    # the machine
    device: str = ""  # "" takes cuda where there is one
    amp: bool = True  # bf16 if the device has units for it: 3 times as fast; losses stay in float32
    compile: bool = False  # GPUs only, because a CPU would need a C++ compiler and a minute
    # the scores
    kmeans_seeds: int = 3

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
        if overrides.get("epochs") and "views" in overrides:
            raise UserError("epochs and views both say how long to train; give one of them")
        settings = {"preset_name": name, **_PRESETS[name]}
        data = overrides.get("data", cls.data)
        if data in _ON and name != "paper":
            settings |= _ON[data][name]
        if name == "paper":
            settings["recipe"] = data if data in _RECIPES else "cifar"
        recipe = overrides.get("recipe", settings.get("recipe", ""))
        if recipe not in ("", *_RECIPES):
            known = ", ".join(_RECIPES)
            raise UserError(f"unknown recipe {recipe!r}{did_you_mean(recipe, _RECIPES)}; there are {known}")
        settings |= _RECIPES.get(recipe, {})
        if "views" in overrides:
            settings["epochs"] = 0  # or the preset's own would outvote them
        config = cls(**{**settings, **overrides})
        config.check()
        return config

    def check(self) -> None:
        """Raises UserError for the first setting that cannot work, naming it."""
        for field in fields(self):
            value, (fits, needed) = getattr(self, field.name), _KINDS[field.type]
            if not fits(value):
                raise UserError(f"{field.name} {value!r}: must be {needed}")
            if isinstance(value, Integral) and abs(value) > LARGEST:
                raise UserError(
                    f"{field.name} is a number of {len(str(abs(value)))} digits; at most {LARGEST:,} will do"
                )
        if not self.data.strip():
            raise UserError("data is empty; it names a data set or a folder")
        if self.method not in METHODS:
            raise UserError(f"unknown method {self.method!r}{did_you_mean(self.method, METHODS)}")
        words = dict(backbone=BACKBONES, stem=STEMS, heads_similarity=SIMILARITIES, entropy_of=ENTROPIES)
        for name, known in words.items():
            value = getattr(self, name)
            if value not in known:
                raise UserError(f"unknown {name} {value!r}{did_you_mean(value, known)}; there are {', '.join(known)}")
        if not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise UserError(f"crop {self.crop}: two shares of the area with 0 < low <= high <= 1")
        if self.size > 10_000:
            raise UserError(f"size {self.size}: must be at most 10000 pixels, far more than any network here sees")
        for name in ("size", "width", "dim", "hidden"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} {getattr(self, name)}: must be at least 1")
        if self.stored < 0:
            raise UserError(f"stored {self.stored}: must be at least 1, or 0 for up to twice the size")
        for name, least in (("batch_size", 2), ("heads", 2)):
            if getattr(self, name) < least:
                raise UserError(
                    f"{name} {getattr(self, name)}: must be at least {least}, to have something to contrast"
                )
        if self.clusters != 0 and self.clusters < 2:
            raise UserError(f"clusters {self.clusters}: must be at least 2, or 0 for as many as there are classes")
        if self.epochs < 0 or (self.epochs == 0 and self.views < 1):
            raise UserError(f"epochs {self.epochs}: must be at least 1, or 0 to let views decide")
        for name in ("lr", "instance_temperature", "feature_temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} {getattr(self, name)}: must be positive")
        for name in ("alpha", "clip", "warmup", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} {getattr(self, name)}: must not be negative")
        for name in ("brightness", "contrast", "saturation", "jitter", "gray", "blur", "target_momentum"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} {getattr(self, name)}: must lie between 0 and 1")
        if not 0 <= self.hue <= 0.5:
            raise UserError(f"hue {self.hue}: must lie between 0 and 0.5, half a turn of the colour circle")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed {self.seed}: must lie between 0 and 2^32 - 1")
        if self.kmeans_seeds < 1:
            raise UserError(f"kmeans_seeds {self.kmeans_seeds}: must be at least 1")

    @classmethod
    def from_dict(cls, settings: dict) -> "Config":
        """The reverse of :meth:`as_dict`. A setting that an older version did not have yet takes its default.

        Only ``stored`` does not: runs from before it kept their images at ``size``.

        Raises:
            UserError: for what are no settings, as from a damaged file, naming the first that cannot be.
        """
        if not isinstance(settings, dict):
            raise UserError("there are no settings in it")
        known = {f.name for f in fields(cls)}
        settings = {RENAMED.get(name, name): value for name, value in settings.items()}
        for name in settings:
            if name not in known:
                raise UserError(f"unknown setting {name!r}; a newer version of cdlearn may have made it")
        crop = settings.get("crop", cls.crop)
        before = {"stored": settings.get("size", cls.size)}
        config = cls(**before | settings | {"crop": tuple(crop) if isinstance(crop, list) else crop})
        config.check()
        return config

    def for_images(self, images) -> "Config":
        """These settings with ``clusters`` filled in, where the method needs it: the number of classes of an ImageSet.

        Raises:
            UserError: if the images have no labels to count classes by, or are all of one class.
        """
        if self.clusters or not needs_clusters(self.method):
            return self
        found = 0 if images.labels is None else len(images.labels.unique())
        if found < 2:
            known = "have no labels to count classes by" if images.labels is None else "are all of one class"
            raise UserError(
                f"{self.method} must be told the number of clusters, but the images {known}; pass --clusters K"
            )
        return replace(self, clusters=found)

    def epochs_for(self, images: int) -> int:
        """The number of epochs over this many images."""
        return self.epochs or max(1, round(self.views / (views_of(self.method) * images)))

    def as_dict(self) -> dict:
        """For config.json and the checkpoint."""
        return {**asdict(self), "crop": list(self.crop)}


def _whole(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


_KINDS = {  # the type of a field -> whether a value fits it, and what it must be, in words
    bool: (lambda value: isinstance(value, bool), "true or false"),
    int: (_whole, "a whole number"),
    float: (_number, "a number"),
    str: (lambda value: isinstance(value, str), "a word"),
    int | None: (lambda value: value is None or _whole(value), "a whole number or none"),
    tuple[float, float]: (lambda value: isinstance(value, (tuple, list)) and len(value) == 2
                          and all(map(_number, value)), "two numbers"),
}  # fmt: skip
_PRESETS = {
    "smoke": dict(width=8, heads=16, dim=16, hidden=32, batch_size=64, epochs=2, limit=512, crop=(0.2, 1.0)),
    "laptop": dict(crop=(0.2, 1.0)),
    "gpu": dict(backbone="resnet18", hidden=512, batch_size=512, heads=256, dim=256, epochs=200, crop=(0.2, 1.0),
                compile=True),
    "paper": dict(backbone="resnet34", stem="imagenet", size=224, hidden=512, epochs=1000, lr=3e-4, warmup=0,
                  per_view_batch_norm=True, amp=False, epoch_schedule=True),
}  # fmt: skip
# Half a swatch still shows the pattern, and so does a third of a piece of a photograph: hence a gentler crop. Hue tells
# nothing on either: hence a full turn of it
_HUE = dict(hue=0.5)
_ON = {
    "shapes": {
        "smoke": dict(crop=(0.5, 1.0)) | _HUE,
        "laptop": dict(crop=(0.5, 1.0), epochs=16, heads=256) | _HUE,
        "gpu": dict(crop=(0.5, 1.0)) | _HUE,
    },
    "motifs": {  # the views of shapes, because the same attributes are to survive them (see cdlearn/data/motifs.py)
        "smoke": dict(crop=(0.5, 1.0)) | _HUE,
        "laptop": dict(crop=(0.5, 1.0), epochs=12) | _HUE,
        "gpu": dict(crop=(0.5, 1.0)) | _HUE,
    },
    "patches": {
        "smoke": dict(crop=(0.3, 1.0)) | _HUE,
        "laptop": dict(crop=(0.3, 1.0), epochs=12, lr=2e-3) | _HUE,
        "gpu": dict(crop=(0.3, 1.0)) | _HUE,
    },
}
# Section 4 of the paper: colour strength s = 0.5 on CIFAR, s = 1 on STL-10 and ImageNet-10, and blur on the latter
_WEAK, _STRONG = (dict(brightness=0.8 * s, contrast=0.8 * s, saturation=0.8 * s, hue=0.2 * s) for s in (0.5, 1.0))
_RECIPES = {"cifar": _WEAK, "stl10": _STRONG, "imagenet10": {**_STRONG, "blur": 0.5}}
