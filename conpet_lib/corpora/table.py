"""Your own data: a CSV, TSV or JSON-lines file, a pandas DataFrame, or a Hugging Face `datasets` Dataset.
Columns: a text and a label; `part` if there is one; for typing `start` and `end` (characters, end exclusive), for
relations `head_start`, `head_end`, `tail_start`, `tail_end`. Instead, every text may mark its span, as `[span]`, or
`[head]` and `{tail}`. With neither, the whole text is classified. The report says what was guessed."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from conpet_lib.corpora.example import Example, ReadReport
from conpet_lib.corpora.reader import FAULTS, PARTS, Found
from conpet_lib.corpora.text import joined, lines_of, load_json, text_of

GUESSES = {
    "text": ("text", "sentence", "content", "review"),
    "part": ("part", "split"),
    "label": ("label", "class", "type", "category", "relation", "target"),
}


KINDS = [
    (
        ("head_start", "head_end", "tail_start", "tail_end"),
        (r"\[([^][]+)\]", r"\{([^{}]+)\}"),
    ),  # columns, marks
    (("start", "end"), (r"\[([^][]+)\]",)),
    ((), ()),
]


def frame_of(table: object) -> object:
    """A Dataset as a DataFrame; its `features` may name the classes of a column. Anything else as it is."""
    if not hasattr(table, "to_pandas"):
        return table
    frame, kinds = (
        table.to_pandas(),
        {column: getattr(kind, "names", None) for column, kind in table.features.items()},
    )
    return frame.assign(
        **{
            column: [names[number] if number >= 0 else None for number in frame[column]]  # -1: none
            for column, names in kinds.items()
            if names
        }
    )


def rows_of(file: Path | pd.DataFrame) -> Iterator[tuple[str, object]]:
    """Where each row stands, as if a table's line 1 had the columns' names, and the row, or what is wrong with it."""
    if isinstance(file, pd.DataFrame):
        yield from ((f"line {line}", row) for line, row in enumerate(file.to_dict("records"), 2))
    elif (text := text_of(file)).lstrip().startswith("{"):
        for where, line in lines_of(text):
            try:
                yield where, load_json(line)
            except FAULTS as error:
                yield where, str(error)
    else:
        csv.field_size_limit(
            max(csv.field_size_limit(), len(text) + 1)
        )  # its own is below 100,000 words
        delimiter = max("\t,;", key=text.strip().split("\n")[0].count)
        table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        if len({*(table.fieldnames or ())}) < len(table.fieldnames or ()):
            raise ValueError(f"the columns' names do not stand once: {table.fieldnames}")
        yield from (
            (
                f"line {table.line_num}",
                "another number of columns than line 1" if None in (*row, *row.values()) else row,
            )
            for row in table
        )


def read_file(file: Path | pd.DataFrame, report: ReadReport, **given: str | None) -> Found:
    """The example of each row, or what is wrong with it; `given` names columns that are not guessed."""
    rows, columns, stem = list(rows_of(file)), {}, file.stem if isinstance(file, Path) else "table"
    header = dict.fromkeys(name for _, row in rows if isinstance(row, dict) for name in row)
    for wanted, name in given.items():
        fits = (str(name).lower(),) if name else GUESSES.get(wanted, (wanted,))
        columns[wanted] = next((name for name in header if str(name).strip().lower() in fits), None)
        if columns[wanted] is None and header and (name or wanted in ("text", "label")):
            raise ValueError(
                f"a column for the {wanted} is wanted; the columns are {', '.join(map(str, header))}. Say "
                f"which with load_corpus('table', path=..., {wanted}='column')"
            )
    places = next(
        places for places, _ in KINDS if all(columns[place] is not None for place in places)
    )
    said = [str(row.get(columns["text"])) for _, row in rows if isinstance(row, dict)]
    marks = next(
        marks
        for _, marks in KINDS
        if not marks
        or not places
        and all(len(re.findall(mark, text)) == 1 for mark in marks for text in said)
    )
    named = ", ".join(
        f"{wanted} from {name!r}" for wanted, name in columns.items() if name is not None
    )
    report.notes.append(f"columns: {named}{'; spans from the marks in the texts' * bool(marks)}")
    for where, row in rows:
        try:
            if not isinstance(row, dict):
                raise ValueError(f"expected a row of the columns, found: {row}")
            cells = {wanted: cell(row.get(name)) for wanted, name in columns.items()}
            words, label, part = (
                cells["text"],
                cells["label"].strip(),
                cells["part"].strip().lower(),
            )
            if not words.strip() or not label:
                report.skipped["no label" if words.strip() else "empty text"] += 1
                continue
            ends, found = (
                [int(cells[place]) for place in places],
                [re.search(mark, words) for mark in marks],
            )
            signs = {place for one in found for place in (one.start(), one.end() - 1)}
            spans = [
                tuple(place - sum(sign < place for sign in signs) for place in one.span(1))
                for one in found
            ]
            words = (
                "".join(sign for place, sign in enumerate(words) if place not in signs)
                if signs
                else words
            )
            text, spans = joined(words, spans or [*zip(ends[::2], ends[1::2])])
            yield Example(
                f"{stem}:{where[5:]}",
                text,
                spans,
                label,
                PARTS[part] if part else PARTS.get(stem),
                f"{file.name if isinstance(file, Path) else 'table'}, {where}",
            )
        except FAULTS as error:
            yield f"{where}: {type(error).__name__} {error}"


def cell(value: object) -> str:
    """A cell as text: "" for nothing, "7" for pandas' 7.0 of whole numbers with gaps. Raises: TypeError for a list."""
    if not pd.api.types.is_scalar(value):
        raise TypeError(f"a {type(value).__name__} in a cell")
    return (
        ""
        if pd.isna(value)
        else str(int(value) if isinstance(value, float) and value.is_integer() else value)
    )
