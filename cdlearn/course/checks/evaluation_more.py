"""More graders of notebook 06: a purity to predict, embedding with a bug, and ACC beyond the number of classes."""

import torch
from torch import Tensor, nn

from cdlearn.course.checks.grade import StillBroken, Wrong, call, checker, close, tensor
from cdlearn.course.checks.kinds import Choice, Prediction

check_purity = Prediction(
    within=0.08,
    praise="Four images in four classes: the most frequent class has 2.1 of them on average, a little over a half. "
    "That is purity for nothing. Small clusters look pure by chance.",
    low="Each cluster takes its most frequent class, whichever that is. Draw four images: only once in eleven times do "
    "they show four different classes.",
    high="Only clusters of a single image are always pure. Draw four images a few times and count the most frequent "
    "class: it is rarely all four.",
    typical=0.52,
    slips={
        "A quarter is what *one* fixed class gets in each cluster. Purity lets every cluster choose its most frequent "
        "class afterwards.": 0.25,
        "1 is reached when every image has a cluster of its own. Here four images share one.": 1.0,
    },
)


class Halver(nn.Module):
    """Features (N, 2) of images: their mean, and a number for their place."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x.float().mean((1, 2, 3)), x[:, 0, 0, 0].float()], dim=1)


@checker
def check_embed(given) -> str:
    """Checks ``given(model, images, batch_size) -> (N, D)``: features of every image, in order."""
    model = Halver()
    for count, size in ((12, 4), (10, 4), (3, 5), (7, 1)):
        images = (torch.arange(count * 12) % 251).to(torch.uint8).reshape(count, 3, 2, 2)
        want, whole = model(images), size * (count // size)
        got = call(given, model, images, size)
        if isinstance(got, Tensor) and got.ndim == 2 and len(got) == whole < count and close(got, want[:whole]):
            raise StillBroken(f"{count} images go in, in batches of {size}, and {whole} rows come out.")
        if isinstance(got, Tensor) and got.ndim == 2 and len(got) > count:
            raise Wrong(f"{count} images go in, {len(got)} rows come out: some images are embedded twice.")
        got = tensor(got, (count, 2), f"The result for {count} images in batches of {size}")
        if close(got, want):
            continue
        if close(got.sort(0).values, want.sort(0).values):
            raise Wrong("Every image is there, but not in its place: row i has to belong to image i, as label i does.")
        raise Wrong(f"The features of {count} images in batches of {size} are not those that the model gives.")
    return (
        "Every image has its row. Slicing past the end is safe in Python, so the last batch may simply be shorter. The "
        "published evaluation of CD loses its last batch just so."
    )


check_acc_falls = Choice(
    "b",
    "ACC matches one to one, so with 32 clusters 24 are counted as wrong, however pure they are. NMI measures how "
    "much a cluster reveals about the photograph and needs no match, so it falls far less.",
    {
        "a": "Smaller clusters mix fewer photographs, not more: cut any cluster in two, and no patch joins those of "
        "another photograph. The clusters carry as much information as before. What does ACC demand beyond that?",
        "c": "K-means stops at a minimum for any k; more clusters do not keep it from getting there. And NMI, computed "
        "from the very same clusters, falls far less.",
        "d": "Chance does fall with k, but these clusters are far above chance at every k: 32 random clusters of 4 "
        "classes had an ACC of 0.06 in section 3. Chance cannot explain the fall.",
    },
)
