"""Separated: rows of CSV and TSV, also where a quote is only a quote.

In: the text of a file. Out: its rows, each with its line. A quote at the beginning of a cell may
open a cell of several lines, as Excel and pandas write it, or it may be a sign of the text, as in
files that know no quoting. Taken for the other, either swallows rows or tears a text apart without
a word. So a row of several lines is looked at again: if its lines are rows by themselves, each is
one; and the report says how many rows have several lines. May import `columns`, `reader` and
`example`. Start at `separated_rows`.
"""

import csv
import io
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from conpet_lib.corpora.columns import Row, column_of
from conpet_lib.corpora.example import ReadReport
from conpet_lib.corpora.reader import Fault

Rows = list[tuple[str, "Row | Fault"]]  # where each row stands, and the row or what is wrong

EXCELS_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's first line: the delimiter


@dataclass(frozen=True)
class _Record:
    """What the csv module takes for one record.

    Attributes:
        first: The number of its first line.
        lines: Its lines as they stand in the file.
        cells: Its cells; none if the module refuses the line.
        refused: Why it does; empty if it does not.
    """

    first: int
    lines: list[str]
    cells: list[str]
    refused: str = ""


def check_names(names: Sequence[Hashable]) -> None:
    """Refuse columns of one name, because a row would keep the last one alone.

    Args:
        names: The columns' names.

    Raises:
        Fault: If one stands twice.
    """
    if len(set(names)) < len(names):
        raise Fault(f"the columns' names do not stand once: {list(names)}")


def _records(lines: list[str], first: int, delimiter: str) -> Iterator[_Record]:
    """The records from a line on. Behind a line that is refused, reading goes on with the next."""
    place = first
    while place < len(lines):
        begin = place
        rest = map(lines.__getitem__, range(begin, len(lines)))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                yield _Record(place + 1, lines[place : begin + reader.line_num], cells)
                place = begin + reader.line_num
        except csv.Error as error:
            yield _Record(place + 1, [lines[place]], [], str(error))
            place += 1


def _split(line: str, delimiter: str) -> list[str]:
    """The cells of a line in which a quote is a sign like others."""
    return line.rstrip("\r\n").split(delimiter)


class _Separated:
    """The records of a file, and what tells a quote of the text from one of the CSV.

    Attributes:
        delimiter: What stands between cells.
        names: The columns' names.
        with_quotes: Number of rows whose quotes are taken for signs of the text.
        of_lines: Number of rows that have several lines.
    """

    def __init__(self, delimiter: str, header: _Record, label: object) -> None:
        self.delimiter = delimiter
        self.names = header.cells
        self._line_of_names = header.first
        self.with_quotes = 0
        self.of_lines = 0
        column = column_of("label", label, self.names)
        self._label = None if column is None else self.names.index(str(column))
        self._labels: set[str] = set()

    def learn(self, records: list[_Record]) -> None:
        """Note the labels of all records that are whole."""
        for record in records:
            if self._label is not None and len(record.cells) == len(self.names):
                self._labels.add(record.cells[self._label].strip())

    def _is_row(self, line: str) -> bool:
        """Whether a line is a row, if quotes are signs of the text.

        Where TABs stand between cells, their number tells it. A comma or semicolon is common in
        texts, so there the label must be one that other rows have.
        """
        cells = _split(line, self.delimiter)
        if len(cells) != len(self.names):
            return False
        if self.delimiter == "\t" or self._label is None:
            return True
        label = cells[self._label].strip()
        return label != "" and label in self._labels

    def rows_of(self, record: _Record) -> Iterator[tuple[str, Row | Fault]]:
        """The rows of a record: one, or as many as it has lines."""
        last = record.first + len(record.lines) - 1
        where = f"line {last}"
        if record.refused:
            yield where, self._unquoted(record.lines[0], record.refused)
        elif not record.cells:  # an empty line
            return
        elif len(record.lines) == 1:
            yield where, self._row(record.cells)
        else:
            rows = sum(map(self._is_row, record.lines))
            if rows < 2:
                self.of_lines += 1
                yield where, self._row(record.cells)
            elif rows == len(record.lines) or self.delimiter == "\t":
                for number, line in enumerate(record.lines, record.first):
                    if line.strip("\r\n"):
                        yield f"line {number}", self._one_line(line)
            else:
                yield (
                    where,
                    Fault(
                        f"a quote that is opened on line {record.first} is closed here, but some "
                        "lines between look like rows; write a quote of the text twice, in a cell "
                        "with quotes around it"
                    ),
                )

    def _row(self, cells: list[str]) -> Row | Fault:
        """A row of as many cells as there are columns."""
        if len(cells) != len(self.names):
            return Fault(f"another number of columns than line {self._line_of_names}")
        return dict(zip(self.names, cells, strict=True))

    def _unquoted(self, line: str, why: str) -> Row | Fault:
        """The row on a line in which a quote is a sign of the text."""
        if not self._is_row(line):
            return Fault(
                f"{why}; is there a quote at the beginning of a cell that is none of the CSV?"
            )
        self.with_quotes += 1
        return self._row(_split(line, self.delimiter))

    def _one_line(self, line: str) -> Row | Fault:
        """The row on a line that may open no cell of several lines."""
        (record, *_) = _records([line], 0, self.delimiter)
        if record.refused:
            return self._unquoted(line, record.refused)
        return self._row(record.cells)


def _delimiter_of(line: str) -> str:
    """The delimiter that a line of names has most, outside of quotes."""
    return max("\t,;", key=re.sub('"[^"]*"', "", line).count)


def _beginning(lines: list[str]) -> tuple[int, str]:
    """The place of the first line that is not Excel's and not blank, and the delimiter."""
    delimiter = ""
    for place, line in enumerate(lines):
        excels = EXCELS_LINE.fullmatch(line)
        if excels and not delimiter:
            delimiter = excels[1]
        elif line.strip():
            return place, delimiter or _delimiter_of(line)
    return len(lines), delimiter


def separated_rows(text: str, report: ReadReport, label: object) -> Rows:
    """The rows of CSV or TSV.

    Args:
        text: The file. Its first line has the names of the columns, behind Excel's `sep=;` if it
            has that.
        report: Gets the number of rows whose quotes are signs of the text, and of rows of several
            lines, because then there are other numbers of rows and of lines.
        label: The column of the label, if the user named it.

    Returns:
        Where each row ends, and the row or what is wrong with it.

    Raises:
        Fault: If two columns have one name.
    """
    # The module's own limit for a field, for all who use it, is below a text of 100,000 words.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    lines = list(io.StringIO(text, newline=""))
    first, delimiter = _beginning(lines)
    if first == len(lines):
        return []
    header, *records = _records(lines, first, delimiter)
    if header.refused:
        raise Fault(f"line {header.first}, the columns' names: {header.refused}")
    check_names(header.cells)
    table = _Separated(delimiter, header, label)
    table.learn(records)
    rows = [row for record in records for row in table.rows_of(record)]
    if table.with_quotes:
        report.notes.append(
            f"{table.with_quotes:,} rows begin a cell with a quote that is not closed as a CSV's, "
            "so it is a sign of the text"
        )
    if table.of_lines:
        report.notes.append(
            f"{len(rows):,} rows on {len(lines) - header.first:,} lines: {table.of_lines:,} rows "
            "have cells of several lines"
        )
    return rows
