"""Few-NERD in its official two columns: `token<TAB>label`, an empty line between sentences.
A mention is a maximal run of one label other than `O`; neighbouring mentions of one type melt into one, by the layout's
design (about 1 %). In INTER and INTRA other types are `O`. Labels are `coarse-fine`; a `B-` or `I-` before is dropped.
"""

import re
from itertools import groupby
from pathlib import Path

from conpet_lib.corpora.example import PARTS, Example, Found, ReadReport, joined

PREFIX = re.compile(r"^[BI]-(?=(art|building|event|location|organization|other|person|product)-)")


def read_file(file: Path, report: ReadReport) -> Found:
    """One example a mention, and the faulty lines; the group of a label is its coarse type."""
    lines = enumerate(file.read_text(encoding="utf-8-sig").split("\n"), 1)
    for filled, sentence in groupby(lines, key=lambda line: bool(line[1])):
        rows = [(number, line.split("\t")) for number, line in sentence if filled]
        faults = [f"line {number}: expected token<TAB>label, found {len(row)} column(s)"
                  for number, row in rows if len(row) != 2 or not all(row)]
        if faults or not filled:
            yield from faults
            continue
        tokens, labels = zip(*((token, PREFIX.sub("", label)) for _, (token, label) in rows))
        runs = [list(run) for label, run in groupby(range(len(labels)), key=labels.__getitem__) if label != "O"]
        report.skipped["sentences without a mention"] += not runs
        text, spans = joined(tokens, runs)
        for (start, *_), span in zip(runs, spans):
            yield Example(key=f"{file.stem}:{rows[0][0]}:{start}", text=text, label=labels[start], spans=(span,),
                          part=PARTS.get(file.stem), source=f"{file.name}, line {rows[start][0]}",
                          group=labels[start].split("-", 1)[0])
