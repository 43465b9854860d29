"""The presets, from a laptop to the paper, what they change for a data set, and the recipes of views and loss."""

PRESET_SETTINGS: dict[str, dict] = {
    "smoke": dict(width=8, heads=16, dim=16, hidden=32, batch_size=64, epochs=2, limit=512, crop=(0.2, 1.0)),
    "laptop": dict(crop=(0.2, 1.0)),
    "gpu": dict(backbone="resnet18", hidden=512, batch_size=512, heads=256, dim=256, epochs=200, crop=(0.2, 1.0),
                compile=True),
    "paper": dict(backbone="resnet34", stem="imagenet", size=224, hidden=512, epochs=1000, lr=3e-4, warmup=0,
                  per_view_batch_norm=True, amp=False, epoch_schedule=True),
}  # fmt: skip
# Half a swatch still shows the pattern, and so does a third of a patch: hence a gentler crop. Hue carries no
# information on either: hence any hue shift
_HUE = dict(hue=0.5)
ON: dict[str, dict[str, dict]] = {
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
# ``published`` changes nothing: two views of one size, the colours of CIFAR-10, cosine heads at temperature 1.
# Section 4 of the paper: colour strength s = 0.5 on CIFAR, s = 1 on STL-10 and ImageNet-10, and blur on the latter
_WEAK, _STRONG = (dict(brightness=0.8 * s, contrast=0.8 * s, saturation=0.8 * s, hue=0.2 * s) for s in (0.5, 1.0))
RECIPES = {"published": {}, "cifar": _WEAK, "stl10": _STRONG, "imagenet10": {**_STRONG, "blur": 0.5}}


def settings_for(preset: str, data: str, recipe: str | None) -> dict:
    """What a preset changes for a data set; ``recipe`` is the one asked for, None leaves it to preset and data."""
    settings: dict = {"preset_name": preset, **PRESET_SETTINGS[preset]}
    if preset == "paper":
        settings["recipe"] = data if data in RECIPES else "cifar"
    elif data in ON:
        settings |= ON[data][preset]
    if recipe is not None:
        settings["recipe"] = recipe
    return settings | RECIPES.get(settings.get("recipe", ""), {})  # an unknown one is named by Config.check
