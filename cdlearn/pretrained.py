"""A pretrained start: weights of a ResNet from elsewhere, or of a network of ours, for the backbone of a run.

Where they come from: torchvision (``--weights imagenet``), a file of torchvision's or timm's ResNet-18, 34 or 50, whose
names are the same, an exported backbone, or a run. Whatever does not fit is refused by name. The network goes on taking
pixels in [0, 1]; where the weights expect ImageNet's statistics, its first convolution applies them (backbones.py).
"""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from cdlearn import checkpoint
from cdlearn.backbones import backbone
from cdlearn.config import Config
from cdlearn.methods import METHODS
from cdlearn.runtime import weight_files
from cdlearn.runtime.errors import UserError
from cdlearn.runtime.normalizing import IMAGENET_STATISTICS
from cdlearn.runtime.paths import expanded

IMAGENET = "imagenet"
LARGE = 128  # pixels that a run with a large stem from elsewhere takes where nothing is said: they learned from 224
RESNETS = {  # blocks in each layer, and whether they are bottlenecks
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
}
STEMS = {(64, 3, 7, 7): "imagenet", (64, 3, 3, 3): "small"}  # by the shape of conv1
# A tensor of the first residual block of each kind: what stands before it in a file is the prefix of the backbone
ANCHORS = {"resnet": "layer1.0.conv1.weight", "numbered": "4.0.conv1.weight", "tiny": "blocks.0.conv1.weight"}
NUMBERED = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4", "9": "fc"}
PREFIXES = ("", "module.", "backbone.", "encoder.", "model.", "net.", "module.backbone.", "module.encoder.",
            "encoder_q.", "module.encoder_q.")  # of several in one file, the first of these is meant  # fmt: skip
HEADS = ("fc", "head", "heads", "classifier", "projector", "projection_head", "predictor", "prediction_head")


@dataclass(frozen=True)
class Weights:
    """Weights that were read and understood, before they meet a network.

    name: of the file, run or set, without its place. sha256: of the file. tensors: by their names in our backbone.
    total: tensors in the file. left_out: name of a part that is no backbone -> its number of tensors. normalize:
    ``imagenet`` or ``none``, the statistics that they expect.
    """

    name: str
    sha256: str
    tensors: dict[str, Tensor]
    total: int
    left_out: dict[str, int]
    backbone: str
    stem: str
    width: int
    normalize: str

    def settled(self, config: Config, free: frozenset[str] = frozenset()) -> Config:
        """``config`` with what the weights decide: the statistics, and those settings of ``free`` that they fix.

        Raises:
            UserError: where they do not fit the settings, naming both and the fix, or are not those of the network.
        """
        own = {"backbone": self.backbone, "stem": self.stem}
        own |= {"width": self.width} if self.backbone == "tiny" else {}
        taken = {name: value for name, value in own.items() if name in free}
        if "size" in free and taken.get("stem", config.stem) == "imagenet" and self.normalize == IMAGENET:
            taken["size"] = max(config.size, LARGE)
        config = replace(config, **taken | {"normalize": config.normalize or self.normalize})
        if not METHODS[config.method].uses_backbone:
            raise UserError(f"{config.method} has a network of its own, which {self.name} does not fit; omit --weights")
        for name, value in own.items():
            given, stem_of_resnet = getattr(config, name), name == "stem" and self.backbone != "tiny"
            if given != value and not stem_of_resnet:
                raise UserError(f"{self.name} has {name} {value}, and the run {name} {given}; pass --{name} {value}")
        if config.stem != self.stem and (config.freeze or not config.epochs_for(1)):
            raise UserError(
                f"conv1 of {self.name} does not fit the {config.stem} stem, and without training a fresh one would "
                f"spoil all that follows; pass --stem {self.stem}"
            )
        config.check()
        with torch.device("meta"):  # names and shapes alone, before a folder is made for the run
            self.fitting(backbone(config.backbone, config.stem, config.width))
        return config

    def put_into(self, net: nn.Module) -> None:
        """Copy the weights into ``net``, a fresh backbone of ours; a conv1 of the other stem stays fresh."""
        net.load_state_dict(net.state_dict() | self.fitting(net))

    def fitting(self, net: nn.Module) -> dict[str, Tensor]:
        """The tensors that go into ``net``, a backbone of ours: all but a conv1 of the other stem.

        Raises:
            UserError: for the first tensor that is missing, unexpected or of another shape.
        """
        wanted, kind = net.state_dict(), f"{self.name} is no {self.backbone} as torchvision builds it"
        given = {name: of for name, of in self.tensors.items() if name != "conv1.weight" or self.fits(net)}
        for name, of in given.items():
            if name not in wanted:
                raise UserError(f"{kind}: it has {name} as well")
            if of.shape != wanted[name].shape:
                raise UserError(f"{kind}: {name} is {shown(of.shape)}, not {shown(wanted[name].shape)}")
            if of.is_floating_point() and not of.isfinite().all():
                raise UserError(f"{self.name} is damaged: {name} is not finite everywhere")
        for name in wanted:  # old files do not count the batches, which nothing here reads
            if name not in self.tensors and not name.endswith("num_batches_tracked"):
                raise UserError(f"{self.name} is no whole {self.backbone}: {name} is missing")
        return given

    def fits(self, net: nn.Module) -> bool:
        """Whether conv1 of the weights has the stem of ``net``; always, where there is no such layer."""
        return "conv1.weight" not in self.tensors or self.tensors["conv1.weight"].shape == net.conv1.weight.shape

    def said(self, stem: str) -> str:
        """What is kept in a run with this stem, in one line."""
        fresh = stem != self.stem
        parts = [f"kept {len(self.tensors) - fresh:,} of {self.total:,} tensors of {self.name}"]
        parts += [f"fresh: conv1 ({stem} stem)"] if fresh else []
        parts += [f"left out: {', '.join(self.left_out)}"] if self.left_out else []
        return "; ".join(parts)

    def described(self, config: Config) -> dict[str, str]:
        """For config.json and the checkpoint."""
        return {"name": self.name, "sha256": self.sha256, "kept": self.said(config.stem)}


def resolved(config: Config, start: Weights | None, state: dict) -> tuple[Config, Weights | None]:
    """What ``config.weights`` names, read if it was not yet, and ``config`` with what it decides.

    state: the checkpoint of a resumed run, which needs the file no more: it remembers which statistics it expects.
    """
    if state:
        return replace(config, normalize=Config.from_dict(state.get("config")).normalize), None
    start = start or read(config.weights, config.backbone)
    return start.settled(config), start


def read(source: str, imagenet: str) -> Weights:
    """The weights that ``--weights`` names: imagenet, a file, a run, or the folder of an export.

    imagenet: the backbone whose weights the word "imagenet" stands for.

    Raises:
        UserError: naming the file and what is wrong with it.
    """
    path, name = downloaded(imagenet) if source == IMAGENET else found(expanded(source))
    tensors, beside = weight_files.read(path)
    own, left_out = backbone_of(tensors, name)
    kind, stem, width = architecture(own, name)
    normalize = normalization(kind, beside, path.with_name("config.json"))
    return Weights(name, weight_files.sha256(path), own, len(tensors), left_out, kind, stem, width, normalize)


def found(path: Path) -> tuple[Path, str]:
    """The file of weights in ``path``, a file or a folder, and its name without its place."""
    if not path.is_dir():
        return path, path.name
    for name in ("checkpoint.pt", "backbone.safetensors", "export/backbone.safetensors"):
        if (path / name).is_file():
            return path / name, f"{path.resolve().name}/{name}"
    raise UserError(f"{path} is no run and no export: there is neither checkpoint.pt nor backbone.safetensors in it")


def downloaded(kind: str) -> tuple[Path, str]:
    """torchvision's best weights of a ResNet for ImageNet: the file, downloaded once, and its name."""
    if kind == "tiny":
        raise UserError("there are no ImageNet weights of tiny; pass --backbone resnet18, resnet34 or resnet50")
    weights = torchvision.models.get_model_weights(kind).DEFAULT
    path = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
    if not path.is_file():
        try:
            weights.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:  # no network; a download of the wrong hash
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise UserError(
                f"cannot download {weights.url} ({reason}); fetch it elsewhere and put it at {path}, or pass "
                "--weights FILE"
            ) from error
    return path, f"{kind} {weights.name} ({path.name})"


def backbone_of(tensors: dict[str, Tensor], name: str) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The tensors of the backbone by our names, and how many there are of every other part.

    Raises:
        UserError: where there is no ResNet among them, or several.
    """
    prefix, kind = prefix_of(tensors, name)
    own, others = {}, Counter()
    for key, value in tensors.items():
        first, dot, rest = key.removeprefix(prefix).partition(".")
        first = NUMBERED.get(first, first) if kind == "numbered" else first
        if key.startswith(prefix) and first not in HEADS:
            own[first + dot + rest] = value
        else:
            others[key.removeprefix("module.").partition(".")[0] if not key.startswith(prefix) else first] += 1
    return own, dict(others)


def prefix_of(tensors: dict[str, Tensor], name: str) -> tuple[str, str]:
    """What stands before the names of the backbone's tensors, and which of ANCHORS they are named as."""
    seen = {
        key.removesuffix(anchor): kind
        for kind, anchor in ANCHORS.items()
        for key in tensors
        if key.endswith(anchor) and key.removesuffix(anchor)[-1:] in ("", ".")
    }
    if not seen:
        raise UserError(f"{name} is no ResNet of torchvision or timm, and no backbone of cdlearn: {listed(tensors)}")
    if len(seen) > 1 and not set(seen) & set(PREFIXES):
        raise UserError(f"{name} holds several networks ({', '.join(seen)}); save the one that is meant alone")
    prefix = next((each for each in PREFIXES if each in seen), next(iter(seen)))
    return prefix, seen[prefix]


def shown(shape: torch.Size) -> str:
    """A shape in words, for an error message."""
    return " x ".join(map(str, shape)) or "a single number"


def listed(tensors: dict[str, Tensor]) -> str:
    """The first names in a file, for an error message."""
    names = list(tensors)
    return f"its tensors are {', '.join(names[:3])}{', …' if len(names) > 3 else ''}"


def architecture(own: dict[str, Tensor], name: str) -> tuple[str, str, int]:
    """Backbone, stem and width that tensors belong to, by their names and shapes. Raises UserError for others."""
    if "stem.0.weight" in own:
        width, channels = own["stem.0.weight"].shape[:2]
        fold = math.isqrt(channels // 3)
        return "tiny", {2: "small", 4: "imagenet"}.get(fold, f"of {channels} channels"), width
    blocks = {match.group(1, 2) for match in map(re.compile(r"layer(\d)\.(\d+)\.").match, own) if match}
    depth = tuple(sum(layer == number for layer, _ in blocks) for number in "1234")
    kind = RESNETS.get((depth, "layer1.0.conv3.weight" in own))
    if kind is None:
        raise UserError(
            f"{name} is a ResNet of {' + '.join(map(str, depth))} blocks; there are {', '.join(RESNETS.values())}"
        )
    if "conv1.weight" not in own:
        raise UserError(f"{name} is no {kind} as torchvision builds it: conv1.weight is missing")
    shape = own["conv1.weight"].shape
    if tuple(shape) not in STEMS:
        needed = f"that of a {kind} is 64 x 3 x 7 x 7, or 3 x 3 in the small stem"
        raise UserError(f"conv1.weight of {name} is {shown(shape)}; {needed}")
    return kind, STEMS[tuple(shape)], Config.width


def normalization(kind: str, beside: dict, described: Path) -> str:
    """The statistics that weights expect: those of the run or export if it is ours, else ImageNet's for a ResNet.

    beside: what the file says beside its weights. described: the config.json that an export has.
    """
    if kind == "tiny":
        return "none"
    if beside.get("format") == checkpoint.FORMAT:
        return Config.from_dict(beside.get("config")).normalize or "none"
    if "cdlearn" in beside:
        return "imagenet" if beside["cdlearn"] == "imagenet" else "none"
    try:
        of = json.loads(described.read_text())
        return "imagenet" if tuple(of["mean"]) == IMAGENET_STATISTICS["mean"] else "none"
    except (OSError, ValueError, KeyError, TypeError):
        return IMAGENET
