"""Few-NERD: Wikipedia sentences with 66 fine types of names, in its official two columns.

Layout: `token<TAB>label` on each line, and an empty line between sentences. A mention is a maximal
run of one label other than `O`; neighbouring mentions of one type melt into one, by the layout's
design (about 1 %). In the sets INTER and INTRA other types are `O`. Labels are `coarse-fine`; the
`B-` or `I-` that some copies have before them is dropped. May import `reader`, `text`, `example`.
Start at `read_file`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from conpet_lib.corpora.example import Example, ReadReport
from conpet_lib.corpora.reader import PARTS, Fault, Found, Layout, Reader
from conpet_lib.corpora.text import joined, text_of

# A mark is one only before a coarse type, because a label of another corpus may begin with "B-".
MARK = re.compile(r"^[BI]-(?=(art|building|event|location|organization|other|person|product)-)")
OUTSIDE = "O"  # the label of a token outside of all mentions

Line = tuple[int, list[str]]  # the line's number, and its columns


def _sentences(text: str) -> Iterator[list[Line]]:
    """The lines of each sentence."""
    sentence: list[Line] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip(" \r"):
            token, *others = line.split("\t")
            # A blank behind a label, or behind `O`, makes no other label of it.
            sentence.append((number, [token, *(column.strip() for column in others)]))
        elif sentence:
            yield sentence
            sentence = []
    if sentence:  # the last one may have no empty line after it
        yield sentence


def _faults(sentence: list[Line]) -> list[str]:
    """What is wrong with lines that are not two filled columns."""
    faults = []
    for number, columns in sentence:
        if len(columns) != 2 or not all(columns):
            faults.append(f"line {number}: expected token<TAB>label, found {columns}")
    return faults


def _runs(labels: list[str]) -> Iterator[tuple[int, int]]:
    """Start and end, exclusive, of each maximal run of one label other than `O`."""
    start = 0
    for end in range(1, len(labels) + 1):
        if end == len(labels) or labels[end] != labels[start]:
            if labels[start] != OUTSIDE:
                yield start, end
            start = end


def read_file(file: Path, report: ReadReport) -> Found:
    """One example for each mention.

    Args:
        file: One part of one set.
        report: Gets the number of sentences without a mention.

    Returns:
        Examples, whose group is the coarse type, and a text for each faulty line.
    """
    for sentence in _sentences(text_of(file)):
        faults = _faults(sentence)
        if faults:
            yield from faults
            continue
        tokens = [columns[0] for _, columns in sentence]
        labels = [MARK.sub("", columns[1]) for _, columns in sentence]
        runs = list(_runs(labels))
        first_line = sentence[0][0]
        if not runs:
            report.skipped["sentences without a mention"] += 1
        for start, end in runs:
            line_of_mention = sentence[start][0]
            try:
                text, spans = joined(tokens, [(start, end)])
            except Fault as fault:
                yield f"line {line_of_mention}: {fault}"
                continue
            coarse_type = labels[start].split("-", 1)[0]
            yield Example(
                key=f"{file.stem}:{first_line}:{start}",
                text=text,
                spans=spans,
                label=labels[start],
                part=PARTS.get(file.stem),
                source=f"{file.name}, line {line_of_mention}",
                group=coarse_type,
            )


READER = Reader(
    name="fewnerd",
    kind="typing",
    read_file=read_file,
    layouts=(
        Layout(
            "Few-NERD text",
            {"a line of two columns, token<TAB>label": r"(?m)^[^\t\r\n]+\t[^\t\r\n]+\r?$"},
        ),
    ),
    preferred_folders=("supervised",),
    expected="lines of token<TAB>label, an empty line between sentences",
    wanted=(
        "Wanted: Few-NERD's supervised/ folder with train.txt, dev.txt, test.txt, "
        "or one such file (github.com/thunlp/Few-NERD, CC BY-SA 4.0)."
    ),
    licence="CC BY-SA 4.0",
)
