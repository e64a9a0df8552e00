"""Features: what learners see of examples, and the count of what it cost.

In: rows of a stream. Out: answer features of a module, from the prefix cache and a short top pass.
Joins `tasks`, `prompts`, `backbone` and `prefix_cache`. Knows nothing of learners.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from conpet_lib.assets import cache_folder
from conpet_lib.backbone import Backbone
from conpet_lib.corpora import Example
from conpet_lib.files import digest
from conpet_lib.logit_cache import LogitCache
from conpet_lib.modules import PetModule
from conpet_lib.prefix_cache import BUCKET, GROUP, PrefixCache
from conpet_lib.prompts import Encoded, Prompt

INFERENCE_ROWS = 64        # rows of one pass without gradients


class Features:
    """Rows of a list of examples as answer features.

    Examples are read, encoded and run through the prefix only when a row is asked for, so a future
    task's rows or a test row cannot be read before their time.

    Attributes:
        counts: what was run: `top_rows`, `top_tokens` (padded) and `head_scores` without gradients and,
            ending in `_trained`, with; `truncated` prompts and `cut_tokens`.
        cache: the `PrefixCache`, whose report has hits and misses. logits: the `LogitCache`.
    """

    def __init__(self, examples: Sequence[Example], kind: str, backbone: Backbone, cache: Path | None = None,
                 max_tokens: int = 128):
        self.examples, self.backbone = examples, backbone
        self.prompt = Prompt(backbone.tokenizer, kind, max_tokens)
        self.cache = PrefixCache(backbone, cache or cache_folder() / "prefix")
        self.logits = LogitCache((cache or cache_folder()) / "logits.sqlite")
        self.counts: Counter = Counter()
        self.encoded: dict[int, Encoded] = {}

    def encode(self, row: int) -> Encoded:
        """The prompt of a row as token numbers; encoded once."""
        if row not in self.encoded:
            encoded = self.encoded[row] = self.prompt.encode(self.examples[row])
            self.counts["truncated"] += encoded.cut > 0
            self.counts["cut_tokens"] += encoded.cut
        return self.encoded[row]

    def fill(self, rows: Sequence[int], on_group: Callable[[int, int], None] | None = None) -> None:
        """Compute what the cache lacks of these rows' prefixes."""
        self.cache.fill((self.encode(int(row)).tokens for row in rows), on_group)

    def top(self, rows: Sequence[int], module: PetModule | None = None, length: int = 0) -> Tensor:
        """`(batch, hidden)` answer features of one pass above the boundary; prompts padded to `length` at least."""
        prompts = [self.encode(int(row)) for row in rows]
        hidden, real = self.cache.batch([prompt.tokens for prompt in prompts], length)
        answer = torch.tensor([prompt.answer for prompt in prompts], device=hidden.device)
        kind = "_trained" if torch.is_grad_enabled() else ""
        self.counts[f"top_rows{kind}"] += len(rows)
        self.counts[f"top_tokens{kind}"] += real.numel()
        if module is None:
            return self.backbone.top(hidden, real, answer)
        self.counts[f"head_scores{kind}"] += len(rows) * len(module.owner)
        return self.backbone.top(hidden, real, answer, module.adapter, module.config)

    def scores(self, rows: Sequence[int], module: PetModule) -> Tensor:
        """`(batch, labels of the module)` scores of one pass, with gradients if they are on."""
        return module.scores(self.top(rows, module))

    @torch.no_grad()
    def scores_of(self, rows: Sequence[int], module: PetModule) -> Tensor:
        """The same for any number of rows, without gradients, in passes of like length; on the CPU."""
        return self.in_passes(rows, lambda part: self.scores(part, module), len(module.owner))

    def frozen_scores(self, rows: Sequence[int], module: PetModule) -> Tensor:
        """The same for a module that is not trained any more, through the logit cache.

        A key hashes the backbone, the module's weights and the prompt's tokens (and so text, template
        and tokenizer): whatever changes a score changes its key.
        """
        names = self.backbone.fingerprint, self.backbone.exit_layer, self.backbone.boundary, module.fingerprint
        prompts = [self.encode(int(row)) for row in rows]
        keys = [digest(*names, PrefixCache.key(prompt.tokens), prompt.answer) for prompt in prompts]
        def alone(places: np.ndarray) -> Tensor:
            # a stored score may not depend on the rows beside it, so every pass of a length has one shape
            lengths = [-(-len(prompts[place].tokens) // BUCKET) * BUCKET for place in places]
            scores = torch.zeros(len(places), len(module.owner))
            for length in sorted(set(lengths)):
                same = np.flatnonzero(np.array(lengths) == length)
                for part in (same[start:start + GROUP] for start in range(0, len(same), GROUP)):
                    full = np.concatenate([part, np.repeat(part[-1:], GROUP - len(part))])
                    passed = module.scores(self.top(np.asarray(rows)[places[full]], module, length))
                    scores[torch.from_numpy(part)] = passed[:len(part)].float().cpu()
            return scores

        with torch.no_grad():
            return self.logits.scores(keys, len(module.owner), alone)

    @torch.no_grad()
    def features_of(self, rows: Sequence[int], module: PetModule | None = None) -> Tensor:
        """`(rows, hidden)` answer features of any number of rows, without gradients; on the CPU."""
        return self.in_passes(rows, lambda part: self.top(part, module), self.backbone.hidden_size)

    def in_passes(self, rows: Sequence[int], run: Callable[[np.ndarray], Tensor], width: int) -> Tensor:
        """`run` over rows sorted by length, the results put back into the rows' order."""
        rows = np.asarray(rows, dtype=np.int64)
        order = np.argsort([len(self.encode(int(row)).tokens) for row in rows], kind="stable")
        result = torch.zeros(len(rows), width)
        for start in range(0, len(rows), INFERENCE_ROWS):
            part = order[start:start + INFERENCE_ROWS]
            result[torch.from_numpy(part)] = run(rows[part]).float().cpu()
        return result
