"""One form for the examples of every corpus.

In: what a reader found. Out: `Example`, `Corpus`, `ReadReport`. Knows no layout of any file.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A text with marked spans and a label.

    `spans` are character positions (start, end), end exclusive: one for entity typing, head and tail for a
    relation, none for plain text. `key` names the example in records, which never hold its text.
    """

    key: str
    text: str
    spans: tuple[tuple[int, int], ...]
    label: str
    part: str | None = None       # official part: "train", "valid" or "test"
    source: str = ""              # file and line or record
    sentence: str = ""            # what must not stand on two sides, where it is not the text: WordNet's definition

    def span_texts(self) -> tuple[str, ...]:
        """The marked words, one string a span."""
        return tuple(self.text[start:end] for start, end in self.spans)


@dataclass
class ReadReport:
    """What became of everything that a reader met; nothing is dropped without a count here."""

    read: int = 0                                          # examples
    skipped: Counter = field(default_factory=Counter)      # reason -> how many were left out for it
    merged: Counter = field(default_factory=Counter)       # what was made one with another, or read as another
    truncated: int = 0                                     # texts cut around their spans
    unknown: Counter = field(default_factory=Counter)      # label that the authors' split lacks -> its examples
    first: dict[str, str] = field(default_factory=dict)    # reason -> where it was met first
    notes: list[str] = field(default_factory=list)         # the layout recognised, files not read

    def __str__(self) -> str:
        lines, kinds = [f"{self.read:,} examples read"], {"skipped": self.skipped, "merged": self.merged}
        kinds |= {"unknown to the split": self.unknown, "truncated": {"texts, around their spans": self.truncated}}
        for kind, counts in kinds.items():
            lines += [f"{count:,} {kind}: {reason}" + f" (first: {self.first.get(reason)})" * (reason in self.first)
                      for reason, count in counts.items() if count]
        return "\n".join(lines + self.notes)


@dataclass(frozen=True)
class Corpus:
    """A named list of examples.

    `kind` chooses the prompt: "definition", "typing", "relation" or "text". `groups` maps a label to the group of
    similar labels it belongs to; empty where the corpus has none.
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
