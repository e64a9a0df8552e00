"""One form for the examples of every corpus, and one way from a path as it was handed out to a checked `Corpus`.
In: a path, and what reads one file. Out: a `Corpus`, or one ConpetError with every fault. By which signs a layout is
told, and what to get, is data: `data/corpora.json`. Knows no layout itself. Start at `read_corpus`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

LONGEST = 10_000  # characters of a text


@dataclass(frozen=True, slots=True)
class Example:
    """A text with marked spans and a label."""

    key: str  # names the example in records, which never hold its text
    text: str
    spans: tuple[
        tuple[int, int], ...
    ]  # characters, end exclusive: typing one, relations head and tail, or none
    label: str
    part: str | None = None  # official part: "train", "valid" or "test"
    source: str = ""  # file and line or record
    sentence: str = ""  # what must not stand on two sides of a split; if empty, the text
    group: str = field(default="", repr=False)  # of the label, among similar ones; may be empty

    def span_texts(self) -> tuple[str, ...]:
        """The marked words, one string a span."""
        return tuple(self.text[start:end] for start, end in self.spans)


@dataclass
class ReadReport:
    """What became of all that a reader met: `read` examples; what was left out or changed, as `{reason: count}`."""

    read: int = 0
    skipped: Counter = field(default_factory=Counter)
    merged: Counter = field(default_factory=Counter)  # read as another, or made one with it
    truncated: Counter = field(default_factory=Counter)
    unknown: Counter = field(
        default_factory=Counter
    )  # examples of labels that the authors' split lacks
    notes: list[str] = field(default_factory=list)  # what was recognised, what was not read

    def __str__(self) -> str:
        counts = {
            "skipped": self.skipped,
            "merged": self.merged,
            "truncated": self.truncated,
            "unknown to the authors' split": self.unknown,
        }
        lines = [
            f"{count:,} {kind}: {reason}"
            for kind, found in counts.items()
            for reason, count in found.items()
        ]
        return "\n".join([f"{self.read:,} examples read", *lines, *self.notes])


@dataclass(frozen=True)
class Corpus:
    """A named list of examples."""

    name: str
    kind: str  # chooses the prompt: "definition", "typing", "relation" or "text"
    examples: Sequence[Example]
    report: ReadReport
    groups: dict[str, str] = field(
        default_factory=dict
    )  # label -> group of similar labels; may be empty

    def counts(self) -> Counter:
        """Number of examples a label."""
        return Counter(example.label for example in self.examples)

    def __repr__(self) -> str:
        return (
            f"Corpus({self.name!r}: {len(self.examples):,} examples, {len(self.counts())} labels)"
        )
