"""What reaches a method: batches gathered ahead of time, and views only where they are looked at."""

import pytest
import torch
from test_train import same_weights, tiny, tiny_images

from cdlearn import trainer
from cdlearn.augment import TwoViews, to_size
from cdlearn.methods import Method
from cdlearn.runtime import prefetch

CPU = torch.device("cpu")


def test_batches_gathered_ahead_are_the_same_whatever_was_announced():
    images = tiny_images(40)
    ahead, plain = prefetch.Batches(images, CPU, ahead=True), prefetch.Batches(images, CPU)
    assert not plain.ahead
    order = [torch.randperm(40, generator=torch.Generator().manual_seed(n))[:8] for n in range(12)]
    kept = []
    for n, index in enumerate(order):
        following = {3: order[0], 5: None, 11: None}.get(n, order[min(n + 1, 11)])
        kept.append(ahead(index, following))
    for index, batch in zip(order, kept, strict=True):  # at the end: no later batch was written into an earlier one
        assert torch.equal(batch, plain(index)) and torch.equal(batch, images[index])


def test_a_thread_that_cannot_read_is_heard():
    batches = prefetch.Batches(tiny_images(8), CPU, ahead=True)
    batches(torch.tensor([0, 1]), torch.tensor([0, 99]))
    with pytest.raises(IndexError):
        batches(torch.tensor([0, 99]))


def test_training_from_batches_gathered_ahead_ends_with_the_same_weights(monkeypatch):
    plain = trainer.fit(tiny(), tiny_images())
    made = prefetch.Batches
    monkeypatch.setattr(prefetch, "Batches", lambda images, device: made(images, device, ahead=True))
    assert same_weights(plain, trainer.fit(tiny(), tiny_images()))


@pytest.mark.parametrize("method", ["ae", "dae", "vae"])
def test_no_views_are_made_for_a_method_that_looks_at_none(method, monkeypatch):
    monkeypatch.setattr(TwoViews, "draw", lambda *given: pytest.fail("views were drawn"))
    model = trainer.fit(tiny(method=method, epochs=1), tiny_images())
    row = model.history[0]
    assert row["views/s"] == pytest.approx(48 / row["seconds"], rel=0.1)  # images seen


class OfANotebook(Method):
    """A method that says nothing about views, as one made in a notebook."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = torch.nn.Parameter(torch.ones(())), []

    def training_loss(self, x1, x2, x=None):
        self.seen.append((x1, x2, x))
        return {"loss": self.weight.square()}


def test_a_method_that_says_nothing_about_views_is_given_two():
    made = trainer.Trainer(tiny(), tiny_images(), OfANotebook())
    made.prepare()
    made.train_step()
    x1, x2, x = made.model.seen[0]
    assert x1.shape == x2.shape == (16, 3, 16, 16) and x is None and not torch.equal(x1, x2)


def test_a_method_that_needs_the_plain_images_gets_them_too():
    made = trainer.Trainer(tiny(), tiny_images(), OfANotebook())
    made.model.needs_unaugmented = True
    made.train_step()
    x1, _, x = made.model.seen[0]
    assert torch.equal(x, to_size(made.images[made.index(0)], 16)) and not torch.equal(x1, x)
