"""Few-NERD in its official two columns: `token<TAB>label`, an empty line between sentences.
A mention is a maximal run of one label other than `O`; neighbouring mentions of one type melt into one, by the layout's
design (about 1 %). In INTER and INTRA other types are `O`. Labels are `coarse-fine`; `B-` or `I-` before is dropped."""

import re
from itertools import groupby
from pathlib import Path

from conpet_lib.corpora.example import Example, ReadReport
from conpet_lib.corpora.reader import PARTS, Found
from conpet_lib.corpora.text import joined, text_of

PREFIX = re.compile(r"^[BI]-(?=(art|building|event|location|organization|other|person|product)-)")


def read_file(file: Path, report: ReadReport) -> Found:
    """One example a mention, and the faulty lines; the group of a label is its coarse type."""
    for filled, sentence in groupby(
        enumerate(text_of(file).split("\n"), 1), key=lambda line: bool(line[1])
    ):
        rows = [(number, line.split("\t")) for number, line in sentence if filled]
        faults = [
            f"line {number}: expected token<TAB>label, found {row}"
            for number, row in rows
            if len(row) != 2 or not all(row)
        ]
        if faults or not filled:
            yield from faults
            continue
        tokens, labels = [row[0] for _, row in rows], [PREFIX.sub("", row[1]) for _, row in rows]
        runs = [
            list(run)
            for label, run in groupby(range(len(labels)), key=labels.__getitem__)
            if label != "O"
        ]
        report.skipped["sentences without a mention"] += not runs
        for start, *more in runs:
            text, spans = joined(tokens, [(start, start + 1 + len(more))])
            yield Example(
                f"{file.stem}:{rows[0][0]}:{start}",
                text,
                spans,
                labels[start],
                PARTS.get(file.stem),
                f"{file.name}, line {rows[start][0]}",
                group=labels[start].split("-", 1)[0],
            )
