"""One form for the examples of every corpus.

In: what a reader found. Out: `Example`, `Corpus`, `ReadReport`. Knows no layout of any file.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from conpet_lib.errors import ConpetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A text with marked spans and a label.

    `spans` are character positions (start, end), end exclusive: one for entity typing, head and tail for a relation,
    none for plain text. `key` names the example in records, which never hold its text. `sentence` is what must not
    stand on two sides of a split (the text, unless the reader knows better: WordNet's is the definition, since several
    nouns may share it).
    """

    key: str
    text: str
    spans: tuple[tuple[int, int], ...]
    label: str
    part: str | None = None       # official part: "train", "valid" or "test"
    source: str = ""              # file and line or record
    sentence: str = ""

    def span_texts(self) -> tuple[str, ...]:
        """The marked words, one string a span."""
        return tuple(self.text[start:end] for start, end in self.spans)


@dataclass
class ReadReport:
    """What a reader read and what it left out: `read` examples, `skipped` as `{reason: count}`."""

    read: int = 0
    skipped: Counter = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        skipped = [f"{count:,} skipped: {reason}" for reason, count in self.skipped.items()]
        return "\n".join([f"{self.read:,} examples read", *skipped, *self.notes])


@dataclass(frozen=True)
class Corpus:
    """A named list of examples.

    `kind` chooses the prompt: "definition", "typing", "relation" or "text". `groups` maps a label
    to the group of similar labels it belongs to; empty where the corpus has none.
    """

    name: str
    kind: str
    examples: Sequence[Example]
    report: ReadReport
    groups: dict[str, str] = field(default_factory=dict)

    def counts(self) -> Counter:
        """Number of examples a label, most frequent first when iterated by `most_common`."""
        return Counter(example.label for example in self.examples)

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}: {len(self.examples):,} examples, {len(self.counts())} labels)"


def joined(tokens: Sequence[str]) -> tuple[str, list[int]]:
    """Join tokens by blanks; also the start position of each token in the text."""
    return " ".join(tokens), [0, *accumulate(len(token) + 1 for token in tokens)][:-1]


def overlap(spans: Sequence[tuple[int, int]]) -> bool:
    """Whether head and tail share a character."""
    return len(spans) == 2 and spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]


def wanted_path(path: str | Path | None, corpus: str, advice: str) -> Path:
    """The path as `Path`; a ConpetError that says what to get when it is missing."""
    if path is None or not Path(path).exists():
        raise ConpetError(f"load_corpus({corpus!r}) needs path=. {advice}" if path is None else
                          f"{path}: no such file or folder. {advice}")
    return Path(path)


def fault(path: Path, faults: list[str], advice: str) -> ConpetError:
    """All faults of one file in one message; after 20 only their number."""
    shown = faults[:20] + ([f"... and {len(faults) - 20:,} more of this kind"] if len(faults) > 20 else [])
    return ConpetError("\n".join([f"{path}: {len(faults):,} fault(s)."] + shown + [advice]))
