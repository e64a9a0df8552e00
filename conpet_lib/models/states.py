"""State cache: the answer position's state at the frozen backbone's last layers, kept on disk.

In: prompts. Out: their states side by side, one row per prompt. A pass through all layers gives the
prefix on its way, which is kept, too. May import `prefix`. Knows nothing of examples, modules or
labels. Start at `StateCache.read`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import digest
from conpet_lib.core.store import Store
from conpet_lib.models.prefix import PrefixCache, Progress, groups, padded, silent
from conpet_lib.models.prompts import Encoded

ROWS_A_WRITE = 256


class StateCache:
    """States of one frozen backbone at the answer position.

    Args:
        prefixes: The prefix cache of that backbone.
        store: It keeps the states; other backbones may share it.

    Attributes:
        prefixes: As given.
        store: As given.
        backbone: It computes what is missing.
        rows: How many were run through all layers, copies included.
        tokens: Of these rows, padding included.
    """

    def __init__(self, prefixes: PrefixCache, store: Store):
        self.prefixes = prefixes
        self.store = store
        self.backbone = prefixes.backbone
        self.rows = 0
        self.tokens = 0

    @torch.no_grad()
    def read(self, prompts: Sequence[Encoded], layers: int, on_group: Progress = silent) -> Tensor:
        """Give the states of the last layers, side by side; those that are missing are computed.

        Args:
            prompts: What is read.
            layers: How many, counted from the exit layer down.
            on_group: Called as `on_group(done, total)` with prompts done and prompts missing.

        Returns:
            `(prompts, layers * hidden)`, on the CPU; each layer is scaled to unit root mean square.
        """
        if not prompts:
            return torch.zeros(0, layers * self.backbone.hidden_size)
        keys = [self._key(prompt, layers) for prompt in prompts]
        compute = partial(self._computed, layers=layers, on_group=on_group)
        states = self.store.completed(dict(zip(keys, prompts)), compute)
        return torch.stack([states[key].flatten() for key in keys])

    def _computed(
        self, lacking: Mapping[str, Encoded], layers: int, on_group: Progress
    ) -> Iterator[dict[str, Tensor]]:
        """Compute states by key, and give those of each write to the store."""
        tokens_of = {key: prompt.tokens for key, prompt in lacking.items()}
        fresh: dict[str, Tensor] = {}
        done: set[str] = set()
        for length, keys in groups(tokens_of):
            tokens = [tokens_of[key] for key in keys]
            ids, real = padded(tokens, length)
            answers = torch.tensor([lacking[key].answer for key in keys])
            self.rows += len(keys)
            self.tokens += ids.numel()
            computed, prefix = self.backbone.states(ids, real, answers)
            self.prefixes.take(tokens, prefix, real)  # it need not be computed again
            fresh |= zip(keys, computed[:, -layers:].cpu())
            done.update(keys)
            on_group(len(done), len(lacking))
            if len(fresh) >= ROWS_A_WRITE or len(done) == len(lacking):
                self._keep(fresh)
                yield fresh
                fresh = {}

    def _keep(self, fresh: Mapping[str, Tensor]) -> None:
        """Write states into the store; refused if they are infinite or undefined."""
        if not all(state.isfinite().all() for state in fresh.values()):
            raise ConpetError(
                f"The backbone {self.backbone.name!r} gives infinite or undefined hidden states. "
                "Try dtype='float32'."
            )
        self.store.put(fresh)

    def _key(self, prompt: Encoded, layers: int) -> str:
        """The name of a prompt's states: a hash of all that they depend on."""
        exit_layer = self.backbone.exit_layer
        return digest(layers, exit_layer, self.prefixes.key(prompt.tokens), prompt.answer)
