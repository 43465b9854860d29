"""Random streams: one for every (seed, purpose, step), each independent of every other, on every device.

NumPy's SeedSequence makes them. It mixes all three numbers into 128 bits, so that two streams do not meet. PyTorch's
own ``manual_seed`` would not do on a CPU: it keeps the low 32 bits only, and then ``s`` and ``s + 2**40`` are one
stream. So a CPU's generator is given its whole state here, and a GPU's its 64-bit seed.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

PURPOSES = (
    "weights",
    "order",
    "views",
    "noise",
    "centres",
    "monitor",
    "crops",
    "pairs",
)  # append only: the place is part of the stream
_WORDS = 624  # of a Mersenne Twister's state
_AHEAD, _COUNT, _FIRST = 8, 16, 24  # bytes at which PyTorch keeps what is left of these words, the next one, the first


def sequence(seed: int, purpose: str, step: int = 0) -> np.random.SeedSequence:
    """What a stream is made from. Raises ValueError for an unknown purpose or a negative number."""
    if purpose not in PURPOSES:
        raise ValueError(f"unknown purpose {purpose!r}; there are {', '.join(PURPOSES)}")
    return np.random.SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), step))


def cpu_state(seed: int, purpose: str, step: int = 0) -> Tensor:
    """The state of a CPU generator at the start of a stream, for ``set_state``: uint8 (5056,)."""
    words = sequence(seed, purpose, step).generate_state(_WORDS, np.uint32)
    words[0] |= 0x80000000  # the Twister cannot leave a state of zeros
    state = torch.Generator().get_state().numpy()
    state[_FIRST : _FIRST + 8 * _WORDS] = words.astype(np.uint64).view(np.uint8)
    state[_AHEAD : _AHEAD + 4] = np.array([1], np.int32).view(np.uint8)  # none is left: the words are mixed before use
    state[_COUNT : _COUNT + 8] = 0
    return torch.from_numpy(state)


def set_stream(generator: torch.Generator, seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """Put ``generator``, of any device, at the start of a stream, and return it."""
    if generator.device.type == "cpu":
        return generator.set_state(cpu_state(seed, purpose, step))
    return generator.manual_seed(int(sequence(seed, purpose, step).generate_state(1, np.uint64)[0] >> 1))


def generator(seed: int, purpose: str, step: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator at the start of a stream."""
    return set_stream(torch.Generator(device), seed, purpose, step)


@contextlib.contextmanager
def drawing(device: torch.device, seed: int, purpose: str, step: int = 0) -> Iterator[None]:
    """Draw from a stream where code asks PyTorch's own generators; they are as before when this ends."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        torch.set_rng_state(cpu_state(seed, purpose, step))
        if cuda:
            set_stream(torch.cuda.default_generators[device.index or 0], seed, purpose, step)
        elif device.type == "mps":  # which is not put back; nothing is drawn from it but here
            torch.mps.manual_seed(int(sequence(seed, purpose, step).generate_state(1, np.uint64)[0] >> 1))
        yield
