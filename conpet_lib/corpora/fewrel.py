"""FewRel in its official JSON: relation id -> list of sentences with head and tail.

The first occurrence of head and tail is marked (the FewRel toolkit's choice; the ConPET authors mark every
one). The span's own tokens are used, not `name`, which is lower-cased. Tokens may be blanks; positions
count them. `pid2name.json` beside the file names the relations. It has no official parts. Files of other
domains lie in the official folder; their labels are no Wikidata properties, by which they are known.
"""

from pathlib import PurePath

from conpet_lib.corpora.reading import Sink

RECORD = 'a record as {"tokens": [...], "h": [name, id, [[0, 1]]], "t": [...]}, positions being a run of tokens'


def relations(sink: Sink) -> None:
    """One example a record."""
    found, beside = sink.json(sink.text()) or {}, str(PurePath(sink.file).with_name("pid2name.json"))
    for relation, records in found.items():
        for index, record in enumerate(records if isinstance(records, list) else [None]):
            with sink.guard(f"{relation}[{index}]", RECORD):
                (head, *more), (tail, *others) = record["h"][2], record["t"][2]
                if any(places != list(range(places[0], places[-1] + 1)) for places in (head, tail)):
                    raise ValueError(f"{head} or {tail} are not a run")
                spans, later = [(head[0], head[-1] + 1), (tail[0], tail[-1] + 1)], (more, others)
                sink.report.merged["later occurrences of a span, not marked"] += sum(map(bool, later))
                sink.add(f"{sink.stem}:{relation}:{index}", list.copy(record["tokens"]), spans, relation,
                         f"{relation}[{index}]")
    with sink.guard("pid2name.json", "{id: [name, description]}"):
        names = sink.json(sink.text(beside)) if beside in sink.files else {}
        sink.report.notes += [f"relation {label} is {names[label][0]!r}" for label in sorted(set(found) & set(names))]


READERS = {"FewRel JSON": relations}
