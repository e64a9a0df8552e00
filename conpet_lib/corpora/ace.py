"""ACE 2005: relations between mentions of entities; labels are bare sub-types.

Layouts: LDC2006T06, `.apf.xml` beside `.sgm`: offsets count the characters of the sgm without its
`<...>` tags, raw `&amp;` and line feeds too, and ends are inclusive; arguments are the heads of
mentions, or with the option `argument` their extents; read in the folder `timex2norm` alone, one
of four stages. DyGIE++: a document on each line, positions go on through it, ends inclusive.
OneIE: a sentence on each line, ends exclusive.

Choices of ours: LDC's sentences end at an empty line, or at one of `.!?` before a capital; a text
is all sentences from one argument to the other; if they are several, that is counted, and each is
named in the example's `sentence`. Left out and counted: arguments that overlap, because marks
cannot nest, and relations without a sub-type (METONYMY). May import `reader`, `text`, `example`.
Start at `read_file`.
"""

import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from conpet_lib.corpora.example import Example, ReadReport, Span
from conpet_lib.corpora.reader import PARTS, Fault, Found, Layout, Reader, record_by_record
from conpet_lib.corpora.text import (
    checked,
    field_of,
    joined,
    lines_of,
    load_json,
    overlap,
    plain_words,
    shown,
    text_of,
    texts,
)

SENTENCE_END = re.compile(r"\n\s*\n|(?<=[.!?])[\"')]*\s+(?=[A-Z\"'(])")
TAGS = re.compile(r"<[^<>]+>")
ROLES = ("Arg-1", "Arg-2")  # head and tail; other arguments are times


class _Relation(NamedTuple):
    """A relation in any of the three layouts.

    Attributes:
        words: A text, or tokens.
        spans: Head and tail in it, ends exclusive.
        name: Type and sub-type with `.` or `:` between, or the sub-type alone.
        sentences: The sentences that `words` are made of.
    """

    words: str | list[str]
    spans: tuple[Span, Span]
    name: str
    sentences: list[str]


class _Document(NamedTuple):
    """What the relations of an LDC document refer to.

    Attributes:
        text: The sgm without its tags.
        boundaries: 0, the end of each sentence, and the end of the text.
        places: The element of the words that mark each mention, by the mention's id; None if a
            mention has none.
    """

    text: str
    boundaries: list[int]
    places: dict[str | None, Element | None]


class _Mention(NamedTuple):
    """A mention of a relation in an LDC document: its element, and the relation's name."""

    element: Element
    name: str
    document: _Document


def _mentions(text: str, file: Path, argument: str) -> Iterator[tuple[str, _Mention]]:
    """Where each relation of an LDC document is mentioned."""
    tree: Element = ElementTree.fromstring(text.encode())
    sgm = file.with_name(file.name.removesuffix(".apf.xml") + ".sgm")
    raw = TAGS.sub("", text_of(sgm))
    boundaries = [0, *(match.end() for match in SENTENCE_END.finditer(raw)), len(raw)]
    places = {}
    for entity_mention in tree.iter("entity_mention"):
        places[entity_mention.get("ID")] = entity_mention.find(f"{argument}/charseq")
    document = _Document(raw, boundaries, places)
    for relation in tree.iter("relation"):
        name = f"{relation.get('TYPE')}.{relation.get('SUBTYPE', '')}"
        for mention in relation.iter("relation_mention"):
            yield f"mention {mention.get('ID')}", _Mention(mention, name, document)


def _place(mention: _Mention, role: str) -> Span:
    """Where an argument stands in the text; its words are checked against those of the file."""
    ids = {}
    for argument in mention.element.iter("relation_mention_argument"):
        ids[argument.get("ROLE")] = argument.get("REFID")
    if role not in ids:
        raise Fault(f"the argument {role} is missing")
    charseq = mention.document.places.get(ids[role])
    if charseq is None:
        raise Fault(f"{role} is {ids[role]!r}, of which no place is told")
    start_text = charseq.get("START")
    last_text = charseq.get("END")
    if start_text is None or last_text is None:
        raise Fault(f"the place of {ids[role]!r} lacks START or END")
    start = int(start_text)
    last = int(last_text)
    text = mention.document.text
    words = html.unescape(text[max(0, start) : last + 1]).split()
    is_inside = 0 <= start <= last < len(text)
    if not is_inside or not words or words != (charseq.text or "").split():
        raise Fault(
            f"expected {charseq.text!r} at {start} to {last} of the .sgm, found {' '.join(words)!r}"
        )
    return start, last + 1


def _of_ldc(mention: _Mention) -> Iterator[_Relation]:
    """The relation of a mention in an LDC document."""
    places = [_place(mention, role) for role in ROLES]
    raw, boundaries, _ = mention.document
    first = bisect_right(boundaries, min(start for start, _ in places))
    last = bisect_right(boundaries, max(end for _, end in places) - 1)
    begin = boundaries[first - 1]
    text = html.unescape(raw[begin : boundaries[last]]).rstrip().replace("\n", " ")
    sentences = [
        html.unescape(raw[start:end]) for start, end in pairwise(boundaries[first - 1 : last + 1])
    ]

    def shifted(place: int) -> int:
        # `&amp;` is one character of the example's text.
        return len(html.unescape(raw[begin:place]))

    head, tail = ((shifted(start), shifted(end)) for start, end in places)
    yield _Relation(text, (head, tail), mention.name, sentences)


def _dygie_relation(
    relation: object, sentences: list[list[str]], boundaries: list[int], sentence: int
) -> _Relation:
    """A relation `[start, end, start, end, name, ...]` that stands with a sentence of DyGIE++."""
    values = checked(relation, list, "a relation")
    if len(values) < 5:
        raise Fault(
            f"expected [start, end, start, end, name], not enough values in {shown(values)}"
        )
    positions = [checked(value, int, "a position") for value in values[:4]]
    name = checked(values[4], str, "the name of a relation")
    if min(positions) < 0 or max(positions) >= boundaries[-1]:
        raise Fault(f"the positions {positions} do not lie in the document")
    first = bisect_right(boundaries, min(positions)) - 1
    last = bisect_right(boundaries, max(positions)) - 1
    # In copies whose positions begin anew in each sentence, they lead to another sentence.
    if not any(bisect_right(boundaries, position) - 1 == sentence for position in positions):
        raise Fault(
            f"the positions {positions} lie outside of sentence {sentence}, with which the "
            "relation stands; expected positions that go on through the document"
        )
    words = []
    for part in sentences[first : last + 1]:
        words += part
    start, end, other_start, other_end = (position - boundaries[first] for position in positions)
    spans = (start, end + 1), (other_start, other_end + 1)
    return _Relation(words, spans, name, [" ".join(one) for one in sentences[first : last + 1]])


def _of_dygie(line: str) -> Iterator[_Relation]:
    """The relations of a document on a line of DyGIE++."""
    record = load_json(line)
    sentences = [texts(one, "a sentence") for one in field_of(record, "sentences", list)]
    boundaries = [0, *accumulate(len(sentence) for sentence in sentences)]
    relations = field_of(record, "relations", list)
    if len(relations) != len(sentences):
        raise Fault(
            f"expected one list of relations for each of {len(sentences)} sentences, "
            f"found {len(relations)}"
        )
    for number, of_sentence in enumerate(relations):
        for relation in checked(of_sentence, list, "the relations of a sentence"):
            yield _dygie_relation(relation, sentences, boundaries, number)


def _check_words(entity: dict[str, object], tokens: list[str], span: Span) -> None:
    """Refuse an entity of OneIE whose text, if it is told, is not the words at its place."""
    text = entity.get("text")
    start, end = span
    found = tokens[max(0, start) : max(0, end)]
    if isinstance(text, str) and text.strip() and plain_words(text) != plain_words("".join(found)):
        raise Fault(f"expected {shown(text)} at {start} to {end}, found {shown(' '.join(found))}")


def _of_oneie(line: str) -> Iterator[_Relation]:
    """The relations of a sentence on a line of OneIE, whose arguments name entities."""
    record = load_json(line)
    tokens = texts(field_of(record, "tokens", list), "the tokens")
    places = {}
    for entity in field_of(record, "entity_mentions", list):
        span = field_of(entity, "start", int), field_of(entity, "end", int)
        _check_words(entity, tokens, span)
        places[field_of(entity, "id", str)] = span
    for relation in field_of(record, "relation_mentions", list):
        spans = {}
        for argument in field_of(relation, "arguments", list):
            entity_id = field_of(argument, "entity_id", str)
            if entity_id not in places:
                raise Fault(f"an argument is {entity_id!r}, which is no entity of the sentence")
            role = field_of(argument, "role", str)
            if role in spans:
                raise Fault(f"the argument {role} stands twice")
            spans[role] = places[entity_id]
        if not spans.keys() >= set(ROLES):
            raise Fault(f"the arguments {' and '.join(ROLES)} are wanted, found {list(spans)}")
        head, tail = (spans[role] for role in ROLES)
        has_subtype = bool(relation.get("relation_subtype"))
        name = field_of(relation, "relation_subtype" if has_subtype else "relation_type", str)
        yield _Relation(tokens, (head, tail), name, [" ".join(tokens)])


def read_file(file: Path, report: ReadReport, argument: str) -> Found:
    """One example for each relation with a sub-type.

    Args:
        file: A document of LDC's, or a part of the corpus as DyGIE++ or OneIE write it.
        report: Gets the number of relations that are left out, and of texts of several sentences.
        argument: Which words of a mention LDC's documents give: "head" or "extent".

    Returns:
        Examples, whose group is the type, and a text for each faulty record.
    """
    text = text_of(file)
    stem = file.name.split(".")[0]
    # Any, because a record is an element in one layout and a line in the others.
    records: Iterable[tuple[str, Any]] = lines_of(text)
    relations_of: Callable[[Any], Iterator[_Relation]] = _of_dygie
    if text.lstrip().startswith("<"):
        records = _mentions(text, file, argument)
        relations_of = _of_ldc
    elif '"entity_mentions"' in text:
        relations_of = _of_oneie

    def read_record(where: str, record: object) -> Iterator[Example]:
        place = where.removeprefix("line ")
        for number, relation in enumerate(relations_of(record)):
            kind, _, label = relation.name.strip().replace(":", ".").rpartition(".")
            if not label or label.isupper():  # a bare type, such as PHYS
                report.skipped["no sub-type"] += 1
                continue
            if overlap(*relation.spans):
                report.skipped["head and tail overlap"] += 1
                continue
            words, spans = joined(relation.words, relation.spans)
            named = ""
            if len(relation.sentences) > 1:
                report.merged["sentences between two arguments, joined"] += 1
                named = "\n".join(" ".join(one.split()) for one in relation.sentences)
            yield Example(
                key=f"{stem}:{place}:{number}",
                text=words,
                spans=spans,
                label=label,
                part=PARTS.get(stem),
                source=f"{file.name}, {where}",
                sentence=named,
                group=kind,
            )

    yield from record_by_record(records, read_record)


LAYOUTS = (
    Layout(
        "LDC2006T06, .apf.xml beside .sgm",
        {"<source_file": r"<source_file\b", "<document": r"<document\b"},
    ),
    Layout(
        "DyGIE++ JSON lines",
        {
            "an object a line": r"^\s*\{",
            'the field "sentences"': r'"sentences"\s*:',
            'the field "relations"': r'"relations"\s*:',
        },
    ),
    Layout(
        "OneIE JSON lines",
        {
            "an object a line": r"^\s*\{",
            'the field "tokens"': r'"tokens"\s*:',
            'the field "entity_mentions"': r'"entity_mentions"\s*:',
            'the field "relation_mentions"': r'"relation_mentions"\s*:',
        },
    ),
    Layout(
        "entities and events only, as nlpcl-lab/ace2005-preprocessing writes them: no relations",
        {"its marks": r'"golden_event_mentions"'},
        refused=True,
    ),
)

READER = Reader(
    name="ace",
    kind="relation",
    read_file=read_file,
    layouts=LAYOUTS,
    options={"argument": ["head", "extent"], "repeats": [False, True]},
    version=2,
    preferred_folders=("english", "timex2norm"),
    beside=("*.sgm",),
    expected=(
        "mentions whose words stand at their places in the .sgm of the same name, or lines as "
        '{"sentences": [["Korr", "left"]], "relations": [[[0, 0, 1, 1, "PHYS.Near"]]]}, or as '
        '{"tokens", "entity_mentions": [{"id", "start", "end"}], "relation_mentions": '
        '[{"relation_subtype", "arguments": [{"role": "Arg-1", "entity_id"}]}]}'
    ),
    wanted=(
        "Wanted: ACE 2005 (LDC2006T06, LDC licence): its data/English folder, or train.json, "
        "dev.json, test.json as DyGIE++ (github.com/dwadden/dygiepp) or OneIE make them; one file, "
        "the folder or the archive."
    ),
    licence="LDC's user agreement: the text may not be passed on",
)
