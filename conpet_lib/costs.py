"""Costs: time by what was done, memory, and operations.

In: the steps that a learner tells, and the counts of its features. Out: plain numbers. May import `backbone`.
"""

import time
from collections import Counter

import psutil
import torch

from conpet_lib.backbone import ALL_TOKENS, ANSWER_ROW, Backbone


class Clock:
    """What a stage spends, as plain values by what was done: `wall` and `cpu` seconds, `host` and `device` bytes.

    Memory is the largest seen: the process's resident size at a `tick`, and what torch allocated on a GPU before it.
    """

    def __init__(self, spent: dict):
        self.spent = {name: Counter(spent.get(name)) for name in ("wall", "cpu", "host", "device")}
        self.process, self.last = psutil.Process(), (time.perf_counter(), time.process_time())

    def tick(self, doing: str) -> None:
        """Book the time since the last tick under `doing`."""
        before, self.last, spent = self.last, (time.perf_counter(), time.process_time()), self.spent
        spent["wall"][doing] += self.last[0] - before[0]
        spent["cpu"][doing] += self.last[1] - before[1]
        spent["host"][doing] = max(spent["host"][doing], self.process.memory_info().rss)
        if torch.cuda.is_initialized():
            spent["device"][doing] = max(spent["device"][doing], torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()


def operations(backbone: Backbone, counts: dict, trained: float = 4.0) -> dict[str, float]:
    """Floating-point operations of prefix, top and head, from counts of rows and tokens.

    A Linear of n weights costs 2n a token, a multiplication and an addition each; attention scores and mixing, below a
    tenth at these lengths, are left out, as is the embedding. `trained` is for a weight of a top with gradients: 4,
    there and back through activations; 6 in full tuning; 2 below a lone head. The exit layer's short form reads all
    tokens for keys and values only.
    """
    def linear(layers, names=None):
        return sum(part.weight.numel() for name, part in layers.named_modules()
                   if isinstance(part, torch.nn.Linear) and "lora_" not in name
                   and (names is None or name.removesuffix(".base_layer").split(".")[-1] in names))

    layers, counts, exit_layer = backbone.layers, Counter(counts), backbone.layers[-1]
    exit_all = linear(exit_layer, ALL_TOKENS if type(exit_layer) in ANSWER_ROW else None)
    token, row = linear(layers[backbone.boundary:-1]) + exit_all, linear(exit_layer) - exit_all
    found = {"prefix": 2.0 * linear(layers[:backbone.boundary]) * counts["prefix_tokens"]}
    for kind, top, head in (("", 2.0, 2.0), ("_trained", trained, 6.0)):
        found["top" + kind] = top * (token * counts[f"top_tokens{kind}"] + row * counts[f"top_rows{kind}"])
        found["head" + kind] = head * backbone.hidden_size * counts[f"head_scores{kind}"]
    return found
