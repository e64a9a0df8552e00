"""Costs: time by what was done, memory, and operations.

In: the steps that a learner tells, and the counts of its features. Out: plain numbers. May import `backbone`.
"""

import time
from collections import Counter

import psutil
import torch

from conpet_lib.answer_row import ALL_TOKENS, ANSWER_ROW
from conpet_lib.backbone import Backbone


class Clock:
    """What a stage spends, as plain values by what was done: `wall` and `cpu` seconds, `host` and `device` bytes.

    Memory is the largest seen: the process's resident size at each `tick`, and what torch allocated on a GPU since the
    last one.
    """

    def __init__(self, spent: dict):
        self.spent = {name: Counter(spent.get(name)) for name in ("wall", "cpu", "host", "device")}
        self.process, self.last, self.last_cpu = psutil.Process(), time.perf_counter(), time.process_time()

    def tick(self, doing: str) -> None:
        """Book the time since the last tick under `doing`."""
        now, cpu, spent = time.perf_counter(), time.process_time(), self.spent
        spent["wall"][doing] += now - self.last
        spent["cpu"][doing] += cpu - self.last_cpu
        self.last, self.last_cpu = now, cpu
        spent["host"][doing] = max(spent["host"][doing], self.process.memory_info().rss)
        if torch.cuda.is_initialized():
            spent["device"][doing] = max(spent["device"][doing], torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()


def operations(backbone: Backbone, counts: dict) -> dict[str, float]:
    """Floating-point operations of prefix, top and head, from counts of rows and tokens.

    A multiplication and an addition are two operations, so a Linear of n weights costs 2n a token; attention scores and
    mixing, below a tenth at these lengths, are left out, as is the embedding. A top with gradients counts twice:
    forward and back through activations, since the backbone's weights have no gradient; a head three times.
    The exit layer's short form reads all tokens for keys and values only.
    """
    def linear(layer, names=None):
        return sum(part.weight.numel() for name, part in layer.named_modules()
                   if isinstance(part, torch.nn.Linear) and "lora_" not in name
                   and (names is None or name.removesuffix(".base_layer").split(".")[-1] in names))

    below = sum(linear(layer) for layer in backbone.layers[:backbone.boundary])
    middle = sum(linear(layer) for layer in backbone.layers[backbone.boundary:-1])
    exit_all = linear(backbone.layers[-1], ALL_TOKENS if type(backbone.layers[-1]) in ANSWER_ROW else None)
    exit_one = linear(backbone.layers[-1]) - exit_all
    found = {"prefix": 2.0 * below * counts.get("prefix_tokens", 0)}
    for kind, factor, heads in (("", 1.0, 1.0), ("_trained", 2.0, 3.0)):
        found["top" + kind] = factor * 2 * ((middle + exit_all) * counts.get(f"top_tokens{kind}", 0)
                                            + exit_one * counts.get(f"top_rows{kind}", 0))
        found["head" + kind] = heads * 2 * backbone.hidden_size * counts.get(f"head_scores{kind}", 0)
    return found
