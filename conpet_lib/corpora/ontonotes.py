"""OntoNotes with fine types such as `/person/artist`: AFET's JSON lines, or text of four or five columns; also of BBN.
A line is `{"tokens": [...], "mentions": [{"start": 0, "end": 2, "labels": [...]}]}`, or start, end, tokens, labels with
TABs between, a fifth column unused; ends are exclusive. Of a path of labels the deepest counts. Ours: a mention with
several paths is left out and counted, unless `branches` says otherwise."""

import re
from collections.abc import Callable
from pathlib import Path
from conpet_lib.corpora.reading import FAULTS, PARTS, Example, Found, ReadReport, joined, lines_of, load_json

COLUMNS = re.compile(r"(-?\d{1,9})\t(-?\d{1,9})\t([^\t]*)\t([^\t]*)")
BRANCHES = {"skip": lambda labels: "", "first": lambda labels: labels[0],
            "deepest": lambda labels: min(labels, key=lambda label: (-label.count("/"), label))}
RENAMED = {"/FAC": "/FACILITY", "/location/geograpy": "/location/geography"}      # BBN's test part; an OntoNotes slip

def read_file(file: Path, report: ReadReport, branches: str, mend: bool, tagged: Callable | None = None) -> Found:
    """One example a mention, or what is wrong with its line; the root is the group. `tagged` reads lines with tags."""
    for where, line in lines_of(file):
        try:
            if line.lstrip().startswith("{"):
                record = load_json(line)
                tokens = list.copy(record["tokens"])            # TypeError for a text
                mentions = [(one["start"], one["end"], list.copy(one["labels"])) for one in record["mentions"]]
            elif fields := COLUMNS.match(line):
                tokens, mentions = fields[3].split(" "), [(int(fields[1]), int(fields[2]), fields[4].split())]
            elif tagged:
                tokens, mentions = tagged(line, report)
            else:
                report.skipped["lines of another form"] += 1
                continue
            for place, (start, end, labels) in enumerate(mentions):
                for old, new in RENAMED.items() if mend else ():
                    mended = [re.sub(f"^{old}(?=/|$)", new, label) for label in labels]
                    report.merged[f"labels {old} read as {new}"] += mended != labels
                    labels = mended
                lowest = [one for one in dict.fromkeys(labels) if not any(two.startswith(f"{one}/") for two in labels)]
                label = BRANCHES[branches if len(lowest) > 1 else "first"](lowest or [""])
                if not 0 <= start < end <= len(tokens) or not label:
                    report.skipped["labels on several branches" if len(lowest) > 1 else "no label, or no place"] += 1
                    continue
                text, spans = joined(tokens, [(start, end)])
                yield Example(f"{file.stem}:{where[5:]}:{place}", text, spans, label, PARTS.get(file.stem),
                              f"{file.name}, {where}", group="/".join(label.split("/")[:2]))
        except FAULTS as error:
            yield f"{where}: {type(error).__name__} {error}"
