"""FewRel in its official JSON: relation id -> list of sentences with head and tail.
A record is `{"tokens": [...], "h": [name, wikidata id, [[positions], ...]], "t": [...]}`. The first occurrence of head
and tail is marked (the FewRel toolkit's choice; the ConPET authors mark every one), in the text's own words, since
`name` is lower-cased. Tokens may be blanks; positions count them. `pid2name.json` beside it names the relations."""

import json
from pathlib import Path

from conpet_lib.corpora.example import FAULTS, Example, Found, ReadReport, joined


def read_file(file: Path, report: ReadReport) -> Found:
    """The example of each record of one file, or what is wrong with it."""
    relations = json.loads(file.read_text(encoding="utf-8-sig"))
    if not isinstance(relations, dict) or not all(isinstance(records, list) for records in relations.values()):
        raise ValueError("expected an object {relation: [records]}")
    named = file.with_name("pid2name.json")
    names = json.loads(named.read_text(encoding="utf-8-sig")) if named.is_file() else {}     # id -> [name, description]
    report.notes += [f"relation {label} is {names[label][0]!r}" for label in sorted({*relations} & {*names})]
    for relation, records in relations.items():
        for index, record in enumerate(records):
            try:
                occurrences = [record[side][2] for side in ("h", "t")]       # each a list of runs of positions
                text, spans = joined(record["tokens"], [runs[0] for runs in occurrences])
                report.skipped["later occurrences of a span, not marked"] += sum(len(runs) > 1 for runs in occurrences)
                yield Example(key=f"{file.stem}:{relation}:{index}", text=text, spans=spans, label=relation,
                              source=f"{file.name} {relation}[{index}]")
            except FAULTS as error:
                yield f"{relation}, record {index}: {type(error).__name__} {error}"
