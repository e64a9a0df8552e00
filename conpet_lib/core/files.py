"""Files: atomic writes, hashes of what is in them, reads that check them, and the draws that a hash seeds.
In: bytes, text or tensors. Out: a file that is whole or absent. Every random choice has names that say what it is for:
the same ones give the same draws, whatever was drawn before, so a resumed run need not store a random state; others
give independent ones. Knows nothing of corpora, backbones or runs."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError

from conpet_lib.core.errors import ConpetError


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write(temporary_path)` make a file beside `path`, flush it to disk, then rename it. A reader sees the old
    file, the new one or none; a `write` that fails leaves nothing. No folder is made: one that vanished stays gone."""
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as work:
        file = Path(work, path.name)
        write(file)
        with open(file, "rb") as written:
            os.fsync(written.fileno())
        os.replace(file, path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return path


def write_json(path: Path, value: object) -> Path:
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    return write_atomically(path, lambda name: name.write_text(text, encoding="utf-8"))


def read_checked(path: Path, wanted: str | None, parse: Callable[[bytes], object]) -> object:
    """What a file holds; refuses one that is gone, whose digest is not `wanted`, or that cannot be parsed."""
    try:
        if digest(content := path.read_bytes()) == wanted:
            return parse(content)
        fault = "its hash is not the recorded one, so it is torn or was changed"
    except (OSError, ValueError, SafetensorError) as error:
        fault = str(error)
    raise ConpetError(
        f"{path} cannot be read: {fault}. Restore the file, or train again in another folder."
    )


def digest(*parts: object) -> str:
    """A 128-bit hash, in hexadecimal, of texts, bytes, numbers and tensors, in their order."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, torch.Tensor):
            state.update(f"{part.dtype}{tuple(part.shape)}".encode())
            part = part.detach().cpu().reshape(-1).view(torch.uint8).numpy().data
        elif not isinstance(part, (bytes, memoryview)):
            part = str(part).encode()
        state.update(f"{len(part)}:".encode())
        state.update(part)
    return state.hexdigest()
