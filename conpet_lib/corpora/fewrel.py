"""FewRel in its official JSON: relation id -> list of sentences with head and tail.
A record is `{"tokens": [...], "h": [name, wikidata id, [[positions], ...]], "t": [...]}`. The first occurrence of head
and tail is marked (the FewRel toolkit's choice; the ConPET authors mark every one), in the text's own words, since
`name` is lower-cased. Tokens may be blanks; positions count them. `pid2name.json` beside it names the relations."""

from pathlib import Path

from conpet_lib.corpora.example import Example, ReadReport
from conpet_lib.corpora.reader import FAULTS, Found
from conpet_lib.corpora.text import joined, load_json, text_of


def read_file(file: Path, report: ReadReport) -> Found:
    """The example of each record of one file, or what is wrong with it."""
    relations = load_json(text_of(file))
    if not isinstance(relations, dict) or not all(
        isinstance(records, list) for records in relations.values()
    ):
        raise ValueError("expected an object {relation: [records]}")
    named = file.with_name("pid2name.json")
    names = load_json(text_of(named)) if named.is_file() else {}  # id -> [name, description]
    report.notes += [
        f"relation {label} is {names[label][0]!r}" for label in sorted({*relations} & {*names})
    ]
    for relation, records in relations.items():
        for index, record in enumerate(records):
            try:
                occurrences = [
                    record[side][2] for side in ("h", "t")
                ]  # each a list of runs of positions
                if wrong := [
                    run
                    for run, *_ in occurrences
                    if not run or run != [*range(run[0], run[0] + len(run))]
                ]:
                    raise ValueError(f"positions {wrong} are not a run")
                text, spans = joined(
                    record["tokens"], [(run[0], run[-1] + 1) for run, *_ in occurrences]
                )
                report.skipped["later occurrences of a span, not marked"] += sum(
                    len(runs) > 1 for runs in occurrences
                )
                yield Example(
                    f"{file.stem}:{relation}:{index}",
                    text,
                    spans,
                    relation,
                    source=f"{file.name} {relation}[{index}]",
                )
            except FAULTS as error:
                yield f"{relation}, record {index}: {type(error).__name__} {error}"
