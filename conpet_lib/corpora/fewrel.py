"""FewRel: Wikipedia sentences with one of 80 relations between head and tail, in its official JSON.

Layout: `{relation id: [records]}`, where a record is
`{"tokens": [...], "h": [name, wikidata id, [[positions], ...]], "t": [...]}`. The first occurrence
of head and tail is marked (the choice of FewRel's own toolkit; the ConPET authors mark every one),
in the text's own words, because `name` is lower-cased. Tokens may be blanks; positions count them.
`pid2name.json` beside a file names the relations. May import `reader`, `text`, `example`.
Start at `read_file`.
"""

from collections.abc import Iterator
from pathlib import Path

from conpet_lib.corpora.example import Example, ReadReport, Span
from conpet_lib.corpora.reader import Fault, Found, Layout, Reader, record_by_record
from conpet_lib.corpora.text import checked, field_of, joined, load_json, shown, text_of

NAMES = "pid2name.json"

Record = tuple[str, int, object]  # a relation, the number of one of its records, and the record


def _relations(file: Path) -> dict[str, list[object]]:
    """The records of each relation."""
    relations = load_json(text_of(file))
    wanted = "expected an object {relation: [records]}"
    if not isinstance(relations, dict):
        raise Fault(wanted)
    if not all(isinstance(records, list) for records in relations.values()):
        raise Fault(wanted)
    return relations


def _note_names(file: Path, relations: dict[str, list[object]], report: ReadReport) -> None:
    """Say in the report what the relations' ids mean, if a file beside tells it."""
    if not file.is_file():
        return
    names = load_json(text_of(file))  # id -> [name, description]
    if not isinstance(names, dict):
        raise Fault(f"{file.name}: expected an object {{relation: [name, description]}}")
    for relation in sorted(set(relations) & set(names)):
        described = checked(names[relation], list, f"{file.name}, {relation}")
        if not described:
            raise Fault(f"{file.name}, {relation}: expected [name, description], found []")
        report.notes.append(f"relation {relation} is {described[0]!r}")


def _occurrences(record: object, side: str) -> list[list[int]]:
    """The positions of each occurrence of head or tail; the first one is checked."""
    entity = field_of(record, side, list)
    if len(entity) < 3:
        raise Fault(
            f"the field {side!r}: expected [name, id, [[positions]]], found {shown(entity)}"
        )
    occurrences = checked(entity[2], list, f"the positions of {side!r}")
    if not occurrences:
        raise Fault(f"the positions of {side!r}: not enough values, found no occurrence")
    first = checked(occurrences[0], list, f"an occurrence of {side!r}")
    is_run = len(first) > 0 and all(type(position) is int for position in first)
    if not is_run or first != list(range(first[0], first[0] + len(first))):
        raise Fault(f"positions {shown([first])} are not a run")
    return occurrences


def _records(relations: dict[str, list[object]]) -> Iterator[tuple[str, Record]]:
    """Where each record stands, its relation, its number there, and the record."""
    for relation, records in relations.items():
        for index, record in enumerate(records):
            yield f"{relation}, record {index}", (relation, index, record)


def read_file(file: Path, report: ReadReport) -> Found:
    """One example for each record.

    Args:
        file: One of the official files, or a part of one.
        report: Gets the number of heads and tails that occur more than once, and the relations'
            names if they are known.

    Returns:
        Examples, and a text for each faulty record.
    """
    relations = _relations(file)
    _note_names(file.with_name(NAMES), relations, report)

    def read_record(where: str, numbered: Record) -> Iterator[Example]:
        relation, index, record = numbered
        spans: list[Span] = []
        later = 0
        for side in ("h", "t"):
            occurrences = _occurrences(record, side)
            first = occurrences[0]
            spans.append((first[0], first[-1] + 1))
            if len(occurrences) > 1:
                later += 1
        text, places = joined(field_of(record, "tokens", list), spans)
        report.skipped["later occurrences of a span, not marked"] += later
        yield Example(
            key=f"{file.stem}:{relation}:{index}",
            text=text,
            spans=places,
            label=relation,
            source=f"{file.name} {relation}[{index}]",
        )

    yield from record_by_record(_records(relations), read_record)


READER = Reader(
    name="fewrel",
    kind="relation",
    read_file=read_file,
    layouts=(
        Layout(
            "FewRel JSON",
            {
                "an object whose first key is a Wikidata property such as P177": (
                    r'^\s*\{\s*"P\d+"\s*:\s*[^\[]*\[\s*[\]{]'
                )
            },
        ),
        Layout(
            "FewRel's layout with labels that are no Wikidata properties: another domain",
            {"its marks": r'^\s*\{\s*"[^"]*"\s*:\s*\[\s*\{\s*"tokens"'},
            refused=True,
        ),
    ),
    official_files=("train_wiki", "val_wiki"),
    beside=(NAMES,),
    expected=(
        'an object {relation: [records]}, a record being {"tokens": [...], '
        '"h": [name, id, [[0, 1]]], "t": [name, id, [[4]]]}'
    ),
    wanted=(
        "Wanted: FewRel's train_wiki.json and val_wiki.json (github.com/thunlp/FewRel, "
        "MIT licence), one of them or the folder with both."
    ),
    licence="MIT (the text is Wikipedia's, CC BY-SA)",
)
