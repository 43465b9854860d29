"""Checks of notebook 00: where a loss begins, what K-means sorts by, and a score that can be fooled."""

import math

import torch
from torch import Tensor

from cdlearn.course.checks.grade import Wrong, call, checker, close, diagnose, number
from cdlearn.course.checks.kinds import Choice, Prediction

check_pixel_clusters = Choice(
    right="b",
    praise="Every row has one colour and many photographs. To raw pixels, colour is the largest difference.",
    wrong={
        "a": "Look along one row: does it show one photograph, or several in one colour?",
        "c": "Some rows show large patches beside small ones. What do all patches of a row have in common?",
        "d": "The rows are not mixed at random: something is the same along each of them.",
    },
)

check_blind_guess = Prediction(
    within=0.05,
    praise="Five candidates that look alike each get the probability 1/5, and -ln(1/5) = ln 5 = 1.61.",
    low="The network must choose among five candidates, and it gives each the same probability p. The loss is -ln p.",
    high="The network must choose among five candidates, and it gives each the same probability p. The loss is -ln p, "
    "with the natural logarithm.",
    typical=1.61,
    slips={
        "You count six candidates, but a view is not compared with itself: five are left.": round(math.log(6), 2),
        "You count four candidates: these are the wrong ones. The partner is a candidate, too.": round(math.log(4), 2),
        "You count three candidates, the images. But every image is there in two views.": round(math.log(3), 2),
        "That is in bits. Losses are measured in nats, with the natural logarithm.": round(math.log2(5), 2),
        "That is the probability of a blind guess; the loss is minus its logarithm.": 0.2,
        "That is the number of candidates; the loss is its logarithm.": 5.0,
        "The sign is wrong: ln p is negative, so the loss is -ln p.": -1.61,
    },
)

check_loss_curves = Choice(
    right="c",
    praise="The dotted line at 4.54 is the score of heads whose outputs are all 0.5. The heads end a few hundredths "
    "of a nat below it: their outputs carry information, but this loss hardly rewards it.",
    wrong={
        "a": "This loss cannot come near 0: among 255 others, a partner never gets the whole probability. Compare the "
        "curve with its dotted line instead.",
        "b": "The fall of the curve alone does not show that. Its last points lie close to the dotted line. What "
        "would heads do that score exactly this line?",
        "d": "Heads whose outputs are all 0.5 score 4.54. Where does the orange curve end, above or below?",
    },
)


@checker
def check_loss_at_start(given):
    """Checks ``given(pairs) -> nats`` against ln(2 pairs - 1)."""
    for pairs in (5, 3, 128):
        got = number(call(given, pairs), f"loss_at_start({pairs})")
        views = 2 * pairs
        right = math.log(views - 1)
        both = (
            f"For {pairs} pairs you count {{}} candidates: every image comes in two views, and both are in the batch."
        )
        slips = {
            f"For {pairs} pairs you count {views} candidates: a view is compared with all views but itself, so one "
            "drops out (the diagonal of the matrix is hatched).": math.log(views),
            f"For {pairs} pairs you count {views - 2} candidates: these are the negatives. The partner is a "
            "candidate too: it is the right answer.": math.log(views - 2),
            both.format(pairs): math.log(pairs),
            both.format(pairs - 1): math.log(pairs - 1),
            "That is in bits: the course measures losses in nats, so take the natural logarithm.": math.log2(views - 1),
            "That is a logarithm to base 10: take the natural one, math.log.": math.log10(views - 1),
            "That is the probability of a blind guess; the loss is minus its logarithm.": 1 / (views - 1),
            "That is the number of candidates; the loss is its logarithm.": views - 1,
            "The sign is wrong: ln p is negative, so the loss is -ln p.": -right,
        }
        hint = "A blind guess gives every candidate the same probability p, and the loss is -ln p. How many cells "
        hint += "count in one row of the 2N x 2N matrix?"
        diagnose(got, right, slips, f"For {pairs} pairs you give {got:.4f}. {hint}")
    return (
        f"For 128 images that is {math.log(255):.2f}: a loss that stays there shows that nothing was learned. For 128 "
        "heads, which come next, it is the same number. Both are dotted lines in the loss figure below."
    )


def reference_purity(labels: Tensor, clusters: Tensor) -> float:
    """Slow and obvious: name every cluster, then count."""
    right = 0
    for cluster in clusters.unique().tolist():
        inside = labels[clusters == cluster].tolist()
        right += max(inside.count(label) for label in inside)
    return right / len(labels)


def slips_of_purity(labels: Tensor, clusters: Tensor) -> dict[str, float]:
    """What plausible wrong functions give for these labels and clusters."""
    groups = [labels[clusters == c] for c in clusters.unique()]
    fractions = [int(torch.bincount(group).max()) / len(group) for group in groups]
    largest_clusters = [int(torch.bincount(clusters[labels == c]).max()) for c in labels.unique()]
    return {
        "You compare cluster numbers with label numbers as they are. K-means numbers its clusters at random: name "
        "each cluster after its most common label first.": float((labels == clusters).float().mean()),
        "You take the mean of the clusters' purities, so a cluster of one image counts as much as a large one. Add up "
        "the images that are named correctly, then divide by the number of all images.": sum(fractions) / len(groups),
        "You look the other way round: the largest cluster of each label. That rewards putting everything into one "
        "cluster. Take the most common label of each cluster.": sum(largest_clusters) / len(labels),
        "That is the fraction of the most common label of all; the clusters play no part in it. Find the most common "
        "label of each cluster.": int(torch.bincount(labels).max()) / len(labels),
        "You return a number of images; divide it by the number of all images.": reference_purity(labels, clusters)
        * len(labels),
    }


@checker
def check_purity(given):
    """Checks ``given(labels, clusters) -> 0..1`` against counting by hand."""
    cases = [
        ([0, 0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 1, 1, 2, 2, 2, 2, 0, 1]),
        ([0, 0, 0, 0, 0, 0, 1, 1, 2], [3, 3, 3, 3, 3, 1, 1, 2, 2]),
        ([3, 3, 3, 5, 5, 5], [7, 7, 7, 1, 1, 1]),  # numbers without 0, and a perfect clustering
        ([0, 1, 0, 1, 2, 2, 2, 2], [0] * 8),
    ]
    tried = [tuple(map(torch.tensor, case)) for case in cases]
    got = []
    for labels, clusters in tried:
        try:
            got.append(number(call(given, labels, clusters), "purity(labels, clusters)"))
        except Wrong as wrong:
            if "stopped" in str(wrong) and 0 not in clusters:
                gap = "Here no image is in cluster 0, so there is nothing to count in it: go through clusters.unique()."
                raise Wrong(f"{str(wrong).rstrip('.')}. {gap}") from None
            raise
    want = [reference_purity(labels, clusters) for labels, clusters in tried]
    slips = [slips_of_purity(labels, clusters) for labels, clusters in tried]
    worst = max(range(len(tried)), key=lambda case: abs(got[case] - want[case]))
    labels, clusters = tried[worst]
    diagnose(
        torch.tensor(got),
        torch.tensor(want),
        {words: torch.tensor([one[words] for one in slips]) for words in slips[0]},
        f"For labels {labels.tolist()} and clusters {clusters.tolist()} you give {got[worst]:.4f}; it is "
        f"{want[worst]:.4f}. Go through the clusters one by one: which label is most common in it, and how many of its "
        "images have it?",
    )
    every = torch.arange(6)
    if not close(number(call(given, torch.tensor([0, 0, 1, 1, 2, 2]), every)), 1.0):
        raise Wrong("With one image in each cluster every cluster is pure, so the purity is 1; yours is not.")
    return (
        "And with one image in each cluster your function gives 1, for any labels at all: purity rewards many "
        "clusters. The next cell shows it on the raw pixels."
    )
