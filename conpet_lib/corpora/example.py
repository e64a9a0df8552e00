"""Example: a text with marked spans and a label, and what a reading of many of them gives.

In: nothing. Out: `Example`, `Corpus` and `ReadReport`, the one form in which every corpus is handed
on to streams and prompts. May import `core`. Knows neither files nor layouts.
Start at `Example`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from conpet_lib.core.arguments import accept

LONGEST = 10_000  # characters of a text; a longer one is cut around its spans

Span = tuple[int, int]  # characters of a text, the end exclusive


@dataclass(frozen=True, slots=True)
class Example:
    """A text with marked spans and a label.

    Attributes:
        key: Names the example in records, which never hold its text; no other example of the
            corpus has it.
        text: What a model reads.
        spans: Marked characters, ends exclusive: one span for typing, head and tail for relations,
            none where the whole text is classified.
        label: What is to be predicted.
        part: The official part it stands in, "train", "valid" or "test"; None if there is none.
        source: The file, and the line or record in it.
        sentence: What must not stand on two sides of a split, one sentence on each line; if empty,
            that is the text.
        group: Group of similar labels to which the label belongs; may be empty.
    """

    key: str
    text: str
    spans: tuple[Span, ...]
    label: str
    part: str | None = None
    source: str = ""
    sentence: str = ""
    group: str = field(default="", repr=False)

    def span_texts(self) -> tuple[str, ...]:
        """The marked words, one string per span."""
        return tuple(self.text[start:end] for start, end in self.spans)


@dataclass
class ReadReport:
    """What became of everything that a reader met.

    Attributes:
        read: Number of examples.
        skipped: What was left out, as `{reason: count}`.
        merged: What was read as something else, or made one with it, as `{reason: count}`.
        truncated: Texts that were cut, as `{how: count}`.
        unknown: Examples of labels that the authors' split does not have, as `{label: count}`.
        notes: What was recognised, and what was not read.
    """

    read: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    merged: Counter[str] = field(default_factory=Counter)
    truncated: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counters = {
            "skipped": self.skipped,
            "merged": self.merged,
            "truncated": self.truncated,
            "unknown to the authors' split": self.unknown,
        }
        lines = [f"{self.read:,} examples read"]
        for verb, counter in counters.items():
            for reason, count in counter.items():
                lines.append(f"{count:,} {verb}: {reason}")
        return "\n".join(lines + self.notes)


@dataclass(frozen=True)
class Corpus:
    """A named list of examples.

    Attributes:
        name: What it was loaded as, or the file of one's own data.
        kind: Chooses the prompt: "definition", "typing", "relation" or "text".
        examples: All that was read, in the order of files and records.
        report: What became of everything that the reader met.
        groups: Group of similar labels for each label; empty if the corpus has no groups.
    """

    name: str
    kind: str
    examples: Sequence[Example]
    report: ReadReport
    groups: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = set()  # labels are few, examples may be a million
        for number, example in enumerate(self.examples):
            is_known = type(example) is Example and example.label.__class__ is str
            if is_known and example.label in known:
                continue
            accept("Corpus", f"examples[{number}]", example, Example)
            accept("Corpus", f"examples[{number}].label", example.label, str)
            known.add(example.label)

    def counts(self) -> Counter[str]:
        """Number of examples per label."""
        return Counter(example.label for example in self.examples)

    def __repr__(self) -> str:
        examples = f"{len(self.examples):,} examples"
        return f"Corpus({self.name!r}: {examples}, {len(self.counts())} labels)"
