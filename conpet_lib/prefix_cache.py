"""Prefix cache: hidden states at the boundary, computed once and kept on disk.

In: prompts as token numbers. Out: their hidden states at the boundary, padded into a batch.
May import `backbone`, `store`. Knows nothing of tasks, modules or learners.
Kept are real tokens only, in half precision where they fit into it. Start at `PrefixCache.batch`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from conpet_lib.backbone import Backbone
from conpet_lib.errors import ConpetError
from conpet_lib.files import digest
from conpet_lib.store import Store

BUCKET = 8                  # prompt lengths are padded to a multiple of this many tokens
GROUP = 8                   # prompts computed together, always so many: see `groups`
WRITE_BYTES = 16 * 2**20    # written at once
HALF_LIMIT = 65504.0        # the largest float16

Tokens = Sequence[int]


def groups(lengths: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """A padded length and the places, `(GROUP,)`, of prompts that have it; a last place is repeated to fill a group.

    A stored value must depend on its prompt alone, not on what was computed beside it, or a resumed run would
    differ. Matrix kernels give other last digits for other shapes, so every pass of a length has one shape.
    """
    padded = -(-np.asarray(lengths, dtype=np.int64) // BUCKET) * BUCKET
    for length in np.unique(padded):
        places = np.flatnonzero(padded == length)
        for start in range(0, len(places), GROUP):
            part = places[start:start + GROUP]
            yield int(length), np.pad(part, (0, GROUP - len(part)), mode="edge")


class PrefixCache:
    """Hidden states at the boundary of one backbone, in a store that other backbones may share.

    Attributes: `tokens`: run through the prefix, padding and copies included; `wide`: prompts kept in float32, since
    half precision would overflow (smollm2's first token reaches 24,500; some decoders' more).
    """

    def __init__(self, backbone: Backbone, store: Store):
        self.backbone, self.store, self.tokens, self.wide = backbone, store, 0, 0

    def key(self, tokens: Tokens) -> str:
        """The name of a prompt's states: a hash of backbone, boundary and token numbers."""
        return digest(self.backbone.fingerprint, self.backbone.boundary, np.asarray(tokens, dtype=np.int64).tobytes())

    def fill(self, prompts: Iterable[Tokens], on_group: Callable[[int, int], None] | None = None) -> dict[str, Tensor]:
        """Compute and keep what is missing of these prompts; `on_group(done, total)` reports progress.

        Returns: what was written last, by key.
        """
        wanted = {self.key(tokens): tuple(tokens) for tokens in prompts}
        missing = self.store.missing(wanted)
        lacking, fresh, done = [wanted[key] for key in missing], {}, 0
        for length, places in groups([len(tokens) for tokens in lacking]):
            if sum(state.nbytes for state in fresh.values()) > WRITE_BYTES:
                self.store.put(fresh)
                fresh = {}
            states = dict(zip(places.tolist(), self.compute([lacking[place] for place in places], length)))
            fresh |= {missing[place]: self.narrow(state) for place, state in states.items()}
            done += len(states)
            if on_group:
                on_group(done, len(missing))
        if fresh:
            self.store.put(fresh)
        return fresh

    def compute(self, prompts: list[Tokens], length: int) -> list[Tensor]:
        """`(tokens, hidden)` states of each prompt, all padded to `length` for one pass."""
        ids, real = torch.zeros(len(prompts), length, dtype=torch.long), torch.zeros(len(prompts), length).bool()
        for place, tokens in enumerate(prompts):
            ids[place, :len(tokens)] = torch.tensor(tokens)
            real[place, :len(tokens)] = True
        self.tokens += ids.numel()
        states = self.backbone.prefix(ids, real).float().cpu()
        return [state[:len(tokens)] for state, tokens in zip(states, prompts)]

    def narrow(self, state: Tensor) -> Tensor:
        """Half precision, or float32 where half would overflow."""
        if not state.isfinite().all():
            raise ConpetError(f"The backbone {self.backbone.name!r} gives infinite or undefined hidden states at layer "
                              f"{self.backbone.boundary}. Try dtype='float32'.")
        wide = bool(state.abs().max() >= HALF_LIMIT)
        self.wide += wide
        return state.clone() if wide else state.half()

    def batch(self, prompts: Sequence[Tokens], length: int = 0) -> tuple[Tensor, Tensor]:
        """States `(batch, tokens, hidden)` float32 and `(batch, tokens)` bool of real tokens, on the device.

        Padded to the longest prompt, or to `length` tokens if that is more.
        """
        keys = [self.key(tokens) for tokens in prompts]
        found = self.store.get(list(dict.fromkeys(keys)))
        lacking = {key: tokens for key, tokens in zip(keys, prompts) if key not in found}
        if lacking:                                         # never filled, damaged, or dropped for the limit
            found |= self.fill(lacking.values()) | self.store.get(list(lacking))
        hidden = torch.zeros(len(prompts), max([length, *map(len, prompts)]), self.backbone.hidden_size)
        for place, key in enumerate(keys):
            hidden[place, :len(found[key])] = found[key]
        real = torch.arange(hidden.shape[1])[None] < torch.tensor([len(tokens) for tokens in prompts])[:, None]
        return hidden.to(self.backbone.device), real.to(self.backbone.device)
