"""Seeds: random generators that are named by what they draw.

In: a seed, and names that say what a draw is for. Out: a generator of numpy or of torch. The same
names give the same draws, whatever was drawn before, so that a resumed run need not store a random
state; other names give independent draws. May import `files`. Knows nothing of what is drawn.
Start at `numpy_generator`.
"""

from typing import TYPE_CHECKING

import numpy as np

from conpet_lib.core.files import digest

if TYPE_CHECKING:
    import torch

# torch takes a seed of 64 bits with a sign: 15 hexadecimal digits are 60 bits
_TORCH_SEED_DIGITS = 15


def numpy_generator(seed: int, *names: object) -> np.random.Generator:
    """A generator of numpy for one named draw.

    Args:
        seed: The seed of the run or of the split.
        *names: What the draw is for, such as `"batches", stage, epoch`.

    Returns:
        A new generator in the state that seed and names say.
    """
    return np.random.default_rng(int(digest(seed, *names), 16))


def torch_generator(seed: int, *names: object) -> "torch.Generator":
    """A generator of torch for one named draw.

    Args:
        seed: The seed of the run.
        *names: What the draw is for, such as `"module", 3, "adapter"`.

    Returns:
        A new generator on the CPU, so that a run on a GPU starts from the same weights.
    """
    import torch  # here, because whoever draws rows alone need not load it

    first_digits = digest(seed, *names)[:_TORCH_SEED_DIGITS]
    return torch.Generator().manual_seed(int(first_digits, 16))
