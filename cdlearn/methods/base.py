"""What the Trainer asks of a method: the loss, and hooks that do nothing unless a method needs them."""

from typing import Any, ClassVar

from torch import Tensor, nn

from cdlearn.runtime.errors import UserError


class Method(nn.Module):
    """A network with its loss. A new method is one file with a subclass, a line in METHODS, and its name in config.py.

    A subclass writes :meth:`training_loss` and :meth:`represent`, and changes only the attributes and hooks that it
    needs. Random draws come from torch's own state, which the Trainer sets in every step. What a method remembers from
    step to step lies in its buffers, or in parameters that need no gradient, so that a resumed run takes exactly the
    steps of an uninterrupted one.

    With several processes (runtime/distributed.py), each gets its slice of the batch and returns the loss of the whole
    batch: contrasted tensors go through ``gathered`` first, means over images through ``averaged``, random draws for
    images through ``random_like``.
    """

    views_per_image: ClassVar[int] = 2  # random views of every image in a step; 1: the plain image only, no views
    multi_crop: ClassVar[bool] = False  # whether it takes small_views more views, and views of several sizes
    needs_unaugmented: ClassVar[bool] = False  # whether training_loss gets the plain images as x
    needs_clusters: ClassVar[bool] = False  # whether it must be given config.clusters; its output is then (N, clusters)
    has_unused_parameters: ClassVar[bool] = False  # whether some weights have no part in some steps
    least_epochs: ClassVar[tuple[int, str]] = (1, "")  # how many its phases need, and what happens in fewer
    uses_backbone: ClassVar[bool] = True  # False: it brings a network of its own, which weights of others do not fit
    has_heads: ClassVar[bool] = False  # whether untrained_output gives a control for the output
    history: list[dict[str, float]]  # the rows of metrics.csv, once it is trained

    def training_loss(self, *views: Any, **plain: Any) -> dict[str, Tensor]:
        """The loss of a batch, and the terms that it consists of.

        Args:
            views: ``views_per_image`` random views, float (N, 3, S, S) in [0, 1]; none if that is 1. With
                ``multi_crop`` the small ones (N, 3, s, s) come behind them.
            plain: ``x``, the images without augmentation, likewise, if ``needs_unaugmented``; else None.

        Returns:
            Scalars by name. The first, ``loss``, is minimised; the others are reported.
        """
        raise NotImplementedError

    def represent(self, x: Tensor) -> dict[str, Tensor]:
        """What is evaluated: images (N, 3, S, S) -> ``backbone`` h (N, D) and ``output`` (N, K), in float32."""
        raise NotImplementedError

    def untrained_output(self, h: Tensor, reference: Tensor | None = None) -> Tensor:
        """The control for ``output`` where ``has_heads``: that of heads that were never trained. See CD's."""
        raise NotImplementedError

    def prepare(self, images: Tensor) -> None:
        """Called once, before the first step of a run; not when it is resumed. images: uint8 (N, 3, H, W), all."""

    def begin_epoch(self, epoch: int, epochs: int, images: Tensor) -> None:
        """Called before the first step of every epoch, where a method may look at all images, to cluster them, say.

        Afterwards all processes get the weights and buffers of the first.
        """

    def begin_step(self, epoch: int, epochs: int, index: Tensor) -> None:
        """Called before every step, also the first after a resume, so a method need not remember its phase.

        index: (n,), the numbers of the images that this process will see in the step.
        """

    def after_step(self, step: int, steps: int) -> None:
        """Called after the optimiser's step, to move an average of the weights, say. step: counted from 0."""


def checked(model: nn.Module, config) -> Method:
    """``model``. Raises UserError if it is no Method, or does not take the views that are asked for."""
    kind = type(model).__name__
    if not isinstance(model, Method):
        raise UserError(f"{kind} is no method of cdlearn; make it a subclass of cdlearn.methods.Method")
    if (config.small_views or config.grow) and not model.multi_crop:
        raise UserError(f"{kind} takes views of one size only; leave small_views and grow away, or set its multi_crop")
    return model
