"""Features: what learners see of examples, and the count of what it cost.

In: rows of a list of examples. Out: answer features, and scores of a module, by a short top pass
over the prefix cache; scores of a frozen module come out of the logit cache. Joins `prompts`,
`prefix`, `backbone` and `modules`. Knows nothing of tasks or learners. Start at `Features.top`.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from conpet_lib.core.assets import cache_folder, cache_limit
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import digest
from conpet_lib.core.store import Store
from conpet_lib.corpora.example import Example
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.block import Batch, Block, place_for
from conpet_lib.models.layers import check_positions
from conpet_lib.models.modules import PetModule
from conpet_lib.models.prefix import PrefixCache, Progress, groups, padded, silent
from conpet_lib.models.prompts import Encoded, Prompt
from conpet_lib.models.states import StateCache

INFERENCE_ROWS = 64  # rows of one pass without gradients
LOGIT_SHARE = 8  # the prefix cache may be so many times as large
STATE_SHARE = 4
ROWS_A_READ = 256
WORDS_SAMPLE = 200  # rows whose words are looked up before anything is trained
MANY_UNKNOWN = 0.5  # share of a sample's words that is told
MOST_UNKNOWN = 0.95  # and that is refused
STORE_COUNTS = ("hits", "misses", "written", "damaged", "evicted")

Rows = Sequence[int] | np.ndarray


class Features:
    """Rows of a list of examples as answer features; a row is read when it is asked for.

    Args:
        examples: The rows.
        kind: Kind of the corpus, which chooses the template of the prompt.
        backbone: It computes the features.
        cache: Folder of the caches; default: the user's.
        max_tokens: Longer prompts are cut around their spans.
        keep: Whether what is computed is kept in the caches on disk; what is there is always read.

    Attributes:
        examples: As given.
        backbone: As given.
        prompt: It encodes an example.
        prefixes: The prefix cache.
        logits: The store of the logit cache.
        states: The state cache.
        passes: The part of `counts` that is counted here.
        encoded: By row, what `encode` gave.
        block: The prefixes of rows that are `held`.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        kind: str,
        backbone: Backbone,
        cache: Path | None = None,
        max_tokens: int = 128,
        keep: bool = True,
    ):
        folder = Path(cache or cache_folder())
        self.examples = examples
        self.backbone = backbone
        check_positions(backbone.name, backbone.positions, max_tokens)
        self.prompt = Prompt(backbone.tokenizer, kind, max_tokens, backbone.encoder)
        most = cache_limit()
        keep_prefix = keep and backbone.boundary > 0  # else it is what the embeddings give at once
        self.prefixes = PrefixCache(backbone, Store(folder / "prefix.sqlite", most, keep_prefix))
        self.logits = Store(folder / "logits.sqlite", most // LOGIT_SHARE, keep)
        states = Store(folder / "states.sqlite", most // STATE_SHARE, keep)
        self.states = StateCache(self.prefixes, states)
        self.passes: Counter[str] = Counter()
        self.encoded: dict[int, Encoded] = {}
        self.block: Block | None = None

    @property
    def counts(self) -> Counter[str]:
        """What was run so far.

        `top_rows`, `top_tokens` (padded) and `head_scores` without gradients and, ending in
        `_trained`, with them; `state_rows` and `state_tokens` (padded) of passes through all
        layers; `prefix_tokens` and `prefix_wide`; what the stores of both caches count, beginning
        with `prefix_` and `logit_`; `truncated` prompts and their `cut_tokens`.
        """
        counts = Counter(self.passes)
        for name, store in (("prefix", self.prefixes.store), ("logit", self.logits)):
            for field in STORE_COUNTS:
                counts[f"{name}_{field}"] = getattr(store, field)
        counts["prefix_tokens"] = self.prefixes.tokens
        counts["prefix_wide"] = self.prefixes.wide
        counts["state_rows"] = self.states.rows
        counts["state_tokens"] = self.states.tokens
        return counts

    def encode(self, row: int) -> Encoded:
        """Give the prompt of a row as token numbers; it is encoded once.

        Args:
            row: Number of an example.

        Returns:
            The prompt.
        """
        if row not in self.encoded:
            encoded = self.prompt.encode(self.examples[row])
            self._check_tokens(row, encoded)
            self.passes.update(truncated=int(encoded.cut > 0), cut_tokens=encoded.cut)
            self.encoded[row] = encoded
        return self.encoded[row]

    def _check_tokens(self, row: int, encoded: Encoded) -> None:
        """Refuse a prompt with a token that the model has no embedding for."""
        if max(encoded.tokens) >= self.backbone.vocabulary:
            raise ConpetError(
                f"{self.examples[row].key}: its prompt has the token {max(encoded.tokens)}, and "
                f"{self.backbone.name!r} has embeddings for {self.backbone.vocabulary} tokens. Is "
                "the tokenizer that of another model?"
            )

    def check_words(self, rows: Rows) -> None:
        """Refuse a tokenizer that does not know the language of rows.

        Args:
            rows: Numbers of examples; some of them, evenly spread, are looked at.

        Raises:
            ConpetError: If nearly all words of their texts are unknown to it, and so look alike;
                where half of them are, a warning says so.
        """
        tokenizer = self.prompt.tokenizer
        step = max(1, len(rows) // WORDS_SAMPLE)
        texts = [self.examples[row].text for row in rows[::step]]
        if tokenizer.unk_token_id is None or not texts:
            return
        encoded = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)
        tokens = [token for text in encoded["input_ids"] for token in text]
        unknown = tokens.count(tokenizer.unk_token_id) / max(1, len(tokens))
        if unknown < MANY_UNKNOWN:
            return
        told = (
            f"{unknown:.0%} of the words of these texts are unknown to the tokenizer of "
            f"{self.backbone.name!r}, such as in {self.examples[rows[0]].key}. Take a backbone "
            "that was trained on texts of this language."
        )
        if unknown >= MOST_UNKNOWN:
            raise ConpetError(told)
        warnings.warn(told, stacklevel=2)

    def fill(self, rows: Rows, on_group: Progress = silent) -> None:
        """Compute the prefixes of rows that the cache lacks.

        Args:
            rows: Numbers of examples.
            on_group: Called as `on_group(done, total)` with prompts done and prompts missing.
        """
        self.prefixes.fill((self.encode(row).tokens for row in rows), on_group)

    def top(self, rows: Rows, module: PetModule | None = None, length: int = 0) -> Tensor:
        """Compute answer features in one pass above the boundary.

        Args:
            rows: Numbers of examples.
            module: Its weights are used; None for the bare backbone.
            length: Prompts are padded to so many tokens at least.

        Returns:
            `(batch, hidden)`, with gradients if they are on.
        """
        from_tokens = module is not None and module.whole  # its embeddings are trained as well
        batch = self._batch(rows, length, from_tokens)
        labels = 0 if module is None else len(module.owner)
        self._count(len(rows), batch.real.numel(), len(rows) * labels)
        batch = batch.to(self.backbone.device)
        adapter, config = (None, None) if module is None else (module.adapter, module.config)
        return self.backbone.top(batch.start, batch.real, batch.answer, adapter, config, batch.ids)

    def _batch(self, rows: Rows, length: int, from_tokens: bool) -> Batch:
        """What a top pass reads of rows: out of the block, or out of the prefix cache."""
        numbers = np.asarray(rows)
        if self.block is not None and not from_tokens and self.block.has(numbers):
            return self.block.batch(numbers, length)
        prompts = [self.encode(row) for row in rows]
        tokens = [prompt.tokens for prompt in prompts]
        answer = torch.tensor([prompt.answer for prompt in prompts])
        ids, real = padded(tokens, length)
        start = ids if from_tokens else self.prefixes.batch(tokens, length)[0]
        return Batch(start, real, answer, ids)

    @contextmanager
    def held(self, rows: Rows, module: PetModule) -> Iterator[None]:
        """A context in which batches of these rows are gathered from memory, if they fit there.

        Args:
            rows: Numbers of examples.
            module: What is trained on them.
        """
        if not module.whole:  # else there is no prefix
            self.block = self._block_of(np.unique(rows))
        try:
            yield
        finally:
            self.block = None

    def _block_of(self, rows: np.ndarray) -> Block | None:
        """The prefixes of rows in memory; None if they do not fit."""
        prompts = [self.encode(row) for row in rows.tolist()]
        width = self.backbone.hidden_size
        place = place_for(prompts, width, self.backbone.device)
        if place is None:
            return None
        tokens = [prompt.tokens for prompt in prompts]
        pieces = range(0, len(tokens), ROWS_A_READ)
        states = (self.prefixes.read(tokens[start : start + ROWS_A_READ]) for start in pieces)
        return Block(rows, prompts, states, width, place)

    def _count(self, rows: int, tokens: int, scores: int) -> None:
        """Add one pass to `counts`."""
        ending = "_trained" if torch.is_grad_enabled() else ""
        self.passes[f"top_rows{ending}"] += rows
        self.passes[f"top_tokens{ending}"] += tokens
        self.passes[f"head_scores{ending}"] += scores

    def scores(self, rows: Rows, module: PetModule, length: int = 0) -> Tensor:
        """Compute the scores of a module in one pass.

        Args:
            rows: Numbers of examples.
            module: What scores.
            length: Prompts are padded to so many tokens at least.

        Returns:
            `(batch, labels of the module)`, with gradients if they are on.
        """
        return module.scores(self.top(rows, module, length))

    def scores_of(self, rows: Rows, module: PetModule) -> Tensor:
        """Compute the scores of any number of rows, without gradients.

        Args:
            rows: Numbers of examples.
            module: What scores.

        Returns:
            `(rows, labels of the module)`, on the CPU.
        """
        return self._in_passes(self.scores, rows, module, len(module.owner))

    @torch.no_grad()
    def frozen_scores(self, rows: Rows, module: PetModule) -> Tensor:
        """Give the scores of a module that is not trained any more, through the logit cache.

        Where nothing is kept they are computed in passes of these rows alone: a score that is asked
        once is not worth a group of `GROUP` rows.

        Args:
            rows: Numbers of examples.
            module: What scores; its weights are hashed, so an old score is never taken for a new
                one.

        Returns:
            `(rows, labels of the module)`, on the CPU.
        """
        if not self.logits.keep:
            return self.scores_of(rows, module)
        keys = self._score_keys(rows, module)
        compute = partial(self._computed_scores, module=module)
        scores = self.logits.completed(dict(zip(keys, rows)), compute)
        return torch.cat([scores[key] for key in keys])

    def _computed_scores(
        self, row_of_key: dict[str, int], module: PetModule
    ) -> Iterator[dict[str, Tensor]]:
        """Compute scores by key, and give those of all rows to the store."""
        scores: dict[str, Tensor] = {}
        for length, keys in groups(
            {key: self.encode(row).tokens for key, row in row_of_key.items()}
        ):
            group_scores = self.scores([row_of_key[key] for key in keys], module, length)
            scores |= zip(keys, group_scores.float().cpu()[:, None])  # as the store has it
        if scores:
            self.logits.put({key: scores[key] for key in row_of_key})
            yield scores

    def joined_of(self, rows: Rows, layers: int, on_group: Progress = silent) -> Tensor:
        """Give the states of the frozen backbone's last layers, side by side, through a cache.

        One layer gives what `features_of` gives without a module.

        Args:
            rows: Numbers of examples.
            layers: How many, counted from the exit layer down.
            on_group: Called as `on_group(done, total)` with prompts done and prompts missing.

        Returns:
            `(rows, layers * hidden)`, on the CPU; each layer is scaled to unit root mean square.
        """
        return self.states.read([self.encode(row) for row in rows], layers, on_group)

    def _score_keys(self, rows: Rows, module: PetModule) -> list[str]:
        """The name of each row's scores: a hash of all that they depend on."""
        exit_layer = self.backbone.exit_layer
        fingerprint = module.fingerprint
        keys = []
        for row in rows:
            prompt = self.encode(row)
            prefix_key = self.prefixes.key(prompt.tokens)
            keys.append(digest(exit_layer, fingerprint, prefix_key, prompt.answer))
        return keys

    def features_of(self, rows: Rows, module: PetModule | None = None) -> Tensor:
        """Compute answer features of any number of rows, without gradients.

        Args:
            rows: Numbers of examples.
            module: Its weights are used; None for the bare backbone.

        Returns:
            `(rows, hidden)`, on the CPU.
        """
        return self._in_passes(self.top, rows, module, self.backbone.hidden_size)

    @torch.no_grad()
    def _in_passes(
        self, run: Callable[..., Tensor], rows: Rows, module: PetModule | None, width: int
    ) -> Tensor:
        """`run` over rows sorted by length, the results put back into the rows' order."""
        rows = np.asarray(rows, dtype=np.int64)
        result = torch.zeros(len(rows), width)
        lengths = [len(self.encode(row).tokens) for row in rows]
        order = np.argsort(lengths, kind="stable")
        for start in range(0, len(rows), INFERENCE_ROWS):
            part = order[start : start + INFERENCE_ROWS]
            result[part] = run(rows[part], module).float().cpu()
        return result
