"""ACE 2005 relations: LDC2006T06 (.sgm with .apf.xml), DyGIE++ and OneIE JSON lines.

LDC: offsets count the characters of the sgm without its `<...>` tags, line feeds and raw `&amp;` too; END
is inclusive. Arguments are the heads of mentions, as in all public relation sets, unless the option
`argument` is "extent". Only `timex2norm` is read where all four stages lie; there are no official parts.
Ours: a sentence ends at a blank line, or at `.!?` before a capital; sentences between two arguments are
joined. DyGIE++ counts tokens through the document, ends inclusive; OneIE in the sentence, ends exclusive.
Labels are the 18 sub-types by bare name; METONYMY has none, and files without sub-types give the 7 types
(all unknown to the split). Arguments that overlap are counted and left out, since marks cannot nest.
"""

import html
import re
from bisect import bisect_right
from itertools import accumulate, chain

from defusedxml import ElementTree

from conpet_lib.corpora.reading import Sink, overlap

SENTENCE_END = re.compile(r"\n\s*\n|(?<=[.!?])[\"')]*\s+(?=[A-Z\"'(])")
MENTION = "Arg-1 and Arg-2 that are entity mentions, their words at their places in the .sgm"
DOCUMENT = 'a document as {"doc_key": "D", "sentences": [["Korr", "left"]], "relations": [[[0, 0, 1, 1, "PHYS.Near"]]]}'
SENTENCE = ('a sentence as {"sent_id", "tokens", "entity_mentions": [{"id", "start", "end"}], "relation_mentions": '
            '[{"relation_subtype", "arguments": [{"role": "Arg-1", "entity_id"}, ...]}]}')


def take(sink: Sink, key: str, words: list[str] | str, spans: list[tuple[int, int]], label: str, where: str,
         joined: bool = False) -> None:
    """Take a relation whose arguments do not overlap; `joined`: they stand in two sentences."""
    if overlap(spans) or not label:
        return sink.skip("head and tail overlap" if label else "no sub-type (METONYMY)", where)
    sink.report.merged["sentences between two arguments, joined"] += joined
    sink.add(key, words, spans, re.split("[.:]", label)[-1], where)


def ldc(sink: Sink) -> None:
    """The relation mentions of one document; the text is the sentences from the one argument to the other."""
    with sink.guard("", "XML without entities of its own, the .sgm of the same name beside it"):
        try:
            document = ElementTree.fromstring(sink.data())
        except ElementTree.ParseError as error:              # a SyntaxError, so no guard knows it
            raise ValueError(error) from None
        raw = re.sub(r"<[^<>]+>", "", sink.text(sink.file.removesuffix(".apf.xml") + ".sgm"))
        borders = [0, *(match.end() for match in SENTENCE_END.finditer(raw)), len(raw)]
        raw, mentions = raw.replace("\n", " "), {one.get("ID"): one for one in document.iter("entity_mention")}
        relations = [(one, found) for one in document.iter("relation") for found in one.iter("relation_mention")]
        for relation, found in relations:
            where = f"mention {found.get('ID')}"
            with sink.guard(where, MENTION):
                roles = {one.get("ROLE"): one.get("REFID") for one in found.iter("relation_mention_argument")}
                spans = [characters(sink, mentions[roles[role]], raw) for role in ("Arg-1", "Arg-2")]
                low, high = min(spans)[0], max(end for _, end in spans)
                begin, after = borders[bisect_right(borders, low) - 1], borders[bisect_right(borders, high - 1)]
                placed = [tuple(len(html.unescape(raw[begin:place])) for place in span) for span in spans]
                take(sink, found.get("ID"), html.unescape(raw[begin:after]).rstrip(), placed, relation.get("SUBTYPE"),
                     where, any(low < border < high for border in borders))


def characters(sink: Sink, mention: ElementTree, raw: str) -> tuple[int, int]:
    """Span of a mention in the text without tags, end exclusive, checked against the words that the file gives."""
    place = mention.find(f"{sink.options['argument']}/charseq")
    start, end = int(place.get("START")), int(place.get("END")) + 1
    words, found = place.text.split(), html.unescape(raw[max(0, start):end]).split()
    if words != found or not words:
        raise ValueError(f"{mention.get('ID')}: {' '.join(found)!r} at {start} to {end - 1}, not {' '.join(words)!r}")
    return start, end


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
                        tokens = list(chain(*map(list.copy, sentences[first:last + 1])))
                        spans = [(start - base, end + 1 - base) for start, end in (places[:2], places[2:])]
                        take(sink, f"{record['doc_key']}:{number}:{place}", tokens, spans, label, here, last > first)


def oneie(sink: Sink) -> None:
    """A sentence a line; arguments refer to entities by id."""
    for where, record in sink.records():
        with sink.guard(where, SENTENCE):
            entities = {one["id"]: (one["start"], one["end"]) for one in record["entity_mentions"]}
            for place, one in enumerate(record["relation_mentions"]):
                with sink.guard(f"{where}, relation {place}", SENTENCE):
                    roles = {argument["role"]: entities[argument["entity_id"]] for argument in one["arguments"]}
                    label, spans = one.get("relation_subtype") or one["relation_type"], [roles["Arg-1"], roles["Arg-2"]]
                    take(sink, f"{record['sent_id']}:{place}", list.copy(record["tokens"]), spans, label,
                         f"{where}, relation {place}")


READERS = {"LDC2006T06, .apf.xml beside .sgm": ldc, "DyGIE++ JSON lines": dygie, "OneIE JSON lines": oneie}
