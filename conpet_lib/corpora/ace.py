"""ACE 2005 relations: LDC2006T06 (.apf.xml beside .sgm), DyGIE++ and OneIE JSON lines; labels are bare sub-types.
LDC: offsets count the sgm without its `<...>` tags, raw `&amp;` and line feeds too, ends inclusive; arguments are the
heads of mentions (option `argument`), in `timex2norm` alone, one of four stages. DyGIE++: a document a line, positions
go through it, ends inclusive. OneIE: a sentence a line, ends exclusive. Ours: LDC's sentences end at an empty line or
at `.!?` before a capital; a text is the sentences from one argument to the other, and joining them is counted. Left out
and counted: arguments that overlap, since marks cannot nest, and relations without a sub-type (METONYMY)."""

import html
import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, chain
from pathlib import Path

from defusedxml import ElementTree

from conpet_lib.corpora.example import Example, ReadReport
from conpet_lib.corpora.reader import FAULTS, PARTS, Found
from conpet_lib.corpora.text import joined, lines_of, load_json, text_of

SENTENCE_END = re.compile(r"\n\s*\n|(?<=[.!?])[\"')]*\s+(?=[A-Z\"'(])")


def read_file(file: Path, report: ReadReport, argument: str) -> Found:
    """The example of each relation, or what is wrong with its record; the group is the type."""
    text, stem = text_of(file), file.name.split(".")[0]
    find = ldc if text.lstrip().startswith("<") else oneie if '"entity_mentions"' in text else dygie
    for where, record in documents(text, file, argument) if find is ldc else lines_of(text):
        try:
            for place, (words, ((start, end), (other, last)), name, sentences) in enumerate(
                find(record)
            ):
                kind, _, label = name.replace(":", ".").rpartition(".")
                if (
                    not label or label.isupper() or start < last and other < end
                ):  # a bare type, such as PHYS
                    report.skipped[
                        "no sub-type" if not label or label.isupper() else "head and tail overlap"
                    ] += 1
                    continue
                text, spans = joined(words, [(start, end), (other, last)])
                report.merged["sentences between two arguments, joined"] += sentences > 1
                yield Example(
                    f"{stem}:{where.removeprefix('line ')}:{place}",
                    text,
                    spans,
                    label,
                    PARTS.get(stem),
                    f"{file.name}, {where}",
                    group=kind,
                )
        except FAULTS as error:
            yield f"{where}: {type(error).__name__} {error}"


def documents(text: str, file: Path, argument: str) -> Iterator[tuple[str, tuple]]:
    """The relation mentions of LDC's document, each with all that may be arguments and the sgm without its tags."""
    tree = ElementTree.fromstring(text.encode())
    raw = re.sub(
        r"<[^<>]+>", "", text_of(file.with_name(file.name.removesuffix(".apf.xml") + ".sgm"))
    )
    ends = [0, *(found.end() for found in SENTENCE_END.finditer(raw)), len(raw)]
    places = {one.get("ID"): one.find(f"{argument}/charseq") for one in tree.iter("entity_mention")}
    for one in tree.iter("relation"):
        name = f"{one.get('TYPE')}.{one.get('SUBTYPE', '')}"
        for found in one.iter("relation_mention"):
            yield f"mention {found.get('ID')}", (found, name, places, raw, ends)


def ldc(record: tuple) -> Iterator[tuple]:
    """Words, spans, name and number of sentences of a relation; its words are checked against those of the file."""
    mention, name, known, raw, ends = record
    roles = {
        one.get("ROLE"): known.get(one.get("REFID"))
        for one in mention.iter("relation_mention_argument")
    }
    places = [
        (int(one.get("START")), int(one.get("END")) + 1, one.text)
        for one in (roles["Arg-1"], roles["Arg-2"])
    ]
    for start, end, wanted in places:
        if (
            words := html.unescape(raw[max(0, start) : end]).split()
        ) != wanted.split() or not words:
            raise ValueError(
                f"expected {wanted!r} at {start} to {end - 1} of the .sgm, found {' '.join(words)!r}"
            )
    first, last = (
        bisect_right(ends, place)
        for place in (min(places)[0], max(end for _, end, _ in places) - 1)
    )
    text, begin = raw[ends[first - 1] : ends[last]], ends[first - 1]
    spans = [tuple(len(html.unescape(raw[begin:place])) for place in span) for *span, _ in places]
    yield html.unescape(text).rstrip().replace("\n", " "), spans, name, last + 1 - first


def dygie(line: str) -> Iterator[tuple]:
    """The same of all relations of a document."""
    record = load_json(line)
    sentences, ends = record["sentences"], [*accumulate(map(len, record["sentences"]))]
    for *places, name in (one[:5] for one in chain(*record["relations"])):
        first, last = bisect_right(ends, min(places)), bisect_right(ends, max(places))
        start, end, other, final = (
            position - ends[first] + len(sentences[first]) for position in places
        )
        words = [*chain(*map(list.copy, sentences[first : last + 1]))]
        yield words, [(start, end + 1), (other, final + 1)], name, last + 1 - first


def oneie(line: str) -> Iterator[tuple]:
    """The same of the relations of a sentence, whose arguments name entities."""
    record = load_json(line)
    entities = {one["id"]: (one["start"], one["end"]) for one in record["entity_mentions"]}
    for one in record["relation_mentions"]:
        roles = {argument["role"]: entities[argument["entity_id"]] for argument in one["arguments"]}
        yield (
            record["tokens"],
            [roles["Arg-1"], roles["Arg-2"]],
            one.get("relation_subtype") or one["relation_type"],
            1,
        )
