"""BBN with fine types such as `/GPE/CITY`: AFET's JSON lines, text of columns, or names in tags.

Layouts: the two of `ontonotes`, and LDC2005T33: text with names in tags,
`<ENAMEX TYPE="GPE:CITY">Brevik</ENAMEX>`, which may nest, stand inside of tokens and be closed as
another; it is no XML, so tags are scanned. Choices of ours: a line is a sentence; `TYPE:SUBTYPE` is
`/TYPE/SUBTYPE` and `:OTHER` the root; descriptions (`PER_DESC`) are no names, and are counted;
`/FAC` of the test part is read as the `/FACILITY` of the training part. May import `ontonotes`,
`reader`, `text`, `example`. Start at `read_file`.
"""

import html
import re
from pathlib import Path

from conpet_lib.corpora.example import ReadReport
from conpet_lib.corpora.ontonotes import (
    COLUMNS_LAYOUT,
    EXPECTED,
    JSON_LAYOUT,
    LICENCE,
    Mention,
    Sentence,
    in_columns,
    read_lines,
)
from conpet_lib.corpora.reader import Found, Layout, Reader

TAG = re.compile(r'<(?P<closing>/?)(?P<element>\w+)(?:\s+TYPE\s*=\s*"(?P<type>[^"]+)")?[^<>]*>')
ELEMENTS = ("ENAMEX", "NUMEX", "TIMEX")
SHORT_FACILITY = re.compile("^/FAC(?=/|$)")


def _label_of(type_of_name: str, report: ReadReport) -> str | None:
    """The label of a TYPE such as `GPE:CITY`; None for a description."""
    if "PRODCUT" in type_of_name:
        report.merged["labels PRODCUT read as PRODUCT"] += 1
    if "_DESC" in type_of_name:
        report.skipped["descriptions, not names"] += 1
        return None
    mended = type_of_name.strip().replace("PRODCUT", "PRODUCT")
    return "/" + mended.removesuffix(":OTHER").replace(":", "/")


def _in_tags(line: str, report: ReadReport) -> Sentence:
    """The text of a line without its tags, and its names with their places in it."""
    text = ""
    names: list[Mention] = []
    opened: list[tuple[int, str]] = []  # start and type of the names that are not closed yet
    behind_tag = 0
    for tag in TAG.finditer(line):
        text += html.unescape(line[behind_tag : tag.start()])
        behind_tag = tag.end()
        if tag["element"] not in ELEMENTS:
            continue
        if tag["type"] and not tag["closing"]:
            opened.append((len(text), tag["type"]))
        elif tag["closing"] and opened:
            start, type_of_name = opened.pop()  # whatever element it is closed as
            label = _label_of(type_of_name, report)
            if label is not None:
                names.append((start, len(text), [label]))
        else:
            report.skipped["tags without a beginning on their line, or without a TYPE"] += 1
    text += html.unescape(line[behind_tag:])
    if opened:
        report.skipped["names that do not end on their line"] += len(opened)
    if not names:
        report.skipped["lines without a name"] += 1
    return text, names


def _in_text(line: str, report: ReadReport) -> Sentence | None:
    """The sentence on a line of columns or of text with tags; None for another form."""
    sentence = in_columns(line)
    if sentence is None and "<" in line:
        return _in_tags(line, report)
    return sentence


def _mended(labels: list[str], report: ReadReport) -> list[str]:
    """Labels with the names that the training part has."""
    mended = [SHORT_FACILITY.sub("/FACILITY", label) for label in labels]
    if set(mended) != set(labels):
        report.merged["labels /FAC read as /FACILITY"] += 1
    return mended


def read_file(file: Path, report: ReadReport) -> Found:
    """One example for each mention.

    Args:
        file: One part of the corpus, in one of the three layouts.
        report: Gets the number of lines, names and tags that are left out, and of labels that are
            read as another.

    Returns:
        Examples, and a text for each faulty line.
    """
    return read_lines(file, report, _in_text, _mended)


READER = Reader(
    name="bbn",
    kind="typing",
    read_file=read_file,
    layouts=(
        COLUMNS_LAYOUT,
        JSON_LAYOUT,
        Layout(
            "LDC2005T33, names in tags",
            {
                "a tag ENAMEX, NUMEX or TIMEX with its TYPE": r"<(ENAMEX|NUMEX|TIMEX)\s+TYPE",
            },
        ),
    ),
    options={"repeats": [False, True]},
    preferred_folders=("bbn",),
    expected=f'{EXPECTED}, or names in tags as <ENAMEX TYPE="GPE:CITY">Oll</ENAMEX>',
    wanted=(
        "Wanted: BBN with fine types: train.json and test.json of github.com/INK-USC/AFET, the "
        "authors' text of four columns, or data/WSJtypes-subtypes of LDC2005T33; one file or the "
        "folder. The text is under an LDC licence."
    ),
    licence=LICENCE,
)
