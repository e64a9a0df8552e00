"""OntoNotes with fine types such as `/person/artist`: AFET's JSON lines, or text of columns.

Layouts: `{"tokens": [...], "mentions": [{"start": 0, "end": 2, "labels": [...]}]}` on each line, or
start, end, tokens and labels with TABs between, where a fifth column is not used. Ends are
exclusive. Of a path of labels the deepest counts. A choice of ours: a mention with labels on
several paths is left out and counted. May import `reader`, `text`, `example`. Start at `read_file`;
`bbn` reads the same two layouts by `read_lines`.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from conpet_lib.corpora.example import Example, ReadReport
from conpet_lib.corpora.reader import PARTS, Found, Layout, Reader, record_by_record
from conpet_lib.corpora.text import field_of, joined, lines_of, load_json, text_of, texts

COLUMNS = re.compile(
    r"(?P<start>-?\d{1,9})\t(?P<end>-?\d{1,9})\t(?P<tokens>[^\t]*)\t(?P<labels>[^\t]*)"
)

Mention = tuple[int, int, list[str]]  # start and end, exclusive, and the labels
Sentence = tuple[str | list[str], list[Mention]]  # tokens, or a text; and the mentions in it


def in_json(line: str) -> Sentence:
    """The sentence on a line of AFET's JSON.

    Args:
        line: One object.

    Returns:
        Its tokens, and its mentions with all their labels.

    Raises:
        Fault: If a field is missing, or is of another type.
    """
    record = load_json(line)
    tokens = texts(field_of(record, "tokens", list), "the tokens")
    mentions = []
    for mention in field_of(record, "mentions", list):
        start = field_of(mention, "start", int)
        end = field_of(mention, "end", int)
        labels = [label.strip() for label in texts(field_of(mention, "labels", list), "the labels")]
        mentions.append((start, end, labels))
    return tokens, mentions


def in_columns(line: str) -> Sentence | None:
    """The sentence on a line of four or five columns, which has one mention.

    Args:
        line: Start, end, tokens and labels, with TABs between.

    Returns:
        Its tokens and its mention; None for a line of another form.
    """
    columns = COLUMNS.match(line)
    if columns is None:
        return None
    mention = int(columns["start"]), int(columns["end"]), columns["labels"].split()
    return columns["tokens"].split(" "), [mention]


def _deepest(labels: set[str]) -> list[str]:
    """The labels that are not above another one of them."""
    deepest = []
    for label in labels:
        if not any(other.startswith(f"{label}/") for other in labels):
            deepest.append(label)
    return deepest


def _as_they_are(labels: list[str], report: ReadReport) -> list[str]:
    """Labels that need no mending."""
    return labels


def read_lines(
    file: Path,
    report: ReadReport,
    in_text: Callable[[str, ReadReport], Sentence | None],
    mended: Callable[[list[str], ReadReport], list[str]] = _as_they_are,
) -> Found:
    """One example for each mention in a file of JSON lines, or of lines of text.

    Args:
        file: One part of a corpus.
        report: Gets the number of lines of another form, and of mentions that are left out.
        in_text: Gives the sentence on a line that is no JSON; None for a line of another form.
        mended: Gives the labels of a mention as the corpus should have them.

    Returns:
        Examples, whose group is the root of the label's path, and a text for each faulty line.
    """
    whole = text_of(file)
    is_json = whole.lstrip().startswith("{")

    def read_line(where: str, line: str) -> Iterator[Example]:
        sentence = in_json(line) if is_json else in_text(line, report)
        if sentence is None:
            report.skipped["lines of another form"] += 1
            return
        line_number = where.removeprefix("line ")
        tokens, mentions = sentence
        for number, (start, end, labels) in enumerate(mentions):
            deepest = _deepest(set(mended(labels, report)))
            if len(deepest) > 1:
                report.skipped["labels on several branches"] += 1
                continue
            if not deepest or not 0 <= start < end <= len(tokens):
                report.skipped["no label, or no place"] += 1
                continue
            (label,) = deepest
            text, spans = joined(tokens, [(start, end)])
            root = "/".join(label.split("/")[:2])
            yield Example(
                key=f"{file.stem}:{line_number}:{number}",
                text=text,
                spans=spans,
                label=label,
                part=PARTS.get(file.stem),
                source=f"{file.name}, {where}",
                group=root,
            )

    yield from record_by_record(lines_of(whole), read_line)


def read_file(file: Path, report: ReadReport) -> Found:
    """One example for each mention.

    Args:
        file: One part of the corpus, in one of the two layouts.
        report: Gets the number of lines of another form, and of mentions that are left out.

    Returns:
        Examples, and a text for each faulty line.
    """
    return read_lines(file, report, lambda line, report: in_columns(line))


COLUMNS_LAYOUT = Layout(
    "text of 4 or 5 columns",
    {"a line of start, end, tokens and labels with TABs between": (r"(?m)^\d+\t\d+\t[^\t\n]+\t/")},
)
JSON_LAYOUT = Layout(
    "AFET JSON lines",
    {
        "an object a line": r"^\s*\{",
        'the field "tokens"': r'"tokens"\s*:',
        'the field "mentions"': r'"mentions"\s*:',
    },
)
EXPECTED = (
    "lines of start, end, tokens, labels with TABs between, or JSON lines as "
    '{"tokens": [...], "mentions": [{"start": 0, "end": 2, "labels": [...]}]}'
)
LICENCE = "LDC's user agreement: the text may not be passed on"

READER = Reader(
    name="ontonotes",
    kind="typing",
    read_file=read_file,
    layouts=(
        COLUMNS_LAYOUT,
        JSON_LAYOUT,
        Layout(
            "names of 18 types as in LDC2013T19 and CoNLL-2012; "
            "the 89 fine types are another corpus",
            {"its marks": r"<ENAMEX|^\s*#begin document"},
            refused=True,
        ),
    ),
    options={"repeats": [False, True]},
    preferred_folders=("ontonotes",),
    expected=EXPECTED,
    wanted=(
        "Wanted: OntoNotes with fine types: train.txt, dev.txt, test.txt of "
        "github.com/shimaokasonse/NFGEC, train.json and test.json of github.com/INK-USC/AFET, "
        "or the authors' text of four columns; one file or the folder. "
        "The text is under an LDC licence."
    ),
    licence=LICENCE,
)
