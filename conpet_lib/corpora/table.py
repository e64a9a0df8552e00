"""Table: your own data as CSV, TSV, JSON lines, a pandas DataFrame or a Hugging Face Dataset.

Columns: a text and a label; `part` if there is one; for typing `start` and `end` (characters, end
exclusive), for relations `head_start`, `head_end`, `tail_start`, `tail_end`. Instead, every text
may mark its span, as `[span]`, or `[head]` and `{tail}`. With neither, the whole text is
classified. The report says what was guessed. May import `reader`, `text`, `example`.
Start at `read_file`.
"""

import csv
import io
import re
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from conpet_lib.corpora.example import Example, ReadReport, Span
from conpet_lib.corpora.reader import (
    FAULTS,
    PARTS,
    Fault,
    Found,
    Layout,
    Reader,
    fault_text,
    record_by_record,
)
from conpet_lib.corpora.text import joined, lines_of, load_json, shown, text_of

GUESSES = {
    "text": ("text", "sentence", "content", "review"),
    "part": ("part", "split"),
    "label": ("label", "class", "type", "category", "relation", "target"),
}
NEEDED = ("text", "label")
SQUARE = r"\[([^][]+)\]"  # marks a span, or a head
CURLY = r"\{([^{}]+)\}"  # marks a tail
# What tells the spans, the first that there is: columns of positions, or marks in every text.
POSITIONS = (("head_start", "head_end", "tail_start", "tail_end"), ("start", "end"))
MARKS = ((SQUARE, CURLY), (SQUARE,))
VALUES = ("text", "label", "part", *POSITIONS[1], *POSITIONS[0])  # each may have a column

Row = dict[Hashable, object]
Rows = list[tuple[str, "Row | Fault"]]  # where each row stands, and the row or what is wrong


def frame_of(table: object) -> pd.DataFrame | None:
    """A table in memory as a DataFrame.

    Args:
        table: A DataFrame, or what can become one, such as a Dataset, whose `features` may name
            the classes of a column.

    Returns:
        The DataFrame, with names for the numbers of classes; None if `table` is neither.
    """
    if isinstance(table, pd.DataFrame):
        return table
    if not hasattr(table, "to_pandas"):
        return None
    frame = table.to_pandas()
    for column, feature in getattr(table, "features", {}).items():
        names = getattr(feature, "names", None)
        if names:
            # -1 is what `datasets` has for no class.
            labels = [names[number] if number >= 0 else None for number in frame[column]]
            frame = frame.assign(**{column: labels})
    return frame if isinstance(frame, pd.DataFrame) else None


def _json_rows(text: str) -> Iterator[tuple[str, Row | Fault]]:
    """The rows of JSON lines."""
    for where, line in lines_of(text):
        try:
            row = load_json(line)
        except FAULTS as error:
            yield where, Fault(fault_text(error))
            continue
        if isinstance(row, dict):
            yield where, row
        else:
            yield where, Fault(f"expected a row of the columns, found: {shown(row)}")


def _separated_rows(text: str) -> Iterator[tuple[str, Row | Fault]]:
    """The rows of CSV or TSV; the delimiter is the one that its first line has most."""
    # The module's own limit for a field, for all who use it, is below a text of 100,000 words.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    first_line = text.strip().split("\n")[0]
    delimiter = max("\t,;", key=first_line.count)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names = table.fieldnames or []
    if len(set(names)) < len(names):
        raise Fault(f"the columns' names do not stand once: {names}")
    for row in table:
        where = f"line {table.line_num}"
        # DictReader has None as the name of cells too many, and as the value of those missing.
        if None in row or None in row.values():
            yield where, Fault("another number of columns than line 1")
        else:
            yield where, {**row}


def _rows_of(source: Path | pd.DataFrame) -> Rows:
    """All rows; a DataFrame's are counted as if it were a file whose line 1 has the names."""
    if isinstance(source, pd.DataFrame):
        return [(f"line {line}", row) for line, row in enumerate(source.to_dict("records"), 2)]
    text = text_of(source)
    if text.lstrip().startswith("{"):
        return list(_json_rows(text))
    return list(_separated_rows(text))


@dataclass(frozen=True)
class _Form:
    """How a table is to be read.

    Attributes:
        columns: The column of each value that is wanted; None if there is none.
        positions: Values that tell where spans start and end; empty if none do.
        marks: Patterns of marked spans in the texts; empty if they are not marked.
    """

    columns: dict[str, Hashable | None]
    positions: tuple[str, ...]
    marks: tuple[str, ...]

    def __str__(self) -> str:
        named = []
        for wanted, name in self.columns.items():
            if name is not None:
                named.append(f"{wanted} from {name!r}")
        text = f"columns: {', '.join(named)}"
        return f"{text}; spans from the marks in the texts" if self.marks else text


def _column(wanted: str, given: str | None, header: Iterable[Hashable]) -> Hashable | None:
    """The column of a value: that of the given name, or one of a usual name."""
    names = (str(given).lower(),) if given else GUESSES.get(wanted, (wanted,))
    for name in header:
        if str(name).strip().lower() in names:
            return name
    return None


def _columns(rows: list[Row], given: dict[str, str | None]) -> dict[str, Hashable | None]:
    """The column of each value that is wanted."""
    header = {name: None for row in rows for name in row}  # each once, in their order
    columns: dict[str, Hashable | None] = {}
    for wanted, name in given.items():
        columns[wanted] = _column(wanted, name, header)
        is_needed = bool(name) or wanted in NEEDED
        if is_needed and columns[wanted] is None and header:
            raise Fault(
                f"a column for the {wanted} is wanted; the columns are "
                f"{', '.join(map(str, header))}. Say which with "
                f"load_corpus('table', path=..., {wanted}='column')"
            )
    return columns


def _are_marked(texts: list[str], marks: tuple[str, ...]) -> bool:
    """Whether every text has each mark once."""
    return all(len(re.findall(mark, text)) == 1 for mark in marks for text in texts)


def _form_of(rows: list[Row], given: dict[str, str | None]) -> _Form:
    """How a table is to be read, by its columns and, if they tell no spans, by its texts."""
    columns = _columns(rows, given)
    for positions in POSITIONS:
        if all(columns[name] is not None for name in positions):
            return _Form(columns, positions, ())
    texts = [str(row.get(columns["text"])) for row in rows]
    for marks in MARKS:
        if _are_marked(texts, marks):
            return _Form(columns, (), marks)
    return _Form(columns, (), ())


def _cell(value: object) -> str:
    """A cell as text: "" for nothing, "7" for the 7.0 that pandas makes of 7 beside a gap."""
    if not pd.api.types.is_scalar(value):
        raise Fault(f"a {type(value).__name__} in a cell")
    if pd.isna(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _part(cell: str, file_stem: str) -> str | None:
    """The official part of a row, which the file's name may tell if the row does not."""
    name = cell.strip().lower()
    if not name:
        return PARTS.get(file_stem)
    if name not in PARTS:
        raise Fault(f"part: expected one of {', '.join(PARTS)}, found {name!r}")
    return PARTS[name]


def _spans_of_positions(cells: dict[str, str], positions: tuple[str, ...]) -> list[Span]:
    """The spans that stand in a row's columns."""
    ends = []
    for name in positions:
        try:
            ends.append(int(cells[name]))
        except ValueError:
            raise Fault(f"{name}: expected a whole number, found {shown(cells[name])}") from None
    return list(zip(ends[::2], ends[1::2], strict=True))


def _unmarked(text: str, marks: tuple[str, ...]) -> tuple[str, list[Span]]:
    """A text without the brackets around its spans, and the spans in it."""
    matches = [match for mark in marks for match in re.finditer(mark, text)]
    brackets = sorted(place for match in matches for place in (match.start(), match.end() - 1))
    spans = []
    for match in matches:
        start, end = match.span(1)
        # Each bracket that stood before a place has moved it by one.
        spans.append((start - bisect_left(brackets, start), end - bisect_left(brackets, end)))
    plain = "".join(sign for place, sign in enumerate(text) if place not in brackets)
    return plain, spans


def read_file(source: Path | pd.DataFrame, report: ReadReport, **given: str | None) -> Found:
    """One example for each row.

    Args:
        source: A file, or a table in memory.
        report: Gets what was guessed, and the number of rows without a text or a label.
        **given: The column of each value, None where it is to be guessed: `text`, `label`, `part`
            and the positions.

    Returns:
        Examples, and a text for each faulty row.
    """
    is_file = isinstance(source, Path)
    name = source.name if is_file else "table"
    stem = source.stem if is_file else "table"
    rows = _rows_of(source)
    form = _form_of([row for _, row in rows if not isinstance(row, Fault)], given)
    report.notes.append(str(form))

    def read_row(where: str, row: Row | Fault) -> Iterator[Example]:
        if isinstance(row, Fault):
            raise row
        cells = {wanted: _cell(row.get(column)) for wanted, column in form.columns.items()}
        text = cells["text"]
        label = cells["label"].strip()
        if not text.strip():
            report.skipped["empty text"] += 1
            return
        if not label:
            report.skipped["no label"] += 1
            return
        if form.marks:
            text, spans = _unmarked(text, form.marks)
        else:
            spans = _spans_of_positions(cells, form.positions)
        text, places = joined(text, spans)
        key = f"{stem}:{where.removeprefix('line ')}"
        part = _part(cells["part"], stem)
        yield Example(key, text, places, label, part, source=f"{name}, {where}")

    yield from record_by_record(rows, read_row)


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
                    r"^\s*[^\n{<]*[,;\t]"
                )
            },
        ),
    ),
    options={name: [] for name in VALUES},
    expected=(
        "rows with a text and a label; positions are whole numbers that count characters from 0, "
        "the end is exclusive; a part is train, valid or test"
    ),
    wanted=(
        "Wanted: a .csv, .tsv or .jsonl file with a column for the text and one for the label, "
        "saved as UTF-8; or a DataFrame or Dataset."
    ),
    from_memory=frame_of,
)
