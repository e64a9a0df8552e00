"""Features: what learners see of examples, the two caches behind it, and the count of what it cost.
In: rows of a stream. Out: answer features and scores of a module, by a short top pass over the prefix cache: hidden
states at the boundary, computed once and kept on disk, real tokens only, in half precision where they fit into it.
Joins `tasks`, `prompts`, `modules` and `backbone`. Knows nothing of learners. Start at `Features`."""

import json
import sqlite3
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from conpet_lib.assets import cache_folder
from conpet_lib.backbone import Backbone
from conpet_lib.corpora import Example
from conpet_lib.errors import ConpetError
from conpet_lib.files import digest
from conpet_lib.modules import PetModule
from conpet_lib.prompts import Encoded, Prompt

BUCKET = 8                                  # prompt lengths are padded to a multiple of this many tokens
GROUP = 8                                   # prompts computed together, always so many: see `groups`
WRITE_BYTES = 16 * 2**20                    # written at once
INFERENCE_ROWS = 64                         # rows of one pass without gradients
PREFIX_BYTES, LOGIT_BYTES = 8 * 2**30, 2**30    # limits of the caches on disk
TYPES = {str(dtype): dtype for dtype in (torch.float16, torch.float32)}
Tokens = Sequence[int]

class Store:
    """Tensors `(rows, width)` in one SQLite file, by keys that hash all that a value depends on: a write is whole or
    absent, several processes may use the file at once, and reads are memory-mapped. The file is made at its first use;
    above `limit` bytes on disk the oldest values go. Attributes: `hits`: values read; `misses`: computed and put,
    `written` bytes of them; `evicted`: dropped for the limit; `damaged`: of a wrong checksum, or no database."""
    def __init__(self, file: Path, limit: int):
        self.file, self.limit, self.base = Path(file), limit, None
        self.hits = self.misses = self.written = self.damaged = self.evicted = 0

    def missing(self, keys: Collection[str]) -> list[str]:
        """The distinct keys that have no value."""
        there = {key for key, in self._select("key", keys)}
        return [key for key in dict.fromkeys(keys) if key not in there]

    def get(self, keys: Collection[str]) -> dict[str, Tensor]:
        """The values that are there and whole; one that is not is dropped."""
        found = {}
        for key, dtype, width, checksum, value in self._select("key, type, width, checksum, value", keys):
            if zlib.crc32(value) == checksum and dtype in TYPES:
                found[key] = torch.frombuffer(bytearray(value), dtype=TYPES[dtype]).reshape(-1, width)
            else:
                self.damaged += 1
                self._do("DELETE FROM kept WHERE key = ?", [key])
        self.hits += len(found)
        return found

    def put(self, values: Mapping[str, Tensor]) -> None:
        """Keep `(rows, width)` tensors, all of them or none; then drop the oldest as long as the limit is exceeded."""
        rows = [(key, str(value.dtype), value.shape[-1], zlib.crc32(content := value.numpy().tobytes()), content)
                for key, value in values.items()]
        self._do("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?)", rows, many=True)
        self.misses += len(rows)
        self.written += sum(value.nbytes for value in values.values())
        while self.bytes > self.limit and (oldest := self._do("SELECT COUNT(*) / 10 + (COUNT(*) > 0) FROM kept")[0][0]):
            self._do("DELETE FROM kept WHERE rowid IN (SELECT rowid FROM kept ORDER BY rowid LIMIT ?)", [oldest])
            self.evicted += oldest

    @property
    def bytes(self) -> int:
        """Bytes in use; 0 for a file that was never used."""
        if self.base is None and not self.file.exists():
            return 0
        return self._do("SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, "
                        "pragma_freelist_count, pragma_page_size")[0][0]

    def _select(self, what: str, keys: Collection[str]) -> list[tuple]:
        return self._do(f"SELECT {what} FROM kept WHERE key IN (SELECT value FROM json_each(?))", [json.dumps([*keys])])

    def _do(self, statement: str, values: Sequence = (), many: bool = False, again: bool = True) -> list[tuple]:
        """The rows of a statement, `many`: done for each of `values`; a file that is no database is begun anew."""
        try:
            try:
                with self.base or self._connect() as base:          # one transaction
                    return (base.executemany if many else base.execute)(statement, values).fetchall()
            except sqlite3.DatabaseError as error:
                if not again or isinstance(error, sqlite3.OperationalError):
                    raise
                self.damaged, self.base = self.damaged + 1, None
                self.file.replace(self.file.with_suffix(".damaged"))
                Path(f"{self.file}-journal").unlink(missing_ok=True)        # SQLite would roll the new file back by it
                return self._do(statement, values, many, again=False)
        except (sqlite3.OperationalError, OSError) as error:
            self.base = None
            raise ConpetError(f"{self.file}: this cache cannot be used ({error}). Free some disk space, or set "
                              "CONPET_CACHE to a folder that can be written.") from error

    def _connect(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # IMMEDIATE: a read lock that becomes a write lock does not wait its turn. The rollback journal, not the
        # write-ahead log: changing to that fails when two processes do it at once, nor does it work on network drives.
        base = sqlite3.connect(self.file, timeout=60, isolation_level="IMMEDIATE", check_same_thread=False)
        base.executescript(f"PRAGMA mmap_size={self.limit}; PRAGMA synchronous=NORMAL; BEGIN IMMEDIATE; "
                           "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, type TEXT NOT NULL, width INTEGER "
                           "NOT NULL, checksum INTEGER NOT NULL, value BLOB NOT NULL); COMMIT")
        self.base = base
        return base

def groups(prompts: Mapping[str, Tokens]) -> Iterator[tuple[int, list[str]]]:
    """A padded length and the keys of `GROUP` prompts that have it, a last key repeated to fill a group: one shape a
    length, as matrix kernels give other last digits for other shapes, and a value must depend on its prompt alone."""
    keys_of = defaultdict(list)
    for key, tokens in prompts.items():
        keys_of[-(-len(tokens) // BUCKET) * BUCKET].append(key)
    for length, keys in sorted(keys_of.items()):
        keys += keys[-1:] * (-len(keys) % GROUP)
        yield from ((length, keys[start:start + GROUP]) for start in range(0, len(keys), GROUP))

def padded(prompts: Sequence[Tokens], length: int = 0) -> tuple[Tensor, Tensor]:
    """Token numbers `(batch, tokens)`, padded to `length` or more, and `(batch, tokens)`: real tokens."""
    length = max(length, *map(len, prompts))
    ids = torch.tensor([[*tokens, *[0] * (length - len(tokens))] for tokens in prompts])
    return ids, torch.arange(length) < torch.tensor([[len(tokens)] for tokens in prompts])

class PrefixCache:
    """Hidden states at the boundary of one backbone, in a store that other backbones may share.
    Attributes: `tokens`: run through the prefix, padding and copies included; `wide`: prompts kept in float32, since
        half precision would overflow (smollm2's first token reaches 24,500; some decoders' more)."""
    def __init__(self, backbone: Backbone, store: Store):
        self.backbone, self.store, self.tokens, self.wide = backbone, store, 0, 0

    def key(self, tokens: Tokens) -> str:
        """The name of a prompt's states: a hash of backbone, boundary and token numbers."""
        return digest(self.backbone.fingerprint, self.backbone.boundary, torch.tensor(tokens).numpy().tobytes())

    def fill(self, prompts: Iterable[Tokens], on_group: Callable = lambda done, total: None) -> dict[str, Tensor]:
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
            raise ConpetError(f"The backbone {self.backbone.name!r} gives infinite or undefined hidden states at layer "
                              f"{self.backbone.boundary}. Try dtype='float32'.")
        whole, most = [state[:len(tokens)] for state, tokens in zip(states, prompts)], torch.finfo(torch.float16).max
        return [state.half() if state.abs().max() < most else state.clone() for state in whole]

    def batch(self, prompts: Sequence[Tokens], length: int = 0) -> tuple[Tensor, Tensor]:
        """States `(batch, tokens, hidden)` float32, padded to `length` or more, and `(batch, tokens)`: real tokens."""
        keys = [self.key(tokens) for tokens in prompts]
        found = self.store.get(keys)
        if lacking := {key: tokens for key, tokens in zip(keys, prompts) if key not in found}:
            found |= self.fill(lacking.values()) | self.store.get(lacking)  # never filled, damaged, or over the limit
        real = padded(prompts, length)[1]
        return torch.stack([pad(found[key].float(), (0, 0, 0, real.shape[1] - len(found[key]))) for key in keys]), real

class Features:
    """Rows of a list of examples as answer features; a row is read when it is asked for.
    Args: cache: folder of the caches, default the user's. max_tokens: longer prompts are cut around their spans."""
    def __init__(self, examples: Sequence[Example], kind: str, backbone: Backbone, cache: Path | None = None,
                 max_tokens: int = 128):
        self.examples, self.backbone, cache = examples, backbone, Path(cache or cache_folder())
        self.prompt = Prompt(backbone.tokenizer, kind, max_tokens)
        self.prefixes = PrefixCache(backbone, Store(cache / "prefix.sqlite", PREFIX_BYTES))
        self.logits = Store(cache / "logits.sqlite", LOGIT_BYTES)            # the logit cache
        self.passes, self.encoded = Counter(), {}           # what `counts` tells; by row what `encode` gave

    @property
    def counts(self) -> Counter:
        """What was run so far: `top_rows`, `top_tokens` (padded) and `head_scores` without gradients and, ending in
        `_trained`, with; `prefix_tokens`; what both caches count; `truncated` prompts and their `cut_tokens`."""
        prefixes, stores = self.prefixes, (("prefix", self.prefixes.store), ("logit", self.logits))
        caches = {f"{name}_{field}": getattr(store, field) for name, store in stores
                  for field in ("hits", "misses", "written", "damaged", "evicted")}
        return Counter({**self.passes, **caches, "prefix_tokens": prefixes.tokens, "prefix_wide": prefixes.wide})

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
        hidden, real = (part.to(self.backbone.device) for part in start([prompt.tokens for prompt in prompts], length))
        answer = torch.tensor([prompt.answer for prompt in prompts], device=hidden.device)
        kind = "_trained" if torch.is_grad_enabled() else ""
        self.passes.update({f"top_rows{kind}": len(rows), f"top_tokens{kind}": real.numel(),
                            f"head_scores{kind}": len(rows) * len(module.owner) if module else 0})
        return self.backbone.top(hidden, real, answer, *((module.adapter, module.config) if module else ()))

    def scores(self, rows: Sequence[int], module: PetModule, length: int = 0) -> Tensor:
        """`(batch, labels of the module)` scores of one pass, with gradients if they are on."""
        return module.scores(self.top(rows, module, length))

    def scores_of(self, rows: Sequence[int], module: PetModule) -> Tensor:
        """`(rows, labels)` scores of any number of rows, without gradients; on the CPU."""
        return self._in_passes(self.scores, rows, module, len(module.owner))

    @torch.no_grad()
    def frozen_scores(self, rows: Sequence[int], module: PetModule) -> Tensor:
        """The same of a module that is not trained any more, through the logit cache."""
        names = self.backbone.exit_layer, module.fingerprint       # with the prefix's key all that a score depends on
        keys = [digest(*names, self.prefixes.key(prompt.tokens), prompt.answer) for prompt in map(self.encode, rows)]
        found, row_of = self.logits.get(keys), dict(zip(keys, rows))
        if lacking := {key: self.encode(row).tokens for key, row in row_of.items() if key not in found}:
            for length, part in groups(lacking):
                scores = self.scores([row_of[key] for key in part], module, length).float().cpu()
                found |= zip(part, scores[:, None])
            self.logits.put({key: found[key] for key in lacking})
        return torch.cat([found[key] for key in keys])

    def features_of(self, rows: Sequence[int], module: PetModule | None = None) -> Tensor:
        """`(rows, hidden)` answer features of any number of rows, without gradients; on the CPU."""
        return self._in_passes(self.top, rows, module, self.backbone.hidden_size)

    @torch.no_grad()
    def _in_passes(self, run: Callable, rows: Sequence[int], module: PetModule | None, width: int) -> Tensor:
        """`run` over rows sorted by length, the results put back into the rows' order."""
        rows, result = np.asarray(rows, dtype=np.int64), torch.zeros(len(rows), width)
        order = np.argsort([len(self.encode(row).tokens) for row in rows], kind="stable")
        for start in range(0, len(rows), INFERENCE_ROWS):
            part = order[start:start + INFERENCE_ROWS]
            result[part] = run(rows[part], module).float().cpu()
        return result
