"""More graders of notebook 05: a step with a bug, the loss to predict, and how to read the heads' curve."""

import torch
from torch import Tensor, nn

from cdlearn.course.checks.grade import StillBroken, Wrong, call, checker, close, number
from cdlearn.course.checks.kinds import Choice, Prediction
from cdlearn.losses import cd_loss

RATE, LARGEST, STEPS = 0.5, 0.05, 3


class Small(nn.Module):
    """z and logits of a batch by one matrix each, in place of a network; a large input makes a large gradient."""

    def __init__(self):
        super().__init__()
        draw = torch.Generator().manual_seed(5)
        self.to_z = nn.Parameter(torch.randn(4, 3, generator=draw) / 8)
        self.to_logits = nn.Parameter(torch.randn(4, 5, generator=draw) / 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x @ self.to_z, x @ self.to_logits


def views() -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(9)
    first = [torch.randn(6, 4, generator=draw) for _ in range(STEPS)]
    return [(x, x + 0.3 * torch.randn(6, 4, generator=draw)) for x in first]


def path(step) -> tuple[Tensor, list[float]]:
    """The weights after each of a few steps, (STEPS, 32), and the losses that ``step`` returned."""
    model, weights, given = Small(), [], []
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for x1, x2 in views():
        given.append(step(model, optimizer, x1, x2, LARGEST))
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    return torch.stack(weights), given


def step_of(zero: bool = True, clip: str = "norm", pairs: str = "views"):
    """A step, right or with the slips named."""

    def step(model, optimizer, x1, x2, largest):
        z, logits = model(torch.cat([x1, x2]))
        halves = [t.chunk(2) if pairs == "views" else (t[::2], t[1::2]) for t in (z, logits)]
        loss = cd_loss(*halves[0], *halves[1], alpha=1.0)["loss"]
        if zero:
            optimizer.zero_grad()
        loss.backward()
        if clip == "norm":
            nn.utils.clip_grad_norm_(model.parameters(), largest)
        elif clip == "each":
            for weight in model.parameters():
                nn.utils.clip_grad_norm_([weight], largest)
        elif clip == "value":
            nn.utils.clip_grad_value_(model.parameters(), largest)
        optimizer.step()
        return loss.item()

    return step


STEP_SLIPS = {
    "Gradients of earlier steps add up: the first step is right, the second one is not. Something has to set them to "
    "zero once per step, before backward.": dict(zero=False),
    "Gradients of earlier steps add up, and nothing is clipped either.": dict(zero=False, clip=""),
    "Each tensor is clipped by itself, so the step turns to another direction. Give clip_grad_norm_ all parameters at "
    "once.": dict(clip="each"),
    "Each number is clipped by itself, so the step turns to another direction. Clip by the joint norm.": dict(
        clip="value"
    ),
    "The halves are not the two views any more: rows 0, 2, 4 and rows 1, 3, 5 show different images. The first N rows "
    "are the first view.": dict(pairs="rows"),
}


@checker
def check_step(given) -> str:
    """Checks ``given(model, optimizer, x1, x2, largest) -> float``: one step of training, with the gradient clipped."""
    want, losses = path(step_of())
    got, said = path(lambda *step: number(call(given, *step), "The loss that your step returns"))
    start = torch.cat([p.detach().flatten() for p in Small().parameters()])
    if close(got, path(step_of(clip=""))[0]):
        moved = float((got[0] - start).norm()) / RATE
        raise StillBroken(
            f"The gradient may be at most {LARGEST} long here, and yet the first step moves the weights by {moved:.2f} "
            "times the learning rate: nothing was clipped."
        )
    if close(got, start.expand_as(got)):
        raise Wrong("The weights stand still: when the optimiser takes its step, the gradients are empty or zero.")
    for words, slip in STEP_SLIPS.items():
        if close(got, path(step_of(**slip))[0]):
            raise Wrong(words)
    if not close(got, want):
        raise Wrong(
            "After three steps the weights are not where they should be. The order of a step: forward, loss, gradients "
            "to zero, backward, clip, step."
        )
    if not close(torch.tensor(said), torch.tensor(losses)):
        raise Wrong(f"The weights are right, but the step returns {said[0]:.3f} where the loss was {losses[0]:.3f}.")
    return (
        "Only between backward, which makes the gradient, and step, which uses it, is there anything to clip. "
        "The misplaced line raised no error, and with Adam the curves would hardly have shown it."
    )


check_loss_end = Prediction(
    within=0.2,
    praise="A network that encodes the photograph alone has 3.98. The real one encodes a little more, "
    "which lowers the loss, and its two views of a patch do not agree perfectly, which raises it. It ends slightly "
    "above.",
    low="Lower than 3.98 means separating patches of one photograph, and in every pair of views. Two crops of one "
    "brick wall look too much alike for that.",
    high="Knowing the photograph is enough for 3.98: only 30 of 254 negatives then stand where the positive stands. "
    "Twelve epochs suffice for that.",
    typical=4.09,
    slips={
        "That is where the loss begins: ln 255 = 5.54 is the loss of a network with identical patches.": 5.54,
        "3.57 would need every two patches orthogonal, also two patches of one brick wall. They look alike, so z "
        "cannot tell them apart.": 3.57,
        "0 is out of reach at any quality: 254 negatives at a cosine of 0 outvote one positive at 1, because the "
        "temperature is 0.5.": 0.0,
    },
)

check_heads_curve = Choice(
    "b",
    "The dotted line is the yardstick, not zero. Heads whose outputs are all 0.5 score exactly there, so what "
    "counts is the little way below it.",
    {
        "a": "A fraction of the start means little when there is so little room. Outputs lie between 0 and 1, so no "
        "two heads can have a cosine below 0, and with outputs near 0.5 they are nearly parallel. Which line could the "
        "curve reach at best?",
        "c": "The loss cannot approach 0: even with all 128 heads orthogonal, 254 negatives outvote one positive "
        "at temperature 1, which leaves 4.55. And both curves are nearly flat in the last epochs.",
        "d": "Orange lies below blue because the entropy is subtracted, and the right-hand picture shows that the "
        "entropy stays high. High entropy means uncertain outputs, not confident ones.",
    },
)
