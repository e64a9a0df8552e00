"""FewRel: Wikipedia sentences with one of 80 relations between head and tail, in its official JSON.

Layout: `{relation id: [records]}`, where a record is
`{"tokens": [...], "h": [name, wikidata id, [[positions], ...]], "t": [...]}`. The first occurrence
of head and tail is marked (the choice of FewRel's own toolkit; the ConPET authors mark every one),
in the text's own words, because `name` is lower-cased. Tokens may be blanks; positions count them.
`name` tells whether the positions are right: if it stands at another place alone, it is marked
there. Copies made for other code have marks such as `[E11]` among the tokens; these are no words of
the sentence and are taken out, and the names tell whether positions count them.
`pid2name.json` beside a file names the relations. May import `reader`, `text`, `example`.
Start at `read_file`.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conpet_lib.corpora.example import Example, ReadReport, Span
from conpet_lib.corpora.reader import Fault, Found, Layout, Reader, record_by_record
from conpet_lib.corpora.text import (
    checked,
    field_of,
    joined,
    load_json,
    plain_words,
    shown,
    text_of,
    texts,
)

NAMES = "pid2name.json"
MARK = re.compile(r"\[/?E[12][12]?\]|</?e[12]>", re.IGNORECASE)  # begins or ends a span
SIDES = ("h", "t")

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


@dataclass(frozen=True)
class _Mention:
    """Head or tail of a record.

    Attributes:
        name: What the file calls it; empty if it does not.
        span: Its first occurrence in tokens, the end exclusive.
        occurrences: How often it occurs.
    """

    name: str
    span: Span
    occurrences: int


def _mentions(record: object) -> list[_Mention]:
    """Head and tail of a record, as the file gives them."""
    mentions = []
    for side in SIDES:
        occurrences = _occurrences(record, side)
        first = occurrences[0]
        name = field_of(record, side, list)[0]
        known = "" if name is None else checked(name, str, f"the name in {side!r}")
        mentions.append(_Mention(known, (first[0], first[-1] + 1), len(occurrences)))
    return mentions


def _is_mark(token: str) -> bool:
    """Whether a token is a mark and no word; the first sign is looked at because it is faster."""
    return token[:1] in ("[", "<") and MARK.fullmatch(token) is not None


def _without_marks(tokens: list[str], span: Span) -> Span:
    """A span of tokens that counts the marks among them, in the tokens without these."""
    marks = [place for place, token in enumerate(tokens) if _is_mark(token)]
    start, end = span
    return start - bisect_left(marks, start), end - bisect_left(marks, end)


def _words(tokens: list[str]) -> list[str]:
    """The tokens that are no marks."""
    return [token for token in tokens if not _is_mark(token)]


def _stands_at(name: str, words: list[str], span: Span) -> bool:
    """Whether a name stands at a place."""
    start, end = span
    is_inside = 0 <= start < end <= len(words)
    return is_inside and plain_words("".join(words[start:end])) == plain_words(name)


def _are_marks_counted(relations: dict[str, list[object]]) -> bool:
    """Whether the positions of a file count the marks among its tokens, told by the names.

    If there are marks and the names do not tell it, the file is at fault.
    """
    counted = 0
    uncounted = 0
    matters = False
    for _, (_, _, record) in _records(relations):
        try:
            tokens = texts(field_of(record, "tokens", list), "the tokens")
            if not any(map(_is_mark, tokens)):
                continue
            mentions = _mentions(record)
        except Fault:
            continue  # it is told when the record is read
        words = _words(tokens)
        for mention in mentions:
            shifted = _without_marks(tokens, mention.span)
            if shifted != mention.span:
                matters = True
                counted += _stands_at(mention.name, words, shifted)
                uncounted += _stands_at(mention.name, words, mention.span)
    if matters and counted == uncounted:
        raise Fault(
            "there are marks such as [E11] among the tokens, and the names of heads and tails do "
            "not tell whether positions count them; take the marks out"
        )
    return counted > uncounted


def _places_of(name: str, words: list[str]) -> list[Span]:
    """Where a name stands; without the blanks around it."""
    wanted = plain_words(name)
    places = []
    for start, first in enumerate(words):
        if not wanted or not first.strip():
            continue
        found = ""
        for end, word in enumerate(words[start:], start + 1):
            found += plain_words(word)
            if found == wanted:
                places.append((start, end))
                break
            if not wanted.startswith(found):
                break
    return places


def _checked_span(mention: _Mention, words: list[str], span: Span, report: ReadReport) -> Span:
    """Where a head or tail stands: at its position, or where its name is found alone."""
    if not mention.name.strip() or _stands_at(mention.name, words, span):
        return span
    places = _places_of(mention.name, words)
    if len(places) > 1:
        raise Fault(
            f"the name {shown(mention.name)} does not stand at {span}, but at {shown(places)}"
        )
    if places:
        report.merged["positions corrected, because the name stands elsewhere"] += 1
        return places[0]
    report.merged["names that are not the words at their positions, nor elsewhere"] += 1
    return span


def read_file(file: Path, report: ReadReport) -> Found:
    """One example for each record.

    Args:
        file: One of the official files, or a part of one.
        report: Gets the number of heads and tails that occur more than once or whose positions are
            not those of their names, and the relations' names if they are known.

    Returns:
        Examples, and a text for each faulty record.
    """
    relations = _relations(file)
    _note_names(file.with_name(NAMES), relations, report)
    are_counted = _are_marks_counted(relations)

    def read_record(where: str, numbered: Record) -> Iterator[Example]:
        relation, index, record = numbered
        mentions = _mentions(record)
        tokens = texts(field_of(record, "tokens", list), "the tokens")
        words = _words(tokens)
        if len(words) < len(tokens):
            report.merged["tokens that mark head or tail, taken out"] += len(tokens) - len(words)
        spans = []
        later = 0
        for mention in mentions:
            span = _without_marks(tokens, mention.span) if are_counted else mention.span
            spans.append(_checked_span(mention, words, span, report))
            later += mention.occurrences > 1
        text, places = joined(words, spans)
        report.skipped["later occurrences of a span, not marked"] += later
        yield Example(
            key=f"{file.stem}:{relation}:{index}",
            text=text,
            spans=places,
            label=relation.strip(),
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
