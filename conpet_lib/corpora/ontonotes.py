"""OntoNotes and BBN with fine types such as `/person/artist`: AFET's JSON lines, or text of four or five columns.
A line is `{"tokens": [...], "mentions": [{"start": 0, "end": 2, "labels": [...]}]}`, or start, end, tokens, labels with
TABs between; ends are exclusive. Of a path of labels the deepest counts; a mention with several paths is left out and
counted (ours). `/FAC` of BBN's test part is read as the `/FACILITY` of its training part."""

import json
import re
from pathlib import Path

from conpet_lib.corpora.example import FAULTS, PARTS, Example, Found, ReadReport, joined

COLUMNS = re.compile(r"(-?\d+)\t(-?\d+)\t([^\t]*)\t([^\t]*)")


def read_file(file: Path, report: ReadReport) -> Found:
    """One example a mention, or what is wrong with its line; the root is the group."""
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").split("\n"), 1):
        try:
            if line.lstrip().startswith("{"):
                record = json.loads(line)
                tokens = list.copy(record["tokens"])            # TypeError for a text
                mentions = [(one["start"], one["end"], list.copy(one["labels"])) for one in record["mentions"]]
            elif fields := COLUMNS.match(line):
                tokens, mentions = fields[3].split(" "), [(int(fields[1]), int(fields[2]), fields[4].split())]
            else:
                report.skipped["lines of another form"] += bool(line)
                continue
            for place, (start, end, labels) in enumerate(mentions):
                labels = {re.sub("^/FAC(?=/|$)", "/FACILITY", label) for label in labels}
                lowest = [one for one in labels if not any(other.startswith(f"{one}/") for other in labels)]
                if not 0 <= start < end <= len(tokens) or len(lowest) != 1:
                    report.skipped["labels on several branches" if len(lowest) > 1 else "no label, or no place"] += 1
                    continue
                text, spans = joined(tokens, [list(range(start, end))])
                yield Example(key=f"{file.stem}:{number}:{place}", text=text, spans=spans, label=lowest[0],
                              part=PARTS.get(file.stem), source=f"{file.name}, line {number}",
                              group="/".join(lowest[0].split("/")[:2]))
        except FAULTS as error:
            yield f"line {number}: {type(error).__name__} {error}"
