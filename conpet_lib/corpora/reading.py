"""Reading: from a path as it was handed out to a checked corpus.

In: a `Reader`, and a path or a table in memory. Out: a `Corpus`, or one ConpetError with every
fault. May import `layouts`, `kept`, `text`, `reader`, `example` and `core`. Knows no corpus and
parses no record. Start at `read_corpus`.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from conpet_lib.core.assets import DATA
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import temporary_folder
from conpet_lib.corpora.example import LONGEST, Corpus, Example, ReadReport
from conpet_lib.corpora.kept import kept_file, load_stored, store
from conpet_lib.corpora.layouts import choose_files, files_beside
from conpet_lib.corpora.reader import FAULTS, Reader, fault_text
from conpet_lib.corpora.text import shortened

KEPT = 100_000  # examples; a corpus of so many is kept in the cache
HALF_A_SIGN = re.compile("[\ud800-\udfff]")  # Python's texts may hold one, models cannot
SHOWN = 20  # faults of a kind that are told one by one
KIND_OF_SPANS = {0: "text", 1: "typing", 2: "relation"}  # of a corpus that has no kind of its own

Source: TypeAlias = "Path | pd.DataFrame"


def _name_of(source: Source) -> str:
    """What messages call a file or a table in memory."""
    if isinstance(source, Path):
        return source.name
    return "table"


class _Collector:
    """What was found in the files of a corpus: each example once, and the faults by their kind.

    Attributes:
        examples: The examples that are kept.
        faults: The messages of each kind of fault, in the order in which they were met.
    """

    def __init__(self, report: ReadReport, repeats: object) -> None:
        self.examples: list[Example] = []
        self.faults: dict[str, list[str]] = {}
        self._report = report
        self._keeps_repeats = bool(repeats)
        self._keys: set[str] = set()
        self._mentions: set[tuple[object, ...]] = set()

    def add(self, example: Example, file_name: str) -> None:
        """Take an example, unless it is the exact repeat of a mention, or is faulty."""
        place = example.source.removeprefix(f"{file_name}, ")
        for name, value in (("text", example.text), ("label", example.label)):
            if HALF_A_SIGN.search(value):
                self.add_fault(
                    f"{place}: half a sign (a lone surrogate) in the {name}, which no UTF-8 holds; "
                    "mend or remove it",
                    file_name,
                )
                return
        if example.key in self._keys or not example.label.strip():
            self.add_fault(
                f"{place}: the key {example.key!r} stands twice, or {example.label!r} is no label",
                file_name,
            )
            return
        if not self._keeps_repeats:
            mention = (example.text, example.spans, example.label)
            if mention in self._mentions:
                self._report.merged["exact repeats of a mention"] += 1
                return
            self._mentions.add(mention)
        self._keys.add(example.key)
        if len(example.text) > LONGEST:
            self._report.truncated[f"texts to {LONGEST:,} characters around their spans"] += 1
            example = shortened(example)
        self.examples.append(example)

    def add_fault(self, text: str, file_name: str) -> None:
        """Take a fault. Its kind is what it says between the place and the first value in it."""
        kind = re.sub(r"^[^:]*:|[\d'\"(\[].*", "", text)
        self.faults.setdefault(kind, []).append(f"{file_name}, {text[:300]}")

    def fault_lines(self) -> list[str]:
        """The faults of each kind, and how many more there are."""
        lines = []
        for messages in self.faults.values():
            lines += messages[:SHOWN]
            if len(messages) > SHOWN:
                lines.append(f"... and {len(messages) - SHOWN:,} more of this kind")
        return lines


def _read_file(
    reader: Reader, source: Source, options: dict[str, object], report: ReadReport
) -> list[Example | str]:
    """All that a reader finds in one file; if the whole file is bad, that alone."""
    try:
        return list(reader.read_file(source, report, **options))
    except FAULTS as error:
        return [f"cannot be read: {fault_text(error)}"]


def _refusal(reader: Reader, place: Path, collector: _Collector, report: ReadReport) -> ConpetError:
    """The error for files with faults, or without an example."""
    if collector.faults:
        count = sum(len(messages) for messages in collector.faults.values())
        first = f"{place}: {count:,} fault(s), so nothing was read."
    else:
        first = f"{place}: there is no example in it. {report}"
    lines = [first, *collector.fault_lines(), f"Expected: {reader.expected}.", reader.wanted]
    return ConpetError("\n".join(lines))


def _notes_on_like_labels(counts: Counter[str]) -> list[str]:
    """Which labels differ only in what a person overlooks."""
    alike = defaultdict(list)
    for label in sorted(counts):
        alike[" ".join(label.casefold().split())].append(label)
    notes = []
    for labels in alike.values():
        if len(labels) > 1:
            names = ", ".join(map(repr, labels))
            notes.append(f"labels that differ in blanks or capital letters alone: {names}")
    return notes


def _note_labels(name: str, counts: Counter[str], report: ReadReport) -> None:
    """Say which labels the authors' split does not have, and which are too rare."""
    split = DATA / "splits" / f"{name}.json"
    if split.is_file():
        tasks = json.loads(split.read_text(encoding="utf-8"))["tasks"]
        known = {label for task in tasks for label in task}
        report.unknown.update(
            {label: counts[label] for label in sorted(counts) if label not in known}
        )
    report.notes += _notes_on_like_labels(counts)
    single = [label for label, count in sorted(counts.items()) if count == 1]
    if single:
        report.notes.append(f"labels with one example: {', '.join(single)}")
    if len(counts) < 2:
        report.notes.append("there is one label only")


def _corpus(reader: Reader, place: Path, examples: list[Example], report: ReadReport) -> Corpus:
    """The corpus of all examples, and the last lines of its report."""
    _note_labels(reader.name, Counter(example.label for example in examples), report)
    report.read = len(examples)
    report.skipped = +report.skipped  # without zeros
    report.merged = +report.merged
    report.truncated = +report.truncated
    groups = {example.label: example.group for example in examples if example.group}
    if reader.kind is None:
        kind = KIND_OF_SPANS[len(examples[0].spans)]
        return Corpus(place.stem, kind, examples, report, groups)
    return Corpus(reader.name, reader.kind, examples, report, groups)


def read_files(
    reader: Reader,
    sources: Sequence[Source],
    place: Path,
    options: dict[str, object],
    report: ReadReport,
) -> Corpus:
    """The corpus in files that are already chosen, always read again.

    Args:
        reader: What reads one file.
        sources: The files, the scarce parts first; or one table in memory.
        place: What messages name as the place where all of them lie.
        options: A value for each option of the reader.
        report: What is already said about the files; it becomes the corpus' report.

    Returns:
        The corpus.

    Raises:
        ConpetError: With all faults; after 20 of a kind, their number.
    """
    options = dict(options)
    collector = _Collector(report, options.pop("repeats", True))
    for source in sources:
        for finding in _read_file(reader, source, options, report):
            if isinstance(finding, Example):
                collector.add(finding, _name_of(source))
            else:
                collector.add_fault(finding, _name_of(source))
    if collector.faults or not collector.examples:
        raise _refusal(reader, place, collector, report)
    return _corpus(reader, place, reader.settle(collector.examples, report), report)


def read_corpus(reader: Reader, source: Source, options: dict[str, object]) -> Corpus:
    """The corpus that a reader finds under a path, or in a table in memory.

    A key stands once in it and so does, unless `repeats` is True, a mention. A large corpus is
    kept in the cache, and taken from there while its files stay as they are.

    Args:
        reader: What reads one file, and by which signs files are recognised.
        source: A file, a folder or an archive; or a DataFrame.
        options: A value for each option of the reader.

    Returns:
        The corpus, with a report on all that was met.

    Raises:
        ConpetError: With all faults; after 20 of a kind, their number.
    """
    report = ReadReport()
    if isinstance(source, pd.DataFrame):
        return read_files(reader, [source], Path("table"), options, report)
    if not source.exists():
        raise ConpetError(f"{source}: no such file or folder. {reader.wanted}")
    with temporary_folder() as work:
        files = choose_files(reader, source, work, report)
        contents = {*files, *files_beside(files, reader)}
        kept = kept_file(reader, contents, options)
        corpus = load_stored(kept)
        if corpus is None:
            corpus = read_files(reader, files, source, options, report)
            if len(corpus.examples) >= KEPT:
                store(kept, corpus)
    return corpus
