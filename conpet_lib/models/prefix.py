"""Prefix cache: hidden states at the boundary, computed once and kept on disk.

In: prompts as token numbers. Out: batches of their hidden states. The backbone is frozen, so what
lies below the lowest tuned layer is the same for all modules, epochs and runs. Kept are real tokens
only, in half precision where they fit into it. May import `backbone`. Knows nothing of examples,
modules or scores. Start at `PrefixCache.batch`.
"""

import warnings
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
BYTES_OF_A_NUMBER = 2  # as it is kept
GIB = 2**30

Tokens = Sequence[int]
Progress = Callable[[int, int], object]  # takes the prompts done, and how many there are


def silent(done: int, total: int) -> None:
    """Report no progress.

    Args:
        done: Prompts done.
        total: Prompts in all.
    """


def groups(prompts: Mapping[str, Tokens]) -> Iterator[tuple[int, list[str]]]:
    """Put prompts of one padded length into groups of one size.

    So each length is computed in one shape only: matrix kernels give other last digits for other
    shapes, and a value must depend on its prompt alone.

    Args:
        prompts: Token numbers by key.

    Yields:
        A padded length, and `GROUP` keys of prompts that have it; the last key is repeated where
        keys are too few.
    """
    keys_of_length = defaultdict(list)
    for key, tokens in prompts.items():
        buckets = -(-len(tokens) // BUCKET)  # rounded up
        keys_of_length[buckets * BUCKET].append(key)
    for length, keys in sorted(keys_of_length.items()):
        lacking = -len(keys) % GROUP
        keys.extend([keys[-1]] * lacking)
        for start in range(0, len(keys), GROUP):
            yield length, keys[start : start + GROUP]


def padded(prompts: Sequence[Tokens], length: int = 0) -> tuple[Tensor, Tensor]:
    """Make a batch of prompts.

    Args:
        prompts: Token numbers.
        length: Prompts are padded to so many tokens at least.

    Returns:
        Token numbers `(batch, tokens)` int64, and `(batch, tokens)` bool: which are real.
    """
    sizes = torch.tensor([len(tokens) for tokens in prompts])
    length = max(length, int(sizes.max()))
    ids = torch.zeros(len(prompts), length, dtype=torch.int64)
    for row, tokens in enumerate(prompts):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    return ids, torch.arange(length) < sizes[:, None]


class PrefixCache:
    """Hidden states at the boundary of one backbone.

    Args:
        backbone: It computes what is missing.
        store: It keeps the states; other backbones may share it.

    Attributes:
        backbone: As given.
        store: As given.
        tokens: How many were run through the prefix, padding and copies included.
        wide: Prompts kept in float32, because half precision would overflow (the first token of
            smollm2 reaches 24,500; that of some decoders more).
    """

    def __init__(self, backbone: Backbone, store: Store):
        self.backbone = backbone
        self.store = store
        self.tokens = 0
        self.wide = 0

    def key(self, tokens: Tokens) -> str:
        """Name the states of a prompt.

        Args:
            tokens: Token numbers.

        Returns:
            A hash of backbone, boundary and token numbers.
        """
        content = torch.tensor(tokens).numpy().tobytes()
        return digest(self.backbone.fingerprint, self.backbone.boundary, content)

    def fill(self, prompts: Iterable[Tokens], on_group: Progress = silent) -> None:
        """Compute and keep the states that are missing.

        Args:
            prompts: Token numbers.
            on_group: Called as `on_group(done, total)` after each group.
        """
        wanted = {self.key(tokens): tokens for tokens in prompts}
        missing = {key: wanted[key] for key in self.store.missing(wanted)}
        self._check_room(missing)
        for _ in self._computed(missing, on_group):
            pass  # they are in the store now

    def _check_room(self, missing: Mapping[str, Tokens]) -> None:
        """Warn of states that the store cannot hold, before they are computed."""
        tokens = sum(map(len, missing.values()))
        needed = BYTES_OF_A_NUMBER * tokens * self.backbone.hidden_size
        limit = self.store.limit
        if self.store.keep and needed > limit:
            warnings.warn(
                f"The prefixes of {len(missing):,} prompts take {needed / GIB:.1f} GiB, and their "
                f"cache may take {limit / GIB:.1f} GiB: the oldest will be dropped and computed "
                "again. Set CONPET_CACHE_GIB higher, if the disk has room, or use fewer "
                "tuned layers.",
                stacklevel=2,
            )

    def _computed(
        self, missing: Mapping[str, Tokens], on_group: Progress = silent
    ) -> Iterator[dict[str, Tensor]]:
        """Compute states by key, and give those of each write to the store."""
        fresh: dict[str, Tensor] = {}
        done = 0
        for length, keys in groups(missing):
            computed = self.compute([missing[key] for key in keys], length)
            states = dict(zip(keys, computed))  # a key that fills its group is there several times
            self.wide += sum(state.dtype == torch.float32 for state in states.values())
            fresh |= states
            done += len(states)
            on_group(done, len(missing))
            waiting = sum(state.nbytes for state in fresh.values())
            if done == len(missing) or waiting > WRITE_BYTES:
                self.store.put(fresh)
                yield fresh
                fresh = {}

    def compute(self, prompts: Sequence[Tokens], length: int) -> list[Tensor]:
        """Run prompts through the prefix in one pass.

        Args:
            prompts: Token numbers.
            length: Tokens that the prompts are padded to.

        Returns:
            `(tokens, hidden)` states of each prompt, in half precision if it can hold them.

        Raises:
            ConpetError: For states that are infinite or undefined.
        """
        ids, real = padded(prompts, length)
        self.tokens += ids.numel()
        return self._to_keep(prompts, self.backbone.prefix(ids, real), real)

    def take(self, prompts: Sequence[Tokens], states: Tensor, real: Tensor) -> None:
        """Keep states that a pass through all layers has computed on its way, if they are missing.

        Args:
            prompts: Token numbers.
            states: `(batch, tokens, hidden)`, the states at the boundary.
            real: `(batch, tokens)` bool, False for padding.
        """
        computed = dict(zip(map(self.key, prompts), self._to_keep(prompts, states, real)))
        missing = self.store.missing(computed)
        if missing:
            self.store.put({key: computed[key] for key in missing})

    def _to_keep(self, prompts: Sequence[Tokens], states: Tensor, real: Tensor) -> list[Tensor]:
        """The states of each prompt as they are kept; refused if they are infinite or undefined."""
        states = states.float().cpu()
        if not states[real].isfinite().all():
            raise ConpetError(
                f"The backbone {self.backbone.name!r} gives infinite or undefined hidden states at "
                f"layer {self.backbone.boundary}. Try dtype='float32'."
            )
        most = torch.finfo(torch.float16).max
        kept = []
        for tokens, padded_state in zip(prompts, states):
            state = padded_state[: len(tokens)]
            fits = state.abs().max() < most
            kept.append(state.half() if fits else state.clone())
        return kept

    def batch(self, prompts: Sequence[Tokens], length: int = 0) -> tuple[Tensor, Tensor]:
        """Make a batch of the states of prompts.

        Args:
            prompts: Token numbers.
            length: Prompts are padded to so many tokens at least.

        Returns:
            States `(batch, tokens, hidden)` float32, and `(batch, tokens)` bool: which are real.
        """
        _, real = padded(prompts, length)
        tokens = real.shape[1]
        rows = []
        for state in self.read(prompts):
            rows.append(pad(state.float(), (0, 0, 0, tokens - len(state))))
        return torch.stack(rows), real

    def read(self, prompts: Sequence[Tokens]) -> list[Tensor]:
        """Read the states of prompts; those that the store lacks are computed.

        Args:
            prompts: Token numbers.

        Returns:
            `(tokens, hidden)` of each prompt, as they are kept.
        """
        keys = [self.key(tokens) for tokens in prompts]
        states = self.store.completed(dict(zip(keys, prompts)), self._computed)
        return [states[key] for key in keys]
