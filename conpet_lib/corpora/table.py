"""Your own data: a CSV, TSV or JSON-lines file, a pandas DataFrame, or a Hugging Face `datasets` Dataset.

Columns: a text and a label; a part (train, valid, test), if there is one. Spans stand in columns (character
positions, end exclusive) or as marks in the text, `[span]` or `[head]` and `{tail}`, if every text has them
just once. Without either the whole text is classified. The report says what was guessed.
"""

import csv
import io
import re

import pandas as pd

from conpet_lib.corpora.example import Corpus
from conpet_lib.corpora.reading import PARTS, Sink
from conpet_lib.errors import ConpetError

# What a column is called where its name is not given, whatever the case of its letters.
GUESSES = {"text": ("text", "sentence", "content", "review"), "part": ("part", "split"),
           "label": ("label", "class", "type", "category", "relation", "target")}
POSITIONS = {"relation": ("head_start", "head_end", "tail_start", "tail_end"), "typing": ("start", "end"), "text": ()}
MARKS = {"relation": (r"\[([^][]+)\]", r"\{([^{}]+)\}"), "typing": (r"\[([^][]+)\]",), "text": ()}


def read_object(table: object, options: dict) -> Corpus:
    """A DataFrame, or a Dataset: anything with `to_pandas`, and `features` that name the classes of a column."""
    sink = Sink("table", options)
    if not isinstance(table, pd.DataFrame) and not hasattr(table, "to_pandas"):
        raise ConpetError(f"A {type(table).__name__} is no table. {sink.about['wanted']}")
    frame = table if isinstance(table, pd.DataFrame) else table.to_pandas()
    for column, kind in (getattr(table, "features", None) or {}).items():
        if names := getattr(kind, "names", None):
            frame = frame.assign(**{column: [names[number] for number in frame[column]]})
    take(sink, [(f"row {place}", row) for place, row in enumerate(frame.to_dict("records"))])
    return sink.corpus()


def separated(sink: Sink) -> None:
    """CSV or TSV with its column names in line 1, parted by what stands there most often."""
    text, found = sink.text(), []
    limit = csv.field_size_limit(len(text) + 1)          # its own limit is below 100,000 words
    delimiter = max("\t,;", key=text.strip().split("\n")[0].count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(rows, [])
        if len(set(header)) < len(header):
            sink.fault("line 1", "column names that stand once", header)
        for row in rows:
            if row and len(row) != len(header):
                sink.fault(f"line {rows.line_num}", "as many columns as line 1 has", f"{len(row)}, not {len(header)}")
            elif row:
                found.append((f"line {rows.line_num}", dict(zip(header, row))))
    except csv.Error as error:
        sink.fault(f"line {rows.line_num}", "a table whose quotes are closed", error)
    finally:
        csv.field_size_limit(limit)
    take(sink, found)


def take(sink: Sink, rows: list[tuple[str, dict]]) -> None:
    """Find the columns and the kind of corpus, then take the rows, each given with where it stands."""
    header = dict.fromkeys(name for _, row in rows if isinstance(row, dict) for name in row)
    names, cells = {}, []
    for wanted, given in sink.options.items():
        fits = (str(given).lower(),) if given else GUESSES.get(wanted, (wanted,))
        names[wanted] = next((name for name in header if str(name).strip().lower() in fits), None)
        if rows and names[wanted] is None and (given or wanted in ("text", "label")):
            cells = None
            sink.fault("", f"a column for the {wanted}; say which with load_corpus('table', ..., {wanted}='column')",
                       KeyError(f"the columns are {', '.join(map(str, header))}"))
    if cells is None:
        return
    for where, row in rows:
        with sink.guard(where, "a row whose cells hold a text, a number or nothing"):
            cells.append((where, {wanted: cell(row.get(name)) for wanted, name in names.items()}))
    kind = next(kind for kind, wanted in POSITIONS.items() if all(names.get(name) is not None for name in wanted))
    texts = [row["text"] for _, row in cells if row["text"].strip()]
    marked = next(marked for marked, marks in MARKS.items() if texts and kind == "text" and all(
        len(re.findall(mark, text)) == 1 for text in texts for mark in marks) or marked == "text")
    sink.kind, marks = (kind, ()) if marked == "text" else (marked, MARKS[marked])
    sink.report.notes.append(f"read as {sink.kind}{' with marks in the text' * bool(marks)}: " + ", ".join(
        f"{wanted} from {name!r}" for wanted, name in names.items() if name is not None))
    whole = sink.part                               # the part that the file's name says
    for where, row in cells:
        text, label, part = row["text"], row["label"].strip(), row["part"].strip().lower()
        if not text.strip() or not label:
            sink.skip("no label" if text.strip() else "empty text", where)
            continue
        with sink.guard(where, "positions that are whole numbers, and a part that is train, valid or test"):
            sink.part = PARTS[part] if part else whole
            ends = [int(row[name]) for name in POSITIONS[kind]]
            spans = list(zip(ends[::2], ends[1::2])) or [re.search(mark, text).span(1) for mark in marks]
            signs = {place for start, end in spans for place in (start - 1, end)} if marks else ()
            text = "".join(sign for place, sign in enumerate(text) if place not in signs)
            spans = [tuple(place - sum(sign < place for sign in signs) for place in span) for span in spans]
            sink.add(where, text, spans, label, where)


def cell(value: object) -> str:
    """A cell as text: "" for nothing, "7" for pandas' 7.0 of whole numbers with gaps."""
    if not pd.api.types.is_scalar(value):
        raise TypeError(f"{type(value).__name__} in a cell")
    return "" if pd.isna(value) else str(int(value) if isinstance(value, float) and value.is_integer() else value)


READERS = {"JSON lines": lambda sink: take(sink, list(sink.records())), "CSV or TSV": separated}
