"""One form for the examples of every corpus, and one way to read them and to report faults. Knows no file's layout."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from pathlib import Path

import pandas as pd

from conpet_lib.assets import DATA
from conpet_lib.errors import ConpetError

ABOUT = json.loads((DATA / "corpora.json").read_text(encoding="utf-8"))     # kind, files and where to get them, by name
PARTS = {"train": "train", "dev": "valid", "val": "valid", "valid": "valid", "test": "test"}      # by a file's name
KINDS = "text", "typing", "relation"        # of your own data, by the number of spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A text with marked spans and a label."""
    key: str                      # names the example in records, which never hold its text
    text: str
    spans: tuple[tuple[int, int], ...]      # characters, end exclusive: typing one, relations head and tail, or none
    label: str
    part: str | None = None       # official part: "train", "valid" or "test"
    source: str = ""              # file and line or record
    sentence: str = ""            # what must not stand on two sides of a split; if empty, the text
    group: str = field(default="", repr=False)      # of the label, among similar ones; may be empty

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
    """A named list of examples."""
    name: str
    kind: str                     # chooses the prompt: "definition", "typing", "relation" or "text"
    examples: Sequence[Example]
    report: ReadReport
    groups: dict[str, str] = field(default_factory=dict)      # label -> group of similar labels; may be empty

    def counts(self) -> Counter:
        """Number of examples a label."""
        return Counter(example.label for example in self.examples)

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}: {len(self.examples):,} examples, {len(self.counts())} labels)"


Found = Iterator[Example | str]        # what a reader finds in a file: examples, and a text for each fault
FAULTS = AttributeError, LookupError, TypeError, ValueError     # what a record of another form raises


def read_corpus(name: str, path: str | Path | pd.DataFrame, read: Callable[..., Found]) -> Corpus:
    """The corpus in a file, a folder or a DataFrame, in which `read` finds what `data/corpora.json` describes.
    Raises: ConpetError with the advice if there is no file, and with all faults of a file (after 20 their number)."""
    about, report, examples = ABOUT[name], ReadReport(), []
    path = Path(path) if isinstance(path, (str, Path)) else path
    lists = [[path]] if not isinstance(path, Path) or path.is_file() else [
        sorted({*chain(*map(path.glob, patterns))} - {path / about.get("beside", "")}) for patterns in about["files"]]
    files = next(filter(None, lists), [])       # those of the first patterns that match any
    if not files:
        missing = "no file of this corpus in this folder" if path.is_dir() else "no such file or folder"
        raise ConpetError(f"{path}: {missing}. {about['wanted']}")
    for file in files:
        try:
            found = list(read(file, report))
            found = found or [f"there is no example in it. {report}"] * (file is files[-1] and not examples)
        except (OSError, ValueError) as error:      # not text, not JSON, not a table
            found = [f"cannot be read: {str(error).strip()}"]
        if faults := [fault for fault in found if isinstance(fault, str)]:
            title = f"{file if isinstance(file, Path) else 'table'}: {len(faults):,} fault(s)."
            more = [f"... and {len(faults) - 20:,} more of this kind"] * (len(faults) > 20)
            raise ConpetError("\n".join([title, *faults[:20], *more, about["wanted"]]))
        examples += found
    report.read, report.skipped, spans = len(examples), +report.skipped, len(examples[0].spans)     # +: without zeros
    name = name if about["kind"] else path.stem if isinstance(path, Path) else name
    groups = {example.label: example.group for example in examples if example.group}
    return Corpus(name, about["kind"] or KINDS[spans], examples, report, groups)


def joined(tokens: Sequence[str], runs: Sequence[list[int]]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Tokens joined by blanks, and the character span of each run of token positions; ValueError for no such runs."""
    for run in runs:
        if not run or run != list(range(len(tokens)))[run[0]:run[-1] + 1]:
            raise ValueError(f"positions {run} are not a run or lie after the last token ({len(tokens)} tokens)")
    if len(set().union(*runs)) < sum(map(len, runs)):
        raise ValueError(f"positions {runs} overlap")
    starts = [0, *accumulate(len(token) + 1 for token in tokens)]
    return " ".join(tokens), tuple((starts[run[0]], starts[run[-1] + 1] - 1) for run in runs)
