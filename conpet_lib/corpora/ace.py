"""ACE 2005 relations as DyGIE++ or OneIE write them, in JSON lines; labels are sub-types such as `Employment`.

DyGIE++: a document a line, positions through the document, ends inclusive: `{"sentences": [[token, ...], ...],
"relations": [[[start, end, start, end, "PHYS.Near"], ...], ...]}`. OneIE: a sentence a line, ends exclusive; arguments
are entities. A text is the sentences from that of one argument to that of the other. Left out, counted: arguments that
overlap, since marks cannot nest, and relations without a sub-type.
"""

import json
from bisect import bisect_right
from itertools import accumulate, chain
from pathlib import Path

from conpet_lib.corpora.example import PARTS, Example, Found, ReadReport, joined


def read_file(file: Path, report: ReadReport) -> Found:
    """The example of each relation, or what is wrong with its line."""
    for number, line in enumerate(filter(None, file.read_text(encoding="utf-8-sig").split("\n")), 1):
        try:
            record = json.loads(line)
            for place, (tokens, spans, label) in enumerate((relations if "sentences" in record else arguments)(record)):
                runs, (kind, _, below) = [list(range(*span)) for span in spans], label.replace(":", ".").partition(".")
                if set(runs[0]) & set(runs[1]) or not below:
                    report.skipped["head and tail overlap" if below else "no sub-type"] += 1
                    continue
                text, spans = joined(tokens, runs)
                yield Example(key=f"{file.stem}:{number}:{place}", text=text, spans=spans, label=below, group=kind,
                              part=PARTS.get(file.name.split(".")[0]), source=f"{file.name}, line {number}")
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            yield f"line {number}: {type(error).__name__} {error}"


def relations(document: dict) -> list[tuple]:
    """Of DyGIE++: tokens, spans in them (ends exclusive) and label of each relation."""
    sentences, ends, found = document["sentences"], [*accumulate(map(len, document["sentences"]))], []
    for *places, label in (one[:5] for one in chain(*document["relations"])):
        first, last = bisect_right(ends, min(places)), bisect_right(ends, max(places))
        before = ends[first] - len(sentences[first])
        start, end, other_start, other_end = (place - before for place in places)
        spans = (start, end + 1), (other_start, other_end + 1)
        found.append(([*chain(*sentences[first:last + 1])], spans, label))
    return found


def arguments(sentence: dict) -> list[tuple]:
    """The same of OneIE."""
    places, found = {one["id"]: (one["start"], one["end"]) for one in sentence["entity_mentions"]}, []
    for one in sentence["relation_mentions"]:
        roles = {part["role"]: places[part["entity_id"]] for part in one["arguments"]}
        found.append((sentence["tokens"], (roles["Arg-1"], roles["Arg-2"]), one.get("relation_subtype") or ""))
    return found
