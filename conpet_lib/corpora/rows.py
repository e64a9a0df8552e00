"""Rows: a table from a file or from memory as rows of cells, each with its place.

In: a file of CSV, TSV or JSON lines, a DataFrame, or what can become one. Out: rows, with a `Fault`
for each that cannot be read. May import `columns`, `separated`, `reader`, `text` and `core`. Knows
nothing of spans and parts. Start at `rows_of`.
"""

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from conpet_lib.core.errors import ConpetError
from conpet_lib.corpora.example import ReadReport
from conpet_lib.corpora.reader import FAULTS, Fault, fault_text
from conpet_lib.corpora.separated import Rows, check_names, separated_rows
from conpet_lib.corpora.text import lines_of, load_json, shown, text_of

# What gives the rows of a table as Python's own values: a Hugging Face Dataset, a table of pyarrow,
# a DataFrame of polars. Their `to_pandas` makes floats of whole numbers beside a gap, and a float
# cannot tell 9007199254740993 from its neighbour.
AS_ROWS = ("to_list", "to_pylist", "to_dicts")


def _as_rows(table: object) -> pd.DataFrame | None:
    """A table in memory with the values that it holds; None if it cannot give them so."""
    for method in AS_ROWS:
        to_rows = getattr(table, method, None)
        rows = to_rows() if callable(to_rows) else None
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            return pd.DataFrame(rows, dtype=object)
    return None


def _class_name(number: Any, names: list[str], column: str) -> object:
    """The name of a class; None if it is missing, and the value itself if it is no number."""
    if not pd.api.types.is_scalar(number) or isinstance(number, str):
        return number
    # -1 is what `datasets` has for no class.
    if pd.isna(number) or number < 0:
        return None
    if number >= len(names) or number != int(number):
        raise ConpetError(
            f"The column {column!r} has the class {number!r}, but names {len(names)} classes, "
            "counted from 0. Mend the Dataset's features."
        )
    return names[int(number)]


def frame_of(table: object) -> pd.DataFrame | None:
    """A table in memory as a DataFrame.

    Args:
        table: A DataFrame, or what can become one, such as a Dataset, whose `features` may name
            the classes of a column.

    Returns:
        The DataFrame, with names for the numbers of classes; None if `table` is neither.

    Raises:
        ConpetError: If a class has no name.
    """
    if isinstance(table, pd.DataFrame):
        return table
    to_pandas = getattr(table, "to_pandas", None)
    if not callable(to_pandas):
        return None
    frame = _as_rows(table)
    if frame is None:
        frame = to_pandas()
    if not isinstance(frame, pd.DataFrame):
        return None
    for column, feature in dict(getattr(table, "features", None) or {}).items():
        names = getattr(feature, "names", None)
        if names and column in frame.columns:
            labels = [_class_name(number, names, column) for number in frame[column]]
            frame = frame.assign(**{column: pd.Series(labels, index=frame.index, dtype=object)})
    return frame


def _json_rows(text: str) -> Rows:
    """The rows of JSON lines."""
    rows: Rows = []
    for where, line in lines_of(text):
        try:
            row = load_json(line)
        except FAULTS as error:
            rows.append((where, Fault(fault_text(error))))
            continue
        if isinstance(row, dict):
            rows.append((where, row))
        else:
            rows.append((where, Fault(f"expected a row of the columns, found: {shown(row)}")))
    return rows


def _frame_rows(frame: pd.DataFrame) -> Iterator[tuple[str, dict[Hashable, object]]]:
    """The rows of a DataFrame, counted as if it were a file whose line 1 has the names."""
    check_names(list(frame.columns))
    for line, row in enumerate(frame.to_dict("records"), 2):
        yield f"line {line}", row


def rows_of(source: Path | pd.DataFrame, report: ReadReport, label: object) -> Rows:
    """All rows of a table.

    Args:
        source: A file, or a table in memory.
        report: Gets notes on rows whose quotes are not those of a CSV, and on texts of several
            lines.
        label: The column of the label, if the user named it.

    Returns:
        Where each row stands, and the row or what is wrong with it.

    Raises:
        Fault: If two columns have one name.
    """
    if isinstance(source, pd.DataFrame):
        return list(_frame_rows(source))
    text = text_of(source)
    if text.lstrip().startswith("{"):
        return _json_rows(text)
    return separated_rows(text, report, label)
