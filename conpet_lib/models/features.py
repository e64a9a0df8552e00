"""Features: what learners see of examples, the two caches behind it, and the count of what it cost.
In: rows of a stream. Out: answer features and scores of a module, by a short top pass over the prefix cache: hidden
states at the boundary, computed once and kept on disk, real tokens only, in half precision where they fit into it.
Joins `tasks`, `prompts`, `modules` and `backbone`. Knows nothing of learners. Start at `Features`.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from conpet_lib.core.assets import cache_folder
from conpet_lib.core.files import digest
from conpet_lib.core.store import Store
from conpet_lib.corpora.example import Example
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.modules import PetModule
from conpet_lib.models.prefix import PrefixCache, groups, padded
from conpet_lib.models.prompts import Encoded, Prompt

INFERENCE_ROWS = 64  # rows of one pass without gradients


PREFIX_BYTES, LOGIT_BYTES = 8 * 2**30, 2**30  # limits of the caches on disk


class Features:
    """Rows of a list of examples as answer features; a row is read when it is asked for.
    Args: cache: folder of the caches, default the user's. max_tokens: longer prompts are cut around their spans.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        kind: str,
        backbone: Backbone,
        cache: Path | None = None,
        max_tokens: int = 128,
    ):
        self.examples, self.backbone, cache = examples, backbone, Path(cache or cache_folder())
        self.prompt = Prompt(backbone.tokenizer, kind, max_tokens)
        self.prefixes = PrefixCache(backbone, Store(cache / "prefix.sqlite", PREFIX_BYTES))
        self.logits = Store(cache / "logits.sqlite", LOGIT_BYTES)  # the logit cache
        self.passes, self.encoded = Counter(), {}  # what `counts` tells; by row what `encode` gave

    @property
    def counts(self) -> Counter:
        """What was run so far: `top_rows`, `top_tokens` (padded) and `head_scores` without gradients and, ending in
        `_trained`, with; `prefix_tokens`; what both caches count; `truncated` prompts and their `cut_tokens`.
        """
        prefixes, stores = self.prefixes, (("prefix", self.prefixes.store), ("logit", self.logits))
        caches = {
            f"{name}_{field}": getattr(store, field)
            for name, store in stores
            for field in ("hits", "misses", "written", "damaged", "evicted")
        }
        return Counter(
            {
                **self.passes,
                **caches,
                "prefix_tokens": prefixes.tokens,
                "prefix_wide": prefixes.wide,
            }
        )

    def encode(self, row: int) -> Encoded:
        """The prompt of a row as token numbers; encoded once."""
        if row not in self.encoded:
            encoded = self.encoded[row] = self.prompt.encode(self.examples[row])
            self.passes.update(truncated=int(encoded.cut > 0), cut_tokens=encoded.cut)
        return self.encoded[row]

    def fill(self, rows: Sequence[int], on_group: Callable = lambda done, total: None) -> None:
        """Compute what the cache lacks of these rows' prefixes."""
        self.prefixes.fill((self.encode(row).tokens for row in rows), on_group)

    def top(self, rows: Sequence[int], module: PetModule | None = None, length: int = 0) -> Tensor:
        """`(batch, hidden)` answer features of one pass above the boundary; prompts padded to `length` at least."""
        prompts = [self.encode(row) for row in rows]
        start = padded if module and module.whole else self.prefixes.batch
        hidden, real = (
            part.to(self.backbone.device)
            for part in start([prompt.tokens for prompt in prompts], length)
        )
        answer = torch.tensor([prompt.answer for prompt in prompts], device=hidden.device)
        kind = "_trained" if torch.is_grad_enabled() else ""
        self.passes.update(
            {
                f"top_rows{kind}": len(rows),
                f"top_tokens{kind}": real.numel(),
                f"head_scores{kind}": len(rows) * len(module.owner) if module else 0,
            }
        )
        return self.backbone.top(
            hidden, real, answer, *((module.adapter, module.config) if module else ())
        )

    def scores(self, rows: Sequence[int], module: PetModule, length: int = 0) -> Tensor:
        """`(batch, labels of the module)` scores of one pass, with gradients if they are on."""
        return module.scores(self.top(rows, module, length))

    def scores_of(self, rows: Sequence[int], module: PetModule) -> Tensor:
        """`(rows, labels)` scores of any number of rows, without gradients; on the CPU."""
        return self._in_passes(self.scores, rows, module, len(module.owner))

    @torch.no_grad()
    def frozen_scores(self, rows: Sequence[int], module: PetModule) -> Tensor:
        """The same of a module that is not trained any more, through the logit cache."""
        names = (
            self.backbone.exit_layer,
            module.fingerprint,
        )  # with the prefix's key all that a score depends on
        keys = [
            digest(*names, self.prefixes.key(prompt.tokens), prompt.answer)
            for prompt in map(self.encode, rows)
        ]
        found, row_of = self.logits.get(keys), dict(zip(keys, rows))
        if lacking := {
            key: self.encode(row).tokens for key, row in row_of.items() if key not in found
        }:
            for length, part in groups(lacking):
                scores = self.scores([row_of[key] for key in part], module, length).float().cpu()
                found |= zip(part, scores[:, None])
            self.logits.put({key: found[key] for key in lacking})
        return torch.cat([found[key] for key in keys])

    def features_of(self, rows: Sequence[int], module: PetModule | None = None) -> Tensor:
        """`(rows, hidden)` answer features of any number of rows, without gradients; on the CPU."""
        return self._in_passes(self.top, rows, module, self.backbone.hidden_size)

    @torch.no_grad()
    def _in_passes(
        self, run: Callable, rows: Sequence[int], module: PetModule | None, width: int
    ) -> Tensor:
        """`run` over rows sorted by length, the results put back into the rows' order."""
        rows, result = np.asarray(rows, dtype=np.int64), torch.zeros(len(rows), width)
        order = np.argsort([len(self.encode(row).tokens) for row in rows], kind="stable")
        for start in range(0, len(rows), INFERENCE_ROWS):
            part = order[start : start + INFERENCE_ROWS]
            result[part] = run(rows[part], module).float().cpu()
        return result
