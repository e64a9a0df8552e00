"""Ranks: the processes that train one run together, and what they tell each other.

In: rows of a step, gradients, a wish to stop. Out: this process's share, and what all agree on.
Each process of `accelerate launch` or torchrun calls `train` alike and has a rank; rank 0 writes
the run. A process that nobody launched with others is rank 0 of one. Knows nothing of learners.
Start at `joined`.
"""

import os
import socket
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as group
from accelerate import PartialState
from torch import Tensor

LAUNCHER = "TORCHELASTIC_RUN_ID"  # what torchrun sets, and accelerate's launcher with it
SECONDS_TO_ANSWER = 3.0


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: Its number, from 0.
        count: How many there are.
        pieces: In how many passes this process computes its share of a step, one after another:
            more need less memory, and give the same up to rounding.
    """

    rank: int = 0
    count: int = 1
    pieces: int = 1

    def share(self, rows: np.ndarray) -> np.ndarray:
        """The rows of a step that this process takes: every `count`-th.

        Args:
            rows: `(batch,)`, the same in all processes.
        """
        return rows[self.rank :: self.count]

    def backward(
        self,
        loss_of: Callable[[np.ndarray], Tensor],
        rows: np.ndarray,
        weights: Iterable[Tensor],
    ) -> Tensor:
        """Put the gradient of a step's loss into weights, the same in all processes.

        Args:
            loss_of: The mean loss of rows, a scalar.
            rows: `(batch,)`, the same in all processes; each computes its share.
            weights: Without a gradient; they get one.

        Returns:
            The mean loss of all rows, a scalar where it was computed: to look at it would make the
            host wait for a GPU.
        """
        own = self.share(rows)
        total = torch.zeros(())
        for first in range(self.pieces):
            piece = own[first :: self.pieces]
            if len(piece):
                loss = loss_of(piece) * (len(piece) / len(rows))
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
                total = total.to(loss.device) + loss.detach()
        return total if self.count == 1 else self._added_up(total, list(weights))

    def _added_up(self, loss: Tensor, weights: list[Tensor]) -> Tensor:
        """Add the gradients of all processes, in each of them, and their losses."""
        gradients = [
            torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights
        ]
        flat = [gradient.flatten() for gradient in gradients]
        together = torch.cat([*flat, loss.reshape(1).to(flat[0])])
        group.all_reduce(together)
        start = 0
        for weight in weights:
            weight.grad = together[start : start + weight.numel()].reshape(weight.shape)
            start += weight.numel()
        return together[-1]

    def any(self, wish: bool) -> bool:
        """Whether one of the processes wishes it.

        Args:
            wish: Of this process.
        """
        if self.count == 1:
            return wish
        wishes: list[bool] = [False] * self.count
        group.all_gather_object(wishes, wish)
        return any(wishes)

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            group.barrier()


def joined(device: torch.device, pieces: int = 1) -> Ranks:
    """The place of this process among those that it was launched with.

    Variables that a launcher has left over in a shell, such as WORLD_SIZE, hang nobody: where no
    launcher answers, this process trains alone, and a warning says so.

    Args:
        device: Where it computes.
        pieces: See `Ranks`.
    """
    alone = Ranks(pieces=pieces)
    if not group.is_available():
        return alone
    if not group.is_initialized():
        if LAUNCHER not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return alone
        if not _launcher_answers():
            warnings.warn(
                "Variables of a launcher are set, such as WORLD_SIZE, but no launcher answers: "
                "this process trains alone. Open a new shell, or unset them.",
                stacklevel=3,
            )
            return alone
        PartialState(cpu=device.type == "cpu")
    return Ranks(group.get_rank(), group.get_world_size(), pieces)


def _launcher_answers() -> bool:
    """Whether somebody listens where the launcher's processes meet."""
    address = os.environ.get("MASTER_ADDR", "localhost"), int(os.environ.get("MASTER_PORT", "0"))
    try:
        with socket.create_connection(address, timeout=SECONDS_TO_ANSWER):
            return True
    except OSError:
        return False
