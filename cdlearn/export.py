"""``python -m cdlearn.export RUN [--out DIR] [--onnx]``: a run's backbone, for programs that do not have cdlearn."""

from cdlearn import commands

if __name__ == "__main__":
    commands.answer_early(commands.export)

import copy
import importlib.util
import io
import json
import sys
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from cdlearn import checkpoint
from cdlearn.backbones import TinyResNet
from cdlearn.config import Config
from cdlearn.results.run_folder import data_name, folder_of, make_folder
from cdlearn.runtime.commandline import guarded
from cdlearn.runtime.errors import UserError
from cdlearn.runtime.fast_small_convs import SlicedConv
from cdlearn.runtime.normalizing import IMAGENET_STATISTICS
from cdlearn.runtime.paths import expanded

STEMS = {  # how torchvision's network becomes ours
    "imagenet": "net.fc = torch.nn.Identity()",
    "small": "net.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)\nnet.maxpool = net.fc = torch.nn.Identity()",
}
CARD = """# {title}

The backbone of a network that learned from images without labels, by the method `{method}` of cdlearn.
It turns images into {dim} features each, for a classifier, for search or for clustering.

- **Learned from**: {data}, {images}; {epochs} epochs, batches of {batch_size}, seed {seed}{start}
- **Network**: {backbone} with the {stem} stem, {parameters} parameters
- **Input**: float32 (N, 3, {size}, {size}), RGB, values in 0-1, {normalized}: the shorter
  side resized to {size} px (bilinear, antialiased), the centre cropped
- **Output**: float32 (N, {dim})

## How good it is

{scores}

## How to load it

{ways}
## What to know before use

It learned from its own images alone, without labels. It was not checked for fairness or safety.
 It was trained to ignore what the augmentation changes: place, size and colour, as given in config.json.
"""
RESNET = """By torchvision, strictly, so that every weight has its place:

```python
import safetensors.torch, torch, torchvision

net = torchvision.models.{backbone}()
{adapted}
net.load_state_dict(safetensors.torch.load_file("backbone.safetensors"))
features = net.eval()({seen})
```

"""
TINY = """By backbone.py, fifty lines beside the weights that define the network (to go on training it, too):

```python
import backbone

features = backbone.load()(images)
```

"""
EXPORTED = """By torch.export, for any number of images at once:

```python
import torch

net = torch.export.load("backbone.pt2").module()
features = net(images)
```
"""
ONNX = """
By onnxruntime:

```python
import onnxruntime

features = onnxruntime.InferenceSession("backbone.onnx").run(None, {"images": images.numpy()})[0]
```
"""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: _export(sys.argv[1:] if arguments is None else arguments))


def _export(arguments: list[str]) -> None:
    asked = commands.export().parse_args(arguments)
    for path in export(asked.run, asked.out or folder_of(asked.run) / "export", asked.onnx):
        print(path)


def export(run: Path, out: Path, onnx: bool = False) -> list[Path]:
    """Write the backbone and all that is needed to use it into ``out``; returns the paths.

    Raises:
        UserError: for a run that cannot be read, a folder that cannot be written, or a missing package.
    """
    missing = [name for name in ("onnx", "onnxscript") if onnx and importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--onnx needs {' and '.join(missing)}: pip install {' '.join(missing)}, or omit --onnx")
    run, out = folder_of(run), expanded(out)
    model, config = checkpoint.load_model(run)
    net = plain(model.backbone)
    make_folder(out)
    traced = program(net, config.size)
    contents = {
        "backbone.safetensors": safetensors.torch.save(
            {name: of.contiguous() for name, of in net.state_dict().items()},
            {"cdlearn": config.normalize or "none"},  # which statistics a pretrained start has to apply
        ),
        "config.json": (json.dumps(described(config, net), indent=1) + "\n").encode(),
        "backbone.pt2": saved(traced),
        "README.md": card(run, config, net, onnx).encode(),
    }
    if isinstance(net, TinyResNet):
        contents["backbone.py"] = tiny_source(net).encode()
    if onnx:
        contents["backbone.onnx"] = as_onnx(traced)
    for name, content in contents.items():
        checkpoint.write(out / name, lambda file, content=content: file.write(content))
    return [out / name for name in contents]


def plain(backbone: nn.Module) -> nn.Module:
    """A copy in evaluation mode, its convolutions PyTorch's own or sliced, weights in the usual order of memory."""
    net = copy.deepcopy(backbone).eval().to(memory_format=torch.contiguous_format)
    for module in net.modules():
        if isinstance(module, SlicedConv):  # of which a strided 1x1 one stays, or training what is exported may crash
            module.__class__ = SlicedConv if module.pointwise() > 1 else nn.Conv2d  # neither adds an attribute
    return net


def tiny_source(net: TinyResNet) -> str:
    """backbone.py: exported_tiny.py with this network's width and stem."""
    source, line = Path(__file__).with_name("exported_tiny.py").read_text(encoding="utf-8"), "WIDTH, FOLD = 32, 2"
    before, after = source.split(line)
    return f"{before}WIDTH, FOLD = {net.dim // 4}, {net.fold}{after}"


def program(net: nn.Module, size: int) -> torch.export.ExportedProgram:
    """``net`` traced, for any number of images of size x size pixels."""
    count = torch.export.Dim("count", min=1)
    with torch.no_grad():
        made = torch.export.export(net, (torch.zeros(2, 3, size, size),), dynamic_shapes=({0: count},))
    for (
        node
    ) in made.graph.nodes:  # each remembers the lines of our files that it came from, which are of no use outside
        node.meta.pop("stack_trace", None)
        node.meta.pop("nn_module_stack", None)
    return made


def saved(traced: torch.export.ExportedProgram) -> bytes:
    """The bytes of backbone.pt2."""
    buffer = io.BytesIO()
    torch.export.save(traced, buffer)
    return buffer.getvalue()


def as_onnx(traced: torch.export.ExportedProgram) -> bytes:
    """The bytes of backbone.onnx, weights inside, input ``images`` and output ``features``."""
    names = dict(input_names=["images"], output_names=["features"])
    try:
        made = torch.onnx.export(traced, **names, dynamo=True, external_data=False, verbose=False)
    except ImportError as error:
        raise UserError(f"--onnx: onnx is not whole here ({error}); pip install onnx onnxscript") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "backbone.onnx")
        made.save(path, external_data=False)
        return path.read_bytes()


def architecture(config: Config, net: nn.Module) -> str:
    """The name of the network: a setting, but where a method brings its own."""
    return getattr(net, "architecture", config.backbone)


def statistics(config: Config) -> dict[str, tuple[float, ...]]:
    """Mean and standard deviation by which pixels in 0-1 are normalised before the weights see them."""
    plain_pixels = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    return IMAGENET_STATISTICS if config.normalize == "imagenet" else plain_pixels


def described(config: Config, net: nn.Module) -> dict:
    """config.json: what a program has to know to use the weights, and what the network was taught to ignore."""
    ignored = ("crop", "brightness", "contrast", "saturation", "hue", "gray", "blur")
    settings = config.as_dict()
    return {
        "architecture": architecture(config, net),
        "stem": config.stem,
        **({"width": config.width} if config.backbone == "tiny" else {}),
        "size": config.size,
        **({name: list(of) for name, of in statistics(config).items()}),
        "resize": "shorter side to size, bilinear with antialiasing; then the central square",
        "features": net.dim,
        "method": config.method,
        "augmentation": {name: settings[name] for name in ignored},
    }


def card(run: Path, config: Config, net: nn.Module, onnx: bool) -> str:
    """README.md: the model card, with the scores that the run measured."""
    state = checkpoint.read(run / "checkpoint.pt")
    resnet = architecture(config, net).startswith("resnet")
    normalized, seen = "not normalised further (mean 0, std 1)", "images"
    if config.normalize == "imagenet":
        normalized = "which backbone.pt2 normalises by ImageNet's mean and std by itself"
        seen = "torchvision.transforms.functional.normalize(images, {mean}, {std})".format(**described(config, net))
    ways = RESNET.format(backbone=config.backbone, adapted=STEMS[config.stem], seen=seen) if resnet else ""
    ways += TINY if isinstance(net, TinyResNet) else ""
    start = state.get("weights")
    parameters = sum(of.numel() for of in net.parameters())
    filled = dict(
        title=f"Backbone of {run.resolve().name}",
        dim=net.dim,
        images=f"{state['images'][0]:,} images",
        epochs=state["epoch"],
        parameters=f"{parameters:,}",
        scores=scores(run),
        normalized=normalized,
        start="; from the weights {name}, SHA-256 {sha256}".format(**start) if start else "",
        ways=ways + EXPORTED + (ONNX if onnx else ""),
    )
    return CARD.format(**(config.as_dict() | {"data": data_name(config.data)} | filled))


def scores(run: Path) -> str:
    """The run's scores.json as a Markdown table; a sentence where it has none."""
    try:
        found = json.loads((run / "scores.json").read_text())
        rows = {stage: found[stage] for stage in ("raw pixels", "random network", "backbone")}
    except (OSError, ValueError, KeyError, TypeError):
        return "The run holds no scores."
    if "nmi" not in rows["backbone"]:
        spread = ", ".join(f"{stage} {of['spread']:.3f}" for stage, of in rows.items())
        return f"No labels, so no accuracy. Spread of the features (0 collapsed, about 1 spread evenly): {spread}."
    lines = ["Against labels that the training never saw, K-means over several seeds and a vote of 20 neighbours:", ""]
    lines += ["| features | NMI | ARI | ACC | kNN |", "|---|---|---|---|---|"]
    for stage, of in rows.items():
        cells = [f"{of[name]:.3f} ± {of[name + '_std']:.3f}" for name in ("nmi", "ari", "acc")]
        lines.append(f"| {stage} | {' | '.join(cells)} | {of['knn']:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
