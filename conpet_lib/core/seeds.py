"""Files: atomic writes, hashes of what is in them, reads that check them, and the draws that a hash seeds.
In: bytes, text or tensors. Out: a file that is whole or absent. Every random choice has names that say what it is for:
the same ones give the same draws, whatever was drawn before, so a resumed run need not store a random state; others
give independent ones. Knows nothing of corpora, backbones or runs."""

import numpy as np
import torch

from conpet_lib.core.files import digest


def numpy_generator(seed: int, *names: object) -> np.random.Generator:
    """A numpy generator, such as `numpy_generator(0, "batches", stage, epoch)`: its draw is named under the seed 0."""
    return np.random.default_rng(int(digest(seed, *names), 16))


def torch_generator(seed: int, *names: object) -> torch.Generator:
    """The same for torch (on the CPU, so that a GPU run starts from the same weights)."""
    return torch.Generator().manual_seed(int(digest(seed, *names)[:15], 16))
