"""ACE 2005 relations: LDC2006T06 (.sgm with .apf.xml), DyGIE++ and OneIE JSON lines.

LDC: offsets count the characters of the sgm without its `<...>` tags, line feeds and raw `&amp;` too; END
is inclusive. Arguments are the heads of mentions, as in all public relation sets, unless the option
`argument` is "extent". Only `timex2norm` is read where all four stages lie; there are no official parts.
Ours: a sentence ends at a blank line, or at `.!?` before a capital; sentences between two arguments are
joined. DyGIE++ counts tokens through the document, ends inclusive; OneIE in the sentence, ends exclusive.
Labels are the 18 sub-types by bare name; METONYMY has none, and files without sub-types give the 7 types
(so all are unknown to the split). Exact repeats are made one; arguments that overlap are counted and left
out, since marks cannot nest.
"""

import html
import re
from bisect import bisect_right
from itertools import accumulate, chain

from defusedxml import ElementTree

from conpet_lib.corpora.reading import Sink, overlap

SENTENCE_END = re.compile(r"\n\s*\n|(?<=[.!?])[\"')]*\s+(?=[A-Z\"'(])")
DOCUMENT = 'a document as {"doc_key": "D", "sentences": [["Korr", "left"]], "relations": [[[0, 0, 1, 1, "PHYS"]]]}'
SENTENCE = 'a sentence as {"sent_id", "tokens", "entity_mentions": [{"id", "start", "end"}], "relation_mentions": [...]}'
JOINED = "sentences between two arguments, joined"


def apart(sink: Sink, spans: list[tuple[int, int]], where: str) -> bool:
    """Whether head and tail do not overlap; counted if they do."""
    if overlap(spans):
        sink.skip("head and tail overlap", where)
    return not overlap(spans)


def ldc(sink: Sink) -> None:
    """The relation mentions of one document."""
    with sink.guard("", "XML without entities of its own, the .sgm of the same name beside it"):
        try:
            document = ElementTree.fromstring(sink.data())
        except ElementTree.ParseError as error:              # a SyntaxError, so no guard knows it
            raise ValueError(error) from None
        raw = re.sub(r"<[^<>]+>", "", sink.text(sink.beside() or {}["no .sgm"]))
        borders = [0, *(match.end() for match in SENTENCE_END.finditer(raw)), len(raw)]
        mentions = {mention.get("ID"): mention for mention in document.iter("entity_mention")}
        for relation in document.iter("relation"):
            for found in relation.iter("relation_mention"):
                where = f"mention {found.get('ID')}"
                with sink.guard(where, "Arg-1 and Arg-2 that are entity mentions, their words at their places in the .sgm"):
                    roles = {one.get("ROLE"): one.get("REFID") for one in found.iter("relation_mention_argument")}
                    spans = [characters(sink, mentions[roles[role]], raw) for role in ("Arg-1", "Arg-2")]
                    if not relation.get("SUBTYPE"):
                        sink.skip(f"{relation.get('TYPE')} has no sub-type", where)
                    elif apart(sink, spans, where):
                        window(sink, found.get("ID"), raw, borders, spans, relation.get("SUBTYPE"), where)


def characters(sink: Sink, mention: ElementTree, raw: str) -> tuple[int, int]:
    """Span of a mention in the text without tags, end exclusive, checked against the words that the file gives."""
    place = mention.find(f"{sink.options['argument']}/charseq")
    start, end = int(place.get("START")), int(place.get("END")) + 1
    words, found = flat(place.text).strip(), flat(raw[max(0, start):end]).strip()
    if words != found or not words:
        raise ValueError(f"{mention.get('ID')}: {found!r} at {start} to {end - 1}, not {words!r}")
    return start, end


def flat(text: str) -> str:
    """Raw text as it reads: entities resolved, white space made one blank."""
    return re.sub(r"\s+", " ", html.unescape(text))


def window(sink: Sink, key: str, raw: str, borders: list[int], spans: list[tuple[int, int]], label: str,
           where: str) -> None:
    """Take a relation in the sentence of its arguments, or in the sentences from the one to the other."""
    (start, middle), (other, end) = sorted(spans)
    begin, after = borders[bisect_right(borders, start) - 1], borders[bisect_right(borders, end - 1)]
    sink.report.merged[JOINED] += any(middle <= border <= other for border in borders)
    cuts = [begin, start, middle, other, end, after]
    pieces = [flat(raw[low:high]) for low, high in zip(cuts, cuts[1:])]
    pieces[0], pieces[-1] = pieces[0].lstrip(), pieces[-1].rstrip()
    ends = list(accumulate(map(len, pieces)))
    placed = [(ends[0], ends[1]), (ends[2], ends[3])]
    sink.add(key, "".join(pieces), placed if spans[0] < spans[1] else placed[::-1], label, where)


def dygie(sink: Sink) -> None:
    """A document a line. A relation's text is the sentences from that of one argument to that of the other."""
    for where, record in sink.records():
        with sink.guard(where, DOCUMENT):
            sentences, ends = record["sentences"], list(accumulate(map(len, record["sentences"])))
            for number, rows in enumerate(record["relations"]):
                for place, row in enumerate(rows):
                    here = f"{where}, sentence {number}, relation {place}"
                    with sink.guard(here, "[start, end, start, end, label] with positions in the document"):
                        *places, label = row[:5]
                        first, last = bisect_right(ends, min(places)), bisect_right(ends, max(places))
                        base = ends[first] - len(sentences[first])
                        tokens = sentences[first] if first == last else list(chain(*sentences[first:last + 1]))
                        spans = [(places[side] - base, places[side + 1] + 1 - base) for side in (0, 2)]
                        sink.report.merged[JOINED] += last > first
                        if apart(sink, spans, here):
                            sink.add_tokens(f"{record['doc_key']}:{number}:{place}", tokens, spans, label.split(".")[-1], here)


def oneie(sink: Sink) -> None:
    """A sentence a line; arguments refer to entities by id."""
    for where, record in sink.records():
        with sink.guard(where, SENTENCE):
            entities = {one["id"]: (one["start"], one["end"]) for one in record["entity_mentions"]}
            for place, one in enumerate(record["relation_mentions"]):
                here = f"{where}, relation {place}"
                with sink.guard(here, 'a relation as {"relation_subtype", "arguments": [{"role": "Arg-1", "entity_id"}, ...]}'):
                    roles = {argument["role"]: entities[argument["entity_id"]] for argument in one["arguments"]}
                    label, spans = one.get("relation_subtype") or one["relation_type"], [roles["Arg-1"], roles["Arg-2"]]
                    if apart(sink, spans, here):
                        sink.add_tokens(f"{record['sent_id']}:{place}", record["tokens"], spans, label.split(":")[-1], here)


READERS = {"LDC2006T06, .apf.xml beside .sgm": ldc, "DyGIE++ JSON lines": dygie, "OneIE JSON lines": oneie}
