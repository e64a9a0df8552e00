"""Block: the prefixes of a stage's rows, side by side in memory, so that a step gathers its batch.

In: rows, their prompts, and their states in the order of the rows. Out: batches, equal to the bit
to those of the prefix cache. Where it lies is chosen by its size: on the device, on the host, or
nowhere. Knows nothing of files, examples or modules. Start at `Block.batch`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from conpet_lib.models.prompts import Encoded

DEVICE_SHARE = 0.25  # of a GPU's free memory that a block may take
HOST_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Batch:
    """What a top pass reads.

    Attributes:
        start: `(batch, tokens, hidden)` float32, the prefix; or the token numbers once more, for a
            pass through all layers.
        real: `(batch, tokens)` bool, False for padding.
        answer: `(batch,)` int64, the answer positions.
        ids: `(batch, tokens)` int64, token numbers.
    """

    start: Tensor
    real: Tensor
    answer: Tensor
    ids: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device.

        Args:
            device: Where the top is computed.
        """
        parts = (self.start, self.real, self.answer, self.ids)
        return Batch(*(part.to(device, non_blocking=True) for part in parts))


class Block:
    """Prefixes of distinct rows, without padding.

    Args:
        rows: Numbers of examples, sorted.
        prompts: Of each row.
        states: `(tokens, hidden)` of each row, in any number of pieces.
        width: Of a state.
        place: The device that they lie on.
    """

    def __init__(
        self,
        rows: np.ndarray,
        prompts: Sequence[Encoded],
        states: Iterable[Sequence[Tensor]],
        width: int,
        place: torch.device,
    ):
        self.rows = rows
        self.sizes = np.array([len(prompt.tokens) for prompt in prompts])
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.answers = np.array([prompt.answer for prompt in prompts])
        self.padding = int(self.sizes.sum())  # the place of the zeros that stand for padding
        tokens = np.concatenate([*(prompt.tokens for prompt in prompts), [0]])
        self.ids = torch.from_numpy(tokens).to(place)
        self.states = torch.zeros(self.padding + 1, width, dtype=torch.float16, device=place)
        start = 0
        for piece in states:
            joined = torch.cat(list(piece))  # float32 if one of them is
            if joined.dtype == torch.float32:
                self.states = self.states.float()  # half precision could not hold them
            self.states[start : start + len(joined)] = joined
            start += len(joined)

    def has(self, rows: np.ndarray) -> bool:
        """Whether all of some rows are here.

        Args:
            rows: `(batch,)` int64.
        """
        return bool(np.isin(rows, self.rows).all())

    def batch(self, rows: np.ndarray, length: int = 0) -> Batch:
        """Gather a batch.

        Args:
            rows: `(batch,)` int64; all of them must be here.
            length: Rows are padded to so many tokens at least.

        Returns:
            The batch.
        """
        place = np.searchsorted(self.rows, rows)
        sizes = self.sizes[place][:, None]
        positions = np.arange(max(length, sizes.max()))
        real = positions < sizes
        index = np.where(real, self.starts[place][:, None] + positions, self.padding)
        where = torch.from_numpy(index).to(self.states.device, non_blocking=True)
        answer = torch.from_numpy(self.answers[place])
        return Batch(self.states[where].float(), torch.from_numpy(real), answer, self.ids[where])


def place_for(prompts: Sequence[Encoded], width: int, device: torch.device) -> torch.device | None:
    """Where a block may lie: on the device if it is small beside it, on the host, or nowhere.

    Args:
        prompts: Of each row.
        width: Of a state.
        device: Where the top is computed.
    """
    most = 4 * width * sum(len(prompt.tokens) for prompt in prompts)  # bytes, in float32
    if device.type == "cuda" and most <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return device
    return torch.device("cpu") if most <= HOST_BYTES else None
