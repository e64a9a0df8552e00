"""Seeds: every random choice comes from a named one.

A name says what a draw is for. The same names give the same draws, whatever was drawn before, so a resumed run need not
store a random state; other names give independent ones.
"""

import numpy as np
import torch

from conpet_lib.files import digest


def numpy_generator(seed: int, *names: object) -> np.random.Generator:
    """A numpy generator, such as `numpy_generator(0, "batches", stage, epoch)`: its draw is named under the seed 0."""
    return np.random.default_rng(int(digest(seed, *names), 16))


def torch_generator(seed: int, *names: object) -> torch.Generator:
    """The same for torch (on the CPU, so that a GPU run starts from the same weights)."""
    return torch.Generator().manual_seed(int(digest(seed, *names)[:15], 16))
