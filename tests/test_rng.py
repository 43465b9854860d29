"""Random streams: no two are alike, and each is the same again."""

import itertools

import pytest
import torch

from cdlearn.config import Config
from cdlearn.runtime import rng
from cdlearn.trainer import Trainer, fresh_model

CPU = torch.device("cpu")


def first(*stream, count=2):
    return tuple(torch.rand(count, dtype=torch.float64, generator=rng.generator(*stream)).tolist())


def test_no_two_seeds_purposes_or_steps_share_a_stream():
    """Also not those that PyTorch's own seeding would mix up: it keeps the low 32 bits of a sum."""
    seeds, steps = (0, 1, 42, 43, 2**32 - 1), (*range(200), 1_000_003, 2**31)
    drawn = [first(*which) for which in itertools.product(seeds, rng.PURPOSES, steps)]
    assert len({number for pair in drawn for number in pair}) == 2 * len(drawn)


def test_a_stream_is_uniform_and_unlike_its_neighbours():
    rows = torch.stack([torch.tensor(first(7, "views", step, count=4000)) for step in range(6)])
    assert (rows.mean(1) - 0.5).abs().max() < 0.03 and (rows.var(1) - 1 / 12).abs().max() < 0.01
    assert (torch.corrcoef(rows) - torch.eye(6)).abs().max() < 0.08


def test_a_stream_does_not_depend_on_what_was_drawn_before():
    generator = rng.generator(5, "order")
    torch.randn(3, generator=generator)  # an odd number of normal draws leaves half a pair behind
    again = rng.set_stream(generator, 5, "noise", 9)
    assert torch.equal(torch.randn(5, generator=again), torch.randn(5, generator=rng.generator(5, "noise", 9)))


def test_drawing_leaves_the_global_state_as_it_was():
    before = torch.get_rng_state()
    with rng.drawing(CPU, 3, "noise", 1):
        drawn = torch.rand(2, dtype=torch.float64)
    assert torch.equal(torch.get_rng_state(), before) and tuple(drawn.tolist()) == first(3, "noise", 1)


def test_an_unknown_purpose_is_named():
    with pytest.raises(ValueError, match="unknown purpose 'veiws'"):
        rng.generator(0, "veiws")


def test_views_noise_order_and_weights_of_a_step_are_four_streams(monkeypatch):
    """What a DAE hides and what its views crop were once drawn from one stream."""
    asked = []
    sequence = rng.sequence
    monkeypatch.setattr(rng, "sequence", lambda *which: asked.append(which) or sequence(*which))
    config = Config.preset("smoke", method="dae", size=16, batch_size=8, data="x", device="cpu")
    trainer = Trainer(config, torch.zeros(16, 3, 16, 16, dtype=torch.uint8))
    trainer.train_step()
    trainer.train_step()
    assert len(asked) == len(set(asked)) >= 4
    assert {purpose for _, purpose, _ in asked} >= {"weights", "order", "noise"}


def test_the_same_seed_gives_the_same_weights():
    one, same, other = (fresh_model(Config.preset("smoke", seed=seed)).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
