"""Table: your own data as CSV, TSV, JSON lines, a pandas DataFrame or a Hugging Face Dataset.

Columns: a text and a label; `part` if there is one; for typing `start` and `end` (characters, end
exclusive), for relations `head_start`, `head_end`, `tail_start`, `tail_end`. Instead, the texts may
mark their spans, as `[span]`, or `[head]` and `{tail}`. With neither, the whole text is classified.
Parts without a training part are none. The report says what was guessed, and how many rows stand
more than once. May import `rows`, `columns`, `cells`, `reader`, `text`, `example`.
Start at `read_file`.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from conpet_lib.corpora.cells import cell_text, part_of, position_of
from conpet_lib.corpora.columns import SHAPES, VALUES, Form, Row, form_of
from conpet_lib.corpora.example import Example, ReadReport, Span
from conpet_lib.corpora.reader import PARTS, Fault, Found, Layout, Reader, record_by_record
from conpet_lib.corpora.rows import frame_of, rows_of
from conpet_lib.corpora.text import joined, plain_words

WHOLE_AS_FLOAT = re.compile(r"-?\d+\.0")


def _spans_of_positions(cells: dict[str, str], form: Form, row: Row) -> list[Span]:
    """The spans that stand in a row's columns, checked against the words that it repeats."""
    ends = [position_of(cells[name], name) for name in form.positions]
    spans = list(zip(ends[::2], ends[1::2], strict=True))
    for start_name, (start, end) in zip(form.positions[::2], spans, strict=True):
        column = (form.words or {}).get(start_name)
        if column is None:
            continue
        words = cell_text(row.get(column))
        found = cells["text"][max(0, start) : max(0, end)]
        stands_elsewhere = plain_words(words) in plain_words(cells["text"])
        if words.strip() and stands_elsewhere and plain_words(words) != plain_words(found):
            raise Fault(f"expected {words!r} of {column!r} at {start} to {end}, found {found!r}")
    return spans


def _unmarked(text: str, marks: tuple[str, ...]) -> tuple[str, list[Span]]:
    """A text without the brackets around its spans, and the spans in it."""
    matches = []
    for mark in marks:
        found = list(re.finditer(mark, text))
        if len(found) != 1:
            raise Fault(
                f"expected one {SHAPES[mark]} in the text, as in nearly all rows, found "
                f"{len(found)}; if brackets are no marks here, say so with marks=False"
            )
        matches += found
    brackets = sorted(place for match in matches for place in (match.start(), match.end() - 1))
    spans = []
    for match in matches:
        start, end = match.span(1)
        # Each bracket that stood before a place has moved it by one.
        spans.append((start - bisect_left(brackets, start), end - bisect_left(brackets, end)))
    plain = "".join(sign for place, sign in enumerate(text) if place not in brackets)
    return plain, spans


def _are_whole_as_floats(rows: list[Row], form: Form) -> bool:
    """Whether the labels are whole numbers that pandas wrote as floats, because one is missing.

    Then 1.0 is the label that is 1 in a file without gaps.
    """
    labels = {str(row.get(form.columns["label"]) or "").strip() for row in rows}
    filled = labels - {""}
    return "" in labels and bool(filled) and all(map(WHOLE_AS_FLOAT.fullmatch, filled))


def read_file(source: Path | pd.DataFrame, report: ReadReport, **given: object) -> Found:
    """One example for each row.

    Args:
        source: A file, or a table in memory.
        report: Gets what was guessed, and the number of rows without a text or a label.
        **given: The column of each value, None where it is to be guessed, False where there is to
            be none: `text`, `label`, `part` and the positions; and `marks`, False if brackets in
            the texts are no marks.

    Returns:
        Examples, and a text for each faulty row.
    """
    is_file = isinstance(source, Path)
    name = source.name if is_file else "table"
    stem = source.stem if is_file else "table"
    rows = rows_of(source, report, given.get("label"))
    whole = [row for _, row in rows if not isinstance(row, Fault)]
    form = form_of(whole, given)
    are_floats = _are_whole_as_floats(whole, form)
    report.notes += [str(form), *form.notes]
    if are_floats:
        report.notes.append("labels such as 1.0 are read as 1, as they are written without a gap")

    def read_row(where: str, row: Row | Fault) -> Iterator[Example]:
        if isinstance(row, Fault):
            raise row
        cells = {wanted: cell_text(row.get(column)) for wanted, column in form.columns.items()}
        text = cells["text"]
        label = cells["label"].strip()
        if are_floats:
            label = label.removesuffix(".0")
        if not text.strip():
            report.skipped["empty text"] += 1
            return
        if not label:
            report.skipped["no label"] += 1
            return
        if form.marks:
            text, spans = _unmarked(text, form.marks)
        else:
            spans = _spans_of_positions(cells, form, row)
        text, places = joined(text, spans)
        key = f"{stem}:{where.removeprefix('line ')}"
        part = part_of(cells["part"]) or PARTS.get(stem)
        yield Example(key, text, places, label, part, source=f"{name}, {where}")

    yield from record_by_record(rows, read_row)


def _note_repeats(examples: list[Example], report: ReadReport) -> None:
    """Say how many rows stand more than once, and how many with another label."""
    rows = {(example.text, example.spans, example.label) for example in examples}
    texts = Counter((text, spans) for text, spans, _ in rows)
    repeats = len(examples) - len(rows)
    if repeats:
        report.notes.append(f"{repeats:,} rows repeat an earlier one, and are kept")
    labelled_twice = sum(count > 1 for count in texts.values())
    if labelled_twice:
        report.notes.append(f"{labelled_twice:,} texts have several labels")


def _is_inside_a_word(text: str, place: int) -> bool:
    """Whether there are letters on both sides of a place.

    Letters are signs that can be small or capital; the scripts of others need no blanks.
    """
    around = text[max(0, place - 1) : place + 1]
    return len(around) == 2 and all(sign.upper() != sign.lower() for sign in around)


def _note_cut_words(examples: list[Example], report: ReadReport) -> None:
    """Say if most spans cut a word in two, as with positions from 1, or with inclusive ends."""
    count = 0
    cut = 0
    for example in examples:
        for span in example.spans:
            count += 1
            cut += any(_is_inside_a_word(example.text, place) for place in span)
    if 2 * cut > count:
        report.notes.append(
            f"{cut:,} of {count:,} spans begin or end inside of a word: do positions count from 0, "
            "and are the ends exclusive?"
        )


def settled(examples: list[Example], report: ReadReport) -> list[Example]:
    """The examples of all files of a table, with parts only if one of them is for training.

    Args:
        examples: What was read.
        report: Gets how many rows are in which part, and how many rows stand more than once.

    Returns:
        The examples; without parts if nothing could be trained on, as of a single test.csv.
    """
    _note_repeats(examples, report)
    _note_cut_words(examples, report)
    parts = Counter(example.part for example in examples)
    counts = ", ".join(f"{count:,} {part or 'none'}" for part, count in parts.items())
    if set(parts) == {None}:
        return examples
    if "train" in parts or None in parts:
        report.notes.append(f"rows of each part: {counts}")
        return examples
    report.notes.append(
        f"rows of each part: {counts}; without training rows they are no parts, so all rows may "
        "stand on any side"
    )
    return [replace(example, part=None) for example in examples]


READER = Reader(
    name="table",
    kind=None,
    read_file=read_file,
    layouts=(
        Layout("JSON lines", {"an object a line": r"^\s*\{"}),
        Layout(
            "CSV or TSV",
            {
                "a first line of columns with comma, semicolon or TAB between": (
                    r'^\s*("?[sS][eE][pP]=.|[^\n{<]*[,;\t])'
                )
            },
        ),
    ),
    options={name: [] for name in VALUES} | {"marks": [None, False]},
    expected=(
        "rows with a text and a label; positions are whole numbers that count characters from 0, "
        "the end is exclusive; a part is train, valid or test"
    ),
    wanted=(
        "Wanted: a .csv, .tsv or .jsonl file with a column for the text and one for the label, "
        "saved as UTF-8; or a DataFrame or Dataset."
    ),
    from_memory=frame_of,
    settle=settled,
)
