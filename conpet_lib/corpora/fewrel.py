"""FewRel in its official JSON: relation id -> list of sentences with head and tail.

A record is `{"tokens": [...], "h": [name, wikidata id, [[positions], ...]], "t": [...]}`. The first
occurrence of head and tail is marked (the FewRel toolkit's choice; the ConPET authors mark every
one). The span's own tokens are used, not `name`, which is lower-cased. Tokens may be blanks;
positions count them. `pid2name.json` beside the file names the relations. It has no official parts.
Files of other domains lie in the official folder; their labels are no Wikidata properties: refused.
"""

from conpet_lib.corpora.reading import Sink

RECORD = 'a record as {"tokens": [...], "h": [name, id, [[0, 1]]], "t": [...]}, positions being a run of tokens'


def relations(sink: Sink) -> None:
    """One example a record."""
    found, beside = sink.json(sink.text()) or {}, sink.beside()
    for relation, records in found.items():
        with sink.guard(relation, "a list of records"):
            for index, record in enumerate(list.copy(records)):
                where = f"{relation}, record {index}"
                with sink.guard(where, RECORD):
                    spans = [span(sink, record[side][2]) for side in "ht"]
                    sink.add_tokens(f"{sink.stem}:{where}", record["tokens"], spans, relation, where)
    with sink.guard("pid2name.json", "{id: [name, description]}"):
        names = sink.json(sink.text(beside)) if beside else {}
        sink.report.notes += [f"relation {label} is {names[label][0]!r}" for label in sorted(set(found) & set(names))]


def span(sink: Sink, occurrences: list[list[int]]) -> tuple[int, int]:
    """Token span of the first occurrence, given as the list of all its token positions."""
    places = occurrences[0]
    if places != list(range(places[0], places[-1] + 1)):
        raise ValueError(f"{places} are not a run")
    sink.report.merged["later occurrences of a span, not marked"] += len(occurrences) > 1
    return places[0], places[-1] + 1


READERS = {"FewRel JSON": relations}
