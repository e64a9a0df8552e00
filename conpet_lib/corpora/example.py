"""One form for the examples of every corpus, and one way to read them and to report faults.

In: a path, and what a reader finds in a file. Out: `Example`, `Corpus`, `ReadReport`. Knows no layout of any file.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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

    `kind` chooses the prompt: "definition", "typing", "relation" or "text". `groups` maps a label to the group of
    similar labels it belongs to; empty where the corpus has none.
    """

    name: str
    kind: str
    examples: Sequence[Example]
    report: ReadReport
    groups: dict[str, str] = field(default_factory=dict)

    def counts(self) -> Counter:
        """Number of examples a label."""
        return Counter(example.label for example in self.examples)

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}: {len(self.examples):,} examples, {len(self.counts())} labels)"


def read_files(path: str | Path | None, inside: Callable[[Path], list[Path]],
               read: Callable[[Path, ReadReport], Iterator[Example | str]], advice: str) -> tuple[list, ReadReport]:
    """The examples of a file, or of the files that `inside` finds in a folder, and their report.

    `read(file, report)` yields examples, and a text for each fault.
    Raises: ConpetError with the advice if there is no file, and with all faults of a file (after 20 their number).
    """
    if path is None:
        raise ConpetError(f"load_corpus needs path= for this corpus. {advice}")
    path, report, examples = Path(path), ReadReport(), []
    files = [path] if path.is_file() else inside(path)
    if not files:
        missing = "no file of this corpus in this folder" if path.is_dir() else "no such file or folder"
        raise ConpetError(f"{path}: {missing}. {advice}")
    for file in files:
        try:
            found = list(read(file, report))
        except (OSError, ValueError) as error:      # not text, not JSON, not a table
            found = [f"cannot be read: {str(error).strip()}"]
        faults = [fault for fault in found if isinstance(fault, str)]
        if faults:
            more = [f"... and {len(faults) - 20:,} more of this kind"] * (len(faults) > 20)
            raise ConpetError("\n".join([f"{file}: {len(faults):,} fault(s).", *faults[:20], *more, advice]))
        examples += found
    report.read = len(examples)
    return examples, report


def joined(tokens: Sequence[str], runs: Sequence[tuple[int, int]]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Tokens joined by blanks, and the character span of each run of tokens (its first and last position)."""
    starts = [0, *accumulate(len(token) + 1 for token in tokens)]
    return " ".join(tokens), tuple((starts[first], starts[last + 1] - 1) for first, last in runs)


def overlap(spans: Sequence[tuple[int, int]]) -> bool:
    """Whether head and tail share a character."""
    return len(spans) == 2 and spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]
