"""Images as one uint8 tensor, with whatever is known of them."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cdlearn.data.reading import Reading


@dataclass(frozen=True)
class ImageSet:
    """Images and whatever is known of them.

    images: uint8 (N, 3, H, W), in memory or memory-mapped.
    labels: int64 (N,), or None where the images have no labels. Used for scores only, never for training.
    classes: the labels' names.
    attributes: for generated images, the name of each attribute and its value's number, int64 (N,).
    values: the names of each attribute's values, by number. An attribute may be left out.
    reading: how files were read, for those that come from files.
    held_out: images of the same kind that training must not see; they are scored beside the others. Or None.
    """

    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    attributes: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    held_out: "ImageSet | None" = None
    reading: Reading | None = None

    def __post_init__(self):
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise ValueError(f"images are uint8 N x 3 x H x W, got {self.images.dtype} {tuple(self.images.shape)}")
        for name, values in {"labels": self.labels, **self.attributes}.items():
            if values is not None and len(values) != len(self.images):
                raise ValueError(f"{len(values)} values of {name} for {len(self.images)} images")

    def __len__(self) -> int:
        return len(self.images)

    def named(self, attribute: str) -> tuple[str, ...]:
        """The names of an attribute's values; their numbers, if they have no names."""
        count = int(self.attributes[attribute].max()) + 1
        return self.values.get(attribute) or tuple(str(number) for number in range(count))

    def take(self, index: Tensor) -> "ImageSet":
        """The images at ``index``, with their labels and attributes."""
        return replace(
            self,
            images=self.images[index],
            labels=None if self.labels is None else self.labels[index],
            attributes={name: values[index] for name, values in self.attributes.items()},
        )
