"""Files: atomic writes, hashes of what is in them, reads that check them, and the draws that a hash seeds.
In: bytes, text or tensors. Out: a file that is whole or absent. Every random choice has names that say what it is for:
the same ones give the same draws, whatever was drawn before, so a resumed run need not store a random state; others
give independent ones. Knows nothing of corpora, backbones or runs."""

from pathlib import Path

import torch
from safetensors.torch import save

from conpet_lib.core.files import write_atomically


def write_tensors(
    path: Path, tensors: dict[str, torch.Tensor], about: dict[str, str] | None = None
) -> Path:
    """Write tensors as safetensors, atomically; `about` is kept in the file's header."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return write_atomically(path, lambda name: name.write_bytes(save(flat, about)))
