"""Prefix cache: hidden states at the boundary, computed once and kept on disk.

In: prompts as token numbers. Out: their hidden states at the boundary, padded into a batch.
May import `backbone`, `prompts`. Knows nothing of tasks, modules or learners.

On disk: a folder a backbone and boundary, in it shards, each a safetensors file that is written
once, atomically, under a name that holds its hash. A shard keeps the real tokens of many prompts
one after another. So a reader maps files into memory, writers never meet, and a torn or changed
file is noticed and computed again.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from conpet_lib.backbone import Backbone
from conpet_lib.errors import ConpetError
from conpet_lib.files import digest, write_atomically

BUCKET = 8                  # prompt lengths are padded to a multiple of this many tokens
GROUP = 8                   # prompts computed together, always so many: see `PrefixCache.compute`
SHARD_BYTES = 64 * 2**20
HALF_LIMIT = 65504.0        # the largest float16


@dataclass
class CacheReport:
    """What a cache did: prompts found and computed, bytes on disk, and faults mended."""

    hits: int = 0
    misses: int = 0
    tokens: int = 0         # run through the prefix, padding and copies included
    bytes: int = 0
    rebuilt: int = 0        # shards dropped because they were torn or changed
    evicted: int = 0        # shards dropped for the size limit
    wide: int = 0           # prompts kept in float32, since half precision would overflow


class PrefixCache:
    """Hidden states at the boundary of one backbone, in memory-mapped shards.

    Args:
        backbone: whose prefix is kept.
        folder: where; a sub-folder named by the backbone's fingerprint and boundary is used.
        limit: bytes on disk; above it the oldest shards go. Default 8 GiB.
    """

    def __init__(self, backbone: Backbone, folder: Path, limit: int = 8 * 2**30):
        self.backbone, self.limit = backbone, limit
        self.folder = (Path(folder) /
                       f"{Path(backbone.name).name[:40]}-{backbone.fingerprint[:16]}-at-{backbone.boundary}")
        self.report = CacheReport()
        self.states: dict[str, Tensor] = {}        # prompt key -> (tokens, hidden), a view into a mapped shard
        self.shards: set[str] = set()
        self.look()

    @staticmethod
    def key(tokens: Sequence[int]) -> str:
        """The name of a prompt's states: a hash of its token numbers."""
        return digest(np.asarray(tokens, dtype=np.int64).tobytes())

    def files(self) -> list[Path]:
        """The shards in the folder, without files that are being written."""
        return sorted(self.folder.glob("[!.]*.safetensors"))

    def look(self) -> None:
        """Map the shards that are new in the folder; drop those that are torn or changed."""
        for path in self.files():
            if path.name in self.shards:
                continue
            try:
                if path.stem.split("-")[-1] != digest(path.read_bytes()):
                    raise ValueError("the content does not fit the name")
                with safe_open(path, "pt") as file:
                    keys, lengths = zip(*json.loads(file.metadata()["rows"]))
                    states = file.get_tensor("states")
            except FileNotFoundError:
                continue                            # another process dropped it for its size limit
            except (SafetensorError, OSError, ValueError, KeyError, TypeError):
                path.unlink(missing_ok=True)
                self.report.rebuilt += 1
                continue
            self.states.update(zip(keys, states.split(list(lengths))))
            self.shards.add(path.name)
        self.report.bytes = sum(path.stat().st_size for path in self.files() if path.exists())

    def fill(self, prompts: Iterable[Sequence[int]], on_group: Callable[[int, int], None] | None = None) -> None:
        """Compute and keep what is missing of these prompts; `on_group(done, total)` reports progress."""
        wanted = {self.key(tokens): tuple(tokens) for tokens in prompts}
        missing = {key: tokens for key, tokens in wanted.items() if key not in self.states}
        if missing:
            self.look()                             # another process may have computed them meanwhile
            missing = {key: tokens for key, tokens in missing.items() if key not in self.states}
        self.report.hits += len(wanted) - len(missing)
        self.report.misses += len(missing)
        buckets: dict[int, list[str]] = {}
        for key, tokens in missing.items():
            buckets.setdefault(-(-len(tokens) // BUCKET) * BUCKET, []).append(key)
        fresh, size, done = {}, 0, 0
        for length, keys in sorted(buckets.items()):
            for start in range(0, len(keys), GROUP):
                group = keys[start:start + GROUP]
                for key, state in zip(group, self.compute([missing[key] for key in group], length)):
                    fresh[key] = state
                    size += state.nbytes
                done += len(group)
                if on_group:
                    on_group(done, len(missing))
                if size > SHARD_BYTES:
                    self.keep(fresh)
                    fresh, size = {}, 0
        if fresh:
            self.keep(fresh)

    def compute(self, prompts: list[Sequence[int]], length: int) -> list[Tensor]:
        """States of at most `GROUP` prompts, padded to `length`, each cut to its real tokens.

        A stored value must depend on its prompt alone, not on what was computed beside it, or a
        resumed run would differ. Matrix kernels give other last digits for other shapes, so every
        call of a bucket has one shape: a group is filled up with copies of its last prompt.
        """
        rows = list(prompts) + [prompts[-1]] * (GROUP - len(prompts))
        ids, real = torch.zeros(GROUP, length, dtype=torch.long), torch.zeros(GROUP, length, dtype=torch.bool)
        for place, tokens in enumerate(rows):
            ids[place, :len(tokens)] = torch.tensor(tokens)
            real[place, :len(tokens)] = True
        self.report.tokens += GROUP * length
        states = self.backbone.prefix(ids, real).float().cpu()
        return [self.narrow(states[place, :len(tokens)]) for place, tokens in enumerate(prompts)]

    def narrow(self, state: Tensor) -> Tensor:
        """Half precision, or float32 where half would overflow (some decoders' first token is huge)."""
        if not state.isfinite().all():
            raise ConpetError(f"The backbone {self.backbone.name!r} gives infinite or undefined hidden states at layer "
                              f"{self.backbone.boundary}. Try dtype='float32'.")
        if state.abs().max() >= HALF_LIMIT:
            self.report.wide += 1
            return state.clone()
        return state.half()

    def keep(self, fresh: dict[str, Tensor]) -> None:
        """Write new states as shards, one a type, map them, and keep within the size limit."""
        for dtype in sorted({state.dtype for state in fresh.values()}, key=str):
            chosen = {key: state for key, state in fresh.items() if state.dtype == dtype}
            content = save({"states": torch.cat(list(chosen.values()))}, {
                "rows": json.dumps([[key, len(state)] for key, state in chosen.items()])})
            write_atomically(self.folder / f"{digest(*chosen)[:12]}-{digest(content)}.safetensors",
                             lambda path, content=content: path.write_bytes(content))
        self.look()
        for key in fresh:
            self.states.setdefault(key, fresh[key])
        shards = sorted(self.files(), key=lambda path: path.stat().st_mtime)
        while self.report.bytes > self.limit and len(shards) > 1:
            oldest = shards.pop(0)
            self.report.bytes -= oldest.stat().st_size
            oldest.unlink(missing_ok=True)          # mapped states stay readable until the process ends
            self.report.evicted += 1

    def batch(self, prompts: Sequence[Sequence[int]], length: int = 0) -> tuple[Tensor, Tensor]:
        """States `(batch, tokens, hidden)` float32 and `(batch, tokens)` bool of real tokens, on the device.

        Padded to the longest prompt, or to `length` tokens if that is more.
        """
        if any(self.key(tokens) not in self.states for tokens in prompts):
            self.fill(prompts)
        states = [self.states[self.key(tokens)] for tokens in prompts]
        tokens = max([length, *map(len, states)])
        real = torch.arange(tokens)[None] < torch.tensor([len(state) for state in states])[:, None]
        hidden = torch.zeros(len(states), tokens, self.backbone.hidden_size)
        for place, state in enumerate(states):
            hidden[place, :len(state)] = state
        return hidden.to(self.backbone.device), real.to(self.backbone.device)
