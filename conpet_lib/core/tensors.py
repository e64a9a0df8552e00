"""Tensors: written to disk as safetensors, and hashed.

In: torch tensors by name. Out: a safetensors file that is whole or absent, or a hash.
May import `files`, and loads torch, which `files` does not. Knows nothing of what a tensor is of.
Start at `write_tensors`.
"""

from pathlib import Path

import torch
from safetensors.torch import save

from conpet_lib.core.files import HashedPart, as_hashed_part, hash_parts, write_atomically


def write_tensors(
    path: Path, tensors: dict[str, torch.Tensor], about: dict[str, str] | None = None
) -> Path:
    """Write tensors as a safetensors file, atomically.

    Args:
        path: Where the file shall stand; its folder exists.
        tensors: Tensors by name, of any shape and on any device.
        about: Texts by name that are kept in the file's header.

    Returns:
        `path`.
    """
    # a file holds dense rows; a transposed view would be refused
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save(dense, about)
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))


def digest(*parts: object) -> str:
    """A hash of tensors, texts, bytes and numbers in their order.

    Args:
        *parts: Tensors are hashed by type, shape and bytes, on any device; anything else as
            `files.digest` does, which gives the same hash where no part is a tensor.

    Returns:
        128 bits in hexadecimal, 32 characters.
    """
    return hash_parts(_as_hashed_part(part) for part in parts)


def _as_hashed_part(part: object) -> HashedPart:
    """A part, which may be a tensor, as `hash_parts` takes it."""
    if not isinstance(part, torch.Tensor):
        return as_hashed_part(part)
    form = f"{part.dtype}{tuple(part.shape)}"
    flat = part.detach().cpu().reshape(-1)
    # seen as bytes, because numpy has no bfloat16
    return form, flat.view(torch.uint8).numpy().data
