"""Columns: which column of a table holds what, and how the spans of its texts are told.

In: the rows of a table, and the columns that the user named. Out: a `Form`, or a `Fault` that says
what is wanted. Where nothing is named, a column of a usual name is taken. A convention that nearly
all rows follow is the table's, and the rows that do not follow it are faulty; one that few rows
follow is none. May import `cells`, `reader` and `text`. Reads no file. Start at `form_of`.
"""

import difflib
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from conpet_lib.corpora.cells import PART_NAMES, cell_text
from conpet_lib.corpora.reader import Fault
from conpet_lib.corpora.text import plain_words

# The share of rows from which on a convention is the table's: one row in five may be mistaken. A
# table of three rows, two of which follow it, has none yet.
NEARLY_ALL = 0.8

GUESSES = {
    "text": ("text", "sentence", "content", "review", "message", "body", "utterance", "query"),
    "part": ("part", "split"),
    "label": ("label", "class", "type", "category", "relation", "target"),
}
NEEDED = ("text", "label")
SQUARE = r"\[([^][]+)\]"  # marks a span, or a head
CURLY = r"\{([^{}]+)\}"  # marks a tail
SHAPES = {SQUARE: "[span]", CURLY: "{span}"}
# What tells the spans, the first that there is: columns of positions, or marks in the texts.
POSITIONS = (("head_start", "head_end", "tail_start", "tail_end"), ("start", "end"))
MARKS = ((SQUARE, CURLY), (SQUARE,))
VALUES = ("text", "label", "part", *POSITIONS[1], *POSITIONS[0])  # each may have a column
# Columns that may repeat the words of a span, by the column of its start.
WORDS_OF_SPAN = {
    "start": ("mention", "entity", "span"),
    "head_start": ("head", "subject"),
    "tail_start": ("tail", "object"),
}

Row = dict[Hashable, object]
Header = Sequence[Hashable]
Given = Mapping[str, object]  # the column of each value, None to guess it, False for none


@dataclass(frozen=True)
class Form:
    """How a table is to be read.

    Attributes:
        columns: The column of each value that is wanted; None if there is none.
        positions: Values that tell where spans start and end; empty if none do.
        words: For the value that tells a span's start, the column that repeats the span's words.
        marks: Patterns of marked spans in the texts; empty if they are not marked.
        notes: What looked like a convention and is not taken for one.
    """

    columns: dict[str, Hashable | None]
    positions: tuple[str, ...] = ()
    words: Mapping[str, Hashable] | None = None
    marks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = []
        for wanted, name in self.columns.items():
            if name is not None:
                named.append(f"{wanted} from {name!r}")
        text = f"columns: {', '.join(named)}"
        return f"{text}; spans from the marks in the texts" if self.marks else text


def _readable(value: object) -> str:
    """A cell as text; "" for one that is faulty, because its row is told as such elsewhere."""
    try:
        return cell_text(value)
    except Fault:
        return ""


def _plain(name: object) -> str:
    """A column's name without what a person overlooks: blanks around it, and capital letters."""
    return str(name).strip().lower()


def _listed(header: Header) -> str:
    """The columns that there are, for a message."""
    return f"the columns are {', '.join(map(str, header))}"


def _one_of(found: list[Hashable], wanted: str, header: Header) -> Hashable | None:
    """The column that was found, which must be one; None if there is none."""
    if len(found) > 1:
        raise Fault(
            f"the columns {', '.join(map(repr, found))} are named alike, so that the {wanted} may "
            f"be either; {_listed(header)}. Give one of them another name"
        )
    return found[0] if found else None


def _named_column(wanted: str, given: object, header: Header) -> Hashable:
    """The column that the user named."""
    exact = [name for name in header if name == given or str(name) == str(given)]
    alike = [name for name in header if _plain(name) == _plain(given)]
    column = _one_of(exact or alike, wanted, header)
    if column is None:
        nearest = difflib.get_close_matches(str(given), [str(name) for name in header], n=1)
        hint = f". Did you mean {wanted}={nearest[0]!r}?" if nearest else ""
        raise Fault(f"{wanted}={given!r}: there is no such column; {_listed(header)}{hint}")
    return column


def column_of(wanted: str, given: object, header: Header) -> Hashable | None:
    """The column of a value.

    Args:
        wanted: One of `VALUES`.
        given: The column that the user named; None to guess it, False if there is to be none.
        header: All columns.

    Returns:
        The column of the given name, or of the first usual name that there is; None if there is no
        such column.

    Raises:
        Fault: If the column that was named does not exist, or several have the name.
    """
    if given is False or not header:
        return None
    if given is not None:
        return _named_column(wanted, given, header)
    for usual in GUESSES.get(wanted, (wanted,)):
        found = [name for name in header if _plain(name) == usual]
        if found:
            return _one_of(found, wanted, header)
    return None


def _needed_columns(header: Header, given: Given) -> dict[str, Hashable | None]:
    """The column of each value that is wanted, except for the part."""
    columns: dict[str, Hashable | None] = {}
    for wanted in VALUES:
        column = None if wanted == "part" else column_of(wanted, given.get(wanted), header)
        columns[wanted] = column
        if wanted in NEEDED and column is None and header:
            raise Fault(
                f"a column for the {wanted} is wanted; {_listed(header)}. Say which with "
                f"load_corpus('table', path=..., {wanted}='column')"
            )
    return columns


def _other_values(rows: Sequence[Row], column: Hashable) -> list[str]:
    """Values of a column that hold for no parts; none if a fair share of its cells names parts."""
    cells = [_readable(row.get(column)).strip().lower() for row in rows]
    filled = [cell for cell in cells if cell]
    others = [cell for cell in filled if cell not in PART_NAMES]
    # Nearly no part is the opposite of nearly all. In between, rows are told as faulty.
    return sorted(set(others)) if len(others) >= NEARLY_ALL * len(filled) else []


def _part_column(
    rows: Sequence[Row], header: Header, given: object
) -> tuple[Hashable | None, list[str]]:
    """The column of the official parts, and notes on columns that only look like it.

    A guessed column in which nearly no cell names a part holds something else, such as parts of a
    car. In any other, a cell that names none is a fault of its row.
    """
    if given is not None:
        return column_of("part", given, header), []
    notes: list[str] = []
    usual_names = [name for usual in GUESSES["part"] for name in header if _plain(name) == usual]
    for name in usual_names:
        others = _other_values(rows, name)
        if not others:
            return name, notes
        notes.append(
            f"the column {name!r} is not taken for official parts, because it has other values, "
            f"such as {', '.join(map(repr, others[:3]))}"
        )
    return None, notes


def _positions(
    columns: Mapping[str, Hashable | None], given: Given
) -> tuple[tuple[str, ...], list[str]]:
    """The values that tell where spans stand, and notes on columns without their partners."""
    notes = []
    for positions in POSITIONS:
        there = [name for name in positions if columns[name] is not None]
        missing = [name for name in positions if columns[name] is None]
        if not missing:
            return positions, []
        if any(given.get(name) not in (None, False) for name in there):
            raise Fault(
                f"a column for {' and '.join(there)} is given, and none for {' and '.join(missing)}"
            )
        if there:
            notes.append(
                f"no spans are read from {', '.join(there)}, because there is no column "
                f"{', '.join(missing)}"
            )
    return (), notes


def _words_of_spans(
    rows: Sequence[Row], columns: Mapping[str, Hashable | None], positions: tuple[str, ...]
) -> dict[str, Hashable]:
    """For the start of each span, the column that repeats the span's words, if there is one.

    A column of such a name repeats them if its words stand in nearly all of the texts.
    """
    header = _header(rows)
    found = {}
    for start in positions[::2]:
        for name in header:
            if _plain(name) not in WORDS_OF_SPAN[start] or name in columns.values():
                continue
            stands = []
            for row in rows:
                words = plain_words(_readable(row.get(name)))
                if words:
                    stands.append(words in plain_words(_readable(row.get(columns["text"]))))
            if stands and sum(stands) >= NEARLY_ALL * len(stands):
                found[start] = name
                break
    return found


def _are_marked(texts: Sequence[str], marks: tuple[str, ...]) -> bool:
    """Whether nearly all texts have the marks, and most of them have each once.

    Texts that have several brackets each are no marked ones.
    """
    marked = 0
    once = 0
    for text in texts:
        counts = {len(re.findall(mark, text)) for mark in marks}
        marked += 0 not in counts
        once += counts == {1}
    return marked >= NEARLY_ALL * len(texts) and 2 * once > len(texts)


def _marks(texts: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The marks that nearly all texts have, and notes on brackets that are not taken for marks."""
    for marks in MARKS:
        if _are_marked(texts, marks):
            return marks, []
    with_bracket = sum(re.search(SQUARE, text) is not None for text in texts)
    if 2 * with_bracket < len(texts) or not texts:
        return (), []
    return (), [
        f"{with_bracket:,} of {len(texts):,} texts have [brackets], which are not taken for marks: "
        f"{NEARLY_ALL:.0%} of the texts must have them, and most of them once"
    ]


def _header(rows: Iterable[Row]) -> list[Hashable]:
    """All columns of all rows, each once, in their order."""
    return list({name: None for row in rows for name in row})


def form_of(rows: Sequence[Row], given: Given) -> Form:
    """How a table is to be read, by its columns and, if they tell no spans, by its texts.

    Args:
        rows: Those that are not faulty.
        given: The column of each of `VALUES`: None to guess it, False if there is to be none; and
            "marks", False if brackets in the texts are no marks.

    Returns:
        The form.

    Raises:
        Fault: If a column is missing, is mistyped, or may be one of several.
    """
    header = _header(rows)
    columns = _needed_columns(header, given)
    columns["part"], notes = _part_column(rows, header, given.get("part"))
    positions, more_notes = _positions(columns, given)
    notes += more_notes
    if positions:
        words = _words_of_spans(rows, columns, positions)
        return Form(columns, positions, words, notes=tuple(notes))
    if given.get("marks") is False:
        return Form(columns, notes=tuple(notes))
    texts = [_readable(row.get(columns["text"])) for row in rows]
    marks, more_notes = _marks([text for text in texts if text.strip()])
    return Form(columns, marks=marks, notes=tuple(notes + more_notes))
