"""Features: what learners see of examples, the two caches behind it, and the count of what it cost.
In: rows of a stream. Out: answer features and scores of a module, by a short top pass over the prefix cache: hidden
states at the boundary, computed once and kept on disk, real tokens only, in half precision where they fit into it.
Joins `tasks`, `prompts`, `modules` and `backbone`. Knows nothing of learners. Start at `Features`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import digest
from conpet_lib.core.store import Store
from conpet_lib.models.backbone import Backbone

BUCKET = 8  # prompt lengths are padded to a multiple of this many tokens


GROUP = 8  # prompts computed together, always so many: see `groups`


WRITE_BYTES = 16 * 2**20  # written at once


Tokens = Sequence[int]


def groups(prompts: Mapping[str, Tokens]) -> Iterator[tuple[int, list[str]]]:
    """A padded length and the keys of `GROUP` prompts that have it, a last key repeated to fill a group: one shape a
    length, as matrix kernels give other last digits for other shapes, and a value must depend on its prompt alone.
    """
    keys_of = defaultdict(list)
    for key, tokens in prompts.items():
        keys_of[-(-len(tokens) // BUCKET) * BUCKET].append(key)
    for length, keys in sorted(keys_of.items()):
        keys += keys[-1:] * (-len(keys) % GROUP)
        yield from ((length, keys[start : start + GROUP]) for start in range(0, len(keys), GROUP))


def padded(prompts: Sequence[Tokens], length: int = 0) -> tuple[Tensor, Tensor]:
    """Token numbers `(batch, tokens)`, padded to `length` or more, and `(batch, tokens)`: real tokens."""
    length = max(length, *map(len, prompts))
    ids = torch.tensor([[*tokens, *[0] * (length - len(tokens))] for tokens in prompts])
    return ids, torch.arange(length) < torch.tensor([[len(tokens)] for tokens in prompts])


class PrefixCache:
    """Hidden states at the boundary of one backbone, in a store that other backbones may share.
    Attributes: `tokens`: run through the prefix, padding and copies included; `wide`: prompts kept in float32, since
        half precision would overflow (smollm2's first token reaches 24,500; some decoders' more).
    """

    def __init__(self, backbone: Backbone, store: Store):
        self.backbone, self.store, self.tokens, self.wide = backbone, store, 0, 0

    def key(self, tokens: Tokens) -> str:
        """The name of a prompt's states: a hash of backbone, boundary and token numbers."""
        return digest(
            self.backbone.fingerprint,
            self.backbone.boundary,
            torch.tensor(tokens).numpy().tobytes(),
        )

    def fill(
        self, prompts: Iterable[Tokens], on_group: Callable = lambda done, total: None
    ) -> dict[str, Tensor]:
        """Compute and keep what is missing; `on_group(done, total)` reports progress. Returns what was put last."""
        wanted = {self.key(tokens): tokens for tokens in prompts}
        missing = {key: wanted[key] for key in self.store.missing(wanted)}
        fresh, written, done = {}, {}, 0
        for length, keys in groups(missing):
            states = dict(zip(keys, self.compute([missing[key] for key in keys], length)))
            self.wide += sum(state.dtype == torch.float32 for state in states.values())
            fresh |= states
            done += len(states)
            on_group(done, len(missing))
            if done == len(missing) or sum(state.nbytes for state in fresh.values()) > WRITE_BYTES:
                self.store.put(fresh)
                fresh, written = {}, fresh
        return written

    def compute(self, prompts: list[Tokens], length: int) -> list[Tensor]:
        """`(tokens, hidden)` states of each prompt, padded to `length` for one pass; half precision if it can."""
        ids, real = padded(prompts, length)
        self.tokens += ids.numel()
        states = self.backbone.prefix(ids, real).float().cpu()
        if not states[real].isfinite().all():
            raise ConpetError(
                f"The backbone {self.backbone.name!r} gives infinite or undefined hidden states at layer "
                f"{self.backbone.boundary}. Try dtype='float32'."
            )
        whole, most = (
            [state[: len(tokens)] for state, tokens in zip(states, prompts)],
            torch.finfo(torch.float16).max,
        )
        return [state.half() if state.abs().max() < most else state.clone() for state in whole]

    def batch(self, prompts: Sequence[Tokens], length: int = 0) -> tuple[Tensor, Tensor]:
        """States `(batch, tokens, hidden)` float32, padded to `length` or more, and `(batch, tokens)`: real tokens."""
        keys = [self.key(tokens) for tokens in prompts]
        found = self.store.get(keys)
        if lacking := {key: tokens for key, tokens in zip(keys, prompts) if key not in found}:
            found |= self.fill(lacking.values()) | self.store.get(
                lacking
            )  # never filled, damaged, or over the limit
        real = padded(prompts, length)[1]
        return torch.stack(
            [pad(found[key].float(), (0, 0, 0, real.shape[1] - len(found[key]))) for key in keys]
        ), real
