"""Checks of notebook 01, continued: what the views leave to the network, and a pair of views with a bug."""

import torch
from torch import Tensor

from cdlearn.course.checks.augmentation import between, drawn_with
from cdlearn.course.checks.grade import StillBroken, Wrong, call, checker, close, tensor
from cdlearn.course.checks.kinds import Choice, Prediction

check_pattern_known = Prediction(
    within=0.1,
    praise="Training made the network worse at the pattern than it was with random weights. Hue alone wins the game, "
    "and what does not help fades.",
    low="The direction is right: training makes the network worse at the pattern. But it loses less than that; a blind "
    "guess among four patterns is right for 0.25.",
    high="Training does not only add information. The hue of one view gives away the hue of the other, so hue wins the "
    "game alone. The loss does not reward keeping what is not needed.",
    typical=0.75,
)

check_loss_and_bars = Choice(
    right="b",
    praise="The loss measures how well the game is played, not by which cue. Never choose an augmentation by its loss.",
    wrong={
        "a": "Find the lowest curve, then look up its two bars. Which property does that network sort by?",
        "c": "The loss need not reach 0: the lower dotted line is perfect play. And the bars show that each network "
        "has learned something.",
        "d": "When the hue is rotated at random, the hue of one view does not predict that of the other. No number "
        "of epochs makes use of a cue that is not there.",
    },
)

check_one_grey = Prediction(
    within=0.015,
    praise="Either view can be the grey one: 2 x 0.2 x 0.8. In such a pair hue is no help to anybody.",
    low="Count both ways in which it can happen.",
    high="Both views grey, or neither, does not count.",
    typical=0.32,
    slips={
        "That is the chance that view 1 is grey and view 2 is not. Either of the two can be the grey one.": 0.16,
        "That is the chance of a view to be grey. A pair has two views.": 0.2,
        "This counts the pairs in which both are grey, 0.2 x 0.2, as well.": 0.36,
        "You add up two chances of 0.2. That counts pairs with two grey views twice; they do not belong here.": 0.4,
        "That is the chance that both are grey.": 0.04,
        "That is the chance that neither is grey.": 0.64,
    },
    digits=3,
)


def factors_of(view: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Each image's factor of lightness, and whether its view is mirrored. Raises Wrong if a view is neither."""
    factor = view.mean((1, 2, 3)) / images.mean((1, 2, 3))
    expected = factor.view(-1, 1, 1, 1) * images
    straight = (view - expected).abs().flatten(1).amax(1) < 1e-3
    mirrored = (view - expected.flip(3)).abs().flatten(1).amax(1) < 1e-3
    if not (straight | mirrored).all():
        raise Wrong(
            "Some views are neither their image times one factor nor the mirror image of that. Use one factor and one "
            "coin for each image, of shape (N, 1, 1, 1), and mirror along the last axis."
        )
    return factor, mirrored


@checker
def check_two_views(given):
    """Checks ``given(images, generator)``: two views, each image with its own factor and its own coin in each."""
    images = between(0.2, 0.6, 400, 3, 6, 6)
    pairs = [call(given, images, drawn_with(7)) for _ in range(2)]
    if any(not isinstance(pair, (list, tuple)) or len(pair) != 2 for pair in pairs):
        raise Wrong("Return two views: a list or a tuple of two tensors.")
    views, again = ([tensor(view, images.shape, "A view").float() for view in pair] for pair in pairs)
    if not all(torch.equal(*both) for both in zip(views, again, strict=True)):
        raise Wrong("With the same generator in the same state you give other views. Pass it on to every torch.rand.")
    (one, mirrored_one), (two, mirrored_two) = (factors_of(view, images) for view in views)
    if min(one.std(), two.std()) < 1e-3:
        raise Wrong("All images of a view have the same factor. Draw one per image.")
    if close(one, two, 1e-3):
        raise StillBroken(
            "Over 400 images, the factor of view 1 is exactly that of view 2. So a lighter image has two lighter "
            "views, and lightness alone finds the partner."
        )
    related = float(torch.corrcoef(torch.stack([one, two]))[0, 1])
    if abs(related) > 0.2:
        raise Wrong(f"The two factors of an image still depend on each other: their correlation is {related:.2f}.")
    for factor in (one, two):
        if abs(float(factor.min()) - 0.6) > 0.03 or abs(float(factor.max()) - 1.4) > 0.03:
            raise Wrong(
                f"The factors of a view lie between {float(factor.min()):.2f} and {float(factor.max()):.2f}; they "
                "should fill 0.6 to 1.4, as before."
            )
    for coin in (mirrored_one, mirrored_two):
        if not 0.35 < float(coin.float().mean()) < 0.65:
            raise Wrong(
                f"A fraction of {float(coin.float().mean()):.2f} of a view is mirrored; it should stay one half."
            )
    if not 0.35 < float((mirrored_one == mirrored_two).float().mean()) < 0.65:
        raise Wrong("Now the two views of an image share the coin. Every draw belongs inside the loop over the views.")
    return (
        "Each view draws its own factor, so lightness no longer finds the partner. A draw that two views share is "
        "handed to the network as a cue, without an error message."
    )
