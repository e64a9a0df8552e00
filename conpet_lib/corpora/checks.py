"""Checks: what must hold of any reader, for people who bring their own.

In: a `Reader`, and a small sample of the files that it reads. Out: the checks that hold, or one
ConpetError that says of each failing one what to mend. scikit-learn's `check_estimator` is the
model. May import `damage`, `trial`, `layouts`, `text`, `reader`, `example` and `core`. Knows no
corpus. Start at `check_reader`.
"""

import inspect
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import user_path
from conpet_lib.corpora.damage import damage, windows_copy
from conpet_lib.corpora.example import Example, ReadReport
from conpet_lib.corpora.layouts import choose_files
from conpet_lib.corpora.reader import PARTS, Reader
from conpet_lib.corpora.text import overlap
from conpet_lib.corpora.trial import Trial

SPANS_OF_KIND = {"definition": 1, "typing": 1, "relation": 2, "text": 0}

Failures = Iterator[str]  # what is wrong, and what to mend; none if the check holds


def _described(reader: Reader) -> Failures:
    """What is wrong with what a reader says of itself."""
    if not re.fullmatch(r"[\w-]+", reader.name):
        yield f"name={reader.name!r}: give it letters, digits, `_` and `-` alone."
    if reader.kind is not None and reader.kind not in SPANS_OF_KIND:
        yield f"kind={reader.kind!r}: choose one of {', '.join(SPANS_OF_KIND)}, or None."
    if not reader.expected.strip() or not reader.wanted.strip():
        yield "Say in `expected` what a record looks like, and in `wanted` what to get from where."
    try:
        given = {name: None for name in reader.options if name != "repeats"}
        inspect.signature(reader.read_file).bind(Path("file"), ReadReport(), **given)
    except TypeError as error:
        names = ", ".join(["file", "report", *(f"{name}=..." for name in given)])
        yield f"read_file must be callable as read_file({names}): {error}."
    yield from _signs(reader)


def _signs(reader: Reader) -> Failures:
    """What is wrong with the signs by which a reader's layouts are told."""
    if not reader.layouts:
        yield "layouts is empty: add a Layout with a sign that is in each of the corpus' files."
    for layout in reader.layouts:
        try:
            if not layout.lacking(""):
                yield f"The signs of {layout.name!r} fit an empty file: make one more specific."
        except re.error as error:
            yield f"A sign of {layout.name!r} is no regular expression: {error}."


def _reads_the_sample(trial: Trial) -> Failures:
    """Whether there are examples in the sample, and no faults."""
    for reading in trial.readings:
        for fault in reading.faults[:5]:
            yield (
                f"{reading.file.name}, {fault}: give a sample without faults, or mend what calls "
                "this record faulty."
            )
    if not any(reading.examples for reading in trial.readings):
        yield "read_file gave no example: let it yield one for each record."


def _same_twice(trial: Trial) -> Failures:
    """Whether a second reading gives the same."""
    for reading in trial.readings:
        again = trial.read(reading.file)
        if again.examples != reading.examples:
            yield (
                f"{reading.file.name} gives other examples the second time: let nothing outside of "
                "the file decide, such as a counter that goes on, the time or a random draw."
            )
        elif again.report != reading.report:
            yield (
                f"{reading.file.name} gives another report the second time: count in `report` "
                "alone, which is new for each reading."
            )


def _keys(trial: Trial) -> Failures:
    """Whether each example has a key of its own."""
    source_of: dict[object, str] = {}
    for _, example in trial.examples():
        if not isinstance(example.key, str) or not example.key.strip():
            yield f"{example.source} has the key {example.key!r}: give it a text."
            return
        if example.key in source_of:
            yield (
                f"the key {example.key!r} stands twice, at {source_of[example.key]} and at "
                f"{example.source}: put the file's name and the record's number into it."
            )
            return
        source_of[example.key] = example.source


def _labels(trial: Trial) -> Failures:
    """Whether each label is a text with words in it."""
    for _, example in trial.examples():
        if not isinstance(example.label, str) or not example.label.strip():
            yield (
                f"{example.source} has the label {example.label!r}: count such a record in "
                "report.skipped, or raise Fault."
            )
            return


def _wrong_span(example: Example) -> str | None:
    """What is wrong with the spans of an example."""
    for start, end in example.spans:
        if not 0 <= start < end <= len(example.text):
            return f"the span {start, end} does not lie in the text of {len(example.text)}"
        if not example.text[start:end].strip():
            return f"the span {start, end} holds blanks alone"
    if len(example.spans) == 2 and overlap(*example.spans):
        return f"the spans {example.spans} overlap"
    return None


def _spans(trial: Trial) -> Failures:
    """Whether spans lie inside of their texts and hold words, and are as many as the kind has."""
    counts = set(SPANS_OF_KIND.values())
    if trial.reader.kind is not None:
        counts = {SPANS_OF_KIND[trial.reader.kind]}
    for _, example in trial.examples():
        wrong = _wrong_span(example)
        if wrong is not None:
            yield (
                f"{example.source}: {wrong}: spans count characters from 0, ends exclusive. Let "
                "`joined` make text and spans of tokens, or of a text and its positions."
            )
            return
        if len(example.spans) not in counts:
            wanted = " or ".join(map(str, sorted(counts)))
            yield (
                f"{example.source} has {len(example.spans)} spans where {wanted} are wanted: "
                "choose another `kind`, or mark other words."
            )
            return
        counts = {len(example.spans)}  # all examples have as many as the first


def _sources(trial: Trial) -> Failures:
    """Whether each example says where it stands."""
    for file, example in trial.examples():
        behind_name = example.source.partition(file.name)[2]
        if not re.search(r"\d", behind_name):
            yield (
                f"{example.key!r} has the source {example.source!r}: name file and line or record, "
                f"as '{file.name}, line 3'."
            )
            return


def _parts(trial: Trial) -> Failures:
    """Whether parts have official names."""
    known = sorted(set(PARTS.values()))
    for _, example in trial.examples():
        if example.part is not None and example.part not in known:
            yield (
                f"{example.source} is of the part {example.part!r}: use {', '.join(known)} or "
                "None, as PARTS.get(file.stem) gives it."
            )
            return


def _report(trial: Trial) -> Failures:
    """Whether the report's `read` is the number of examples, and its counts are counts."""
    for reading in trial.readings:
        report = reading.report
        if report.read not in (0, len(reading.examples)):
            yield (
                f"{reading.file.name} gives {len(reading.examples)} examples, and its report says "
                f"{report.read} were read: leave `report.read` alone, it is counted for you."
            )
        for counter in (report.skipped, report.merged, report.truncated):
            for reason, count in counter.items():
                if not isinstance(reason, str) or not isinstance(count, int) or count < 0:
                    yield (
                        f"the report counts {count!r} of {reason!r}: write "
                        "report.skipped['reason in words'] += 1."
                    )


_CHECKS: dict[str, Callable[[Trial], Failures]] = {
    "The sample is read without a fault": _reads_the_sample,
    "A second reading gives the same": _same_twice,
    "Each example has a key of its own": _keys,
    "Labels are not empty": _labels,
    "Spans lie inside of their texts and hold words": _spans,
    "Sources name file and line or record": _sources,
    "Parts have official names": _parts,
    "The report's `read` is the number of examples": _report,
    "A copy saved on Windows reads the same": windows_copy,
    "A damaged file is refused or accounted for": damage,
}
_DESCRIBED = "The reader says what it is"


def _raised(sentence: str, bug: Exception) -> str:
    """What to do about an exception that is no fault of the data."""
    return (
        f"{sentence}: read_file raises {type(bug).__name__} {bug}: mend it; its traceback stands "
        "above."
    )


def _failures(trial: Trial, files: list[Path]) -> list[str]:
    """The failures of all checks on a sample; the first alone if read_file breaks on it."""
    failures = []
    for file in files:
        try:
            trial.readings.append(trial.read(file))
        except Exception as bug:  # a bug of the reader, which is told with its traceback
            trial.bugs.append(bug)
            return [_raised(f"The sample is read without a fault: {file.name}", bug)]
    for sentence, check in _CHECKS.items():
        try:
            failures += [f"{sentence}: {failure}" for failure in check(trial)]
        except Exception as bug:
            trial.bugs.append(bug)
            failures.append(_raised(sentence, bug))
    return failures


def _refuse(reader: Reader, failures: list[str], bugs: list[Exception]) -> None:
    """Raise one error for all failures, with the first bug's traceback above it."""
    if not failures:
        return
    lines = [f"check_reader: the reader {reader.name!r} fails {len(failures)} check(s)."]
    lines += [f"- {failure}" for failure in failures]
    cause = bugs[0] if bugs else None
    raise ConpetError("\n".join(lines)) from cause


@checked
def check_reader(reader: Reader, path: str | Path, **options: object) -> list[str]:
    """Try out a reader on a sample of its corpus, also on damaged copies of it.

    Args:
        reader: Your reader, whether it is registered or not.
        path: A file or folder that it should read, small and without faults. Nothing is written
            there.
        **options: As for `load_corpus`.

    Returns:
        What was checked and holds, one sentence for each check.

    Raises:
        ConpetError: If a check fails. It names all that fail and says what to mend; the traceback
            of a bug in the reader stands above it.
    """
    failures = [f"{_DESCRIBED}: {failure}" for failure in _described(reader)]
    _refuse(reader, failures, [])
    prepared = reader.prepare(reader.settings(options))
    given = {name: value for name, value in prepared.items() if name != "repeats"}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder, "unpacked")
        work.mkdir()
        files = choose_files(reader, user_path(path), work, ReadReport())
        trial = Trial(reader, given, Path(folder))
        failures = _failures(trial, files)
    _refuse(reader, failures, trial.bugs)
    return [f"{sentence}." for sentence in (_DESCRIBED, *_CHECKS)]
