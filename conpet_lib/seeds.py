"""Seeds: every random choice comes from a named one.

In: a seed and names that say what the draw is for. Out: a generator. Two different names give independent draws; the
same names give the same draws, whatever was drawn before, so that a resumed run need not store a random state.
"""

import numpy as np
import torch

from conpet_lib.files import digest


def numpy_generator(seed: int, *names: object) -> np.random.Generator:
    """A numpy generator for the draw called `names` under `seed`.

    Example: `numpy_generator(0, "batches", stage, epoch).permutation(10)`
    """
    return np.random.default_rng(int(digest(seed, *names), 16))


def torch_generator(seed: int, *names: object) -> torch.Generator:
    """The same for torch (on the CPU, so that a GPU run starts from the same weights)."""
    return torch.Generator().manual_seed(int(digest(seed, *names)[:15], 16))
