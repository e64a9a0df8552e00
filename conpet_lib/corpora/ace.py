"""ACE 2005 relations as DyGIE++ writes them, in JSON lines; labels are sub-types such as `Employment`.
A document a line: `{"sentences": [[token, ...], ...], "relations": [[[start, end, start, end, "PHYS.Near"], ...]]}`;
positions go through the document, ends are inclusive. A text is the sentences from that of one argument to that of the
other. Left out and counted: arguments that overlap, since marks cannot nest, and relations without a sub-type."""

import json
from bisect import bisect_right
from itertools import accumulate, chain
from pathlib import Path

from conpet_lib.corpora.example import FAULTS, PARTS, Example, Found, ReadReport, joined


def read_file(file: Path, report: ReadReport) -> Found:
    """The example of each relation, or what is wrong with its line; the group is the type."""
    for number, line in filter(lambda one: one[1], enumerate(file.read_text(encoding="utf-8-sig").split("\n"), 1)):
        try:
            document = json.loads(line)
            sentences, ends = document["sentences"], [*accumulate(map(len, document["sentences"]))]
            for place, (*places, name) in enumerate(one[:5] for one in chain(*document["relations"])):
                first, last = bisect_right(ends, min(places)), bisect_right(ends, max(places))
                start, end, *other = (position - ends[first] + len(sentences[first]) for position in places)
                runs = [[*range(start, end + 1)], [*range(other[0], other[1] + 1)]]
                kind, _, label = name.rpartition(".")
                if set(runs[0]) & set(runs[1]) or label.isupper():              # a bare type, such as PHYS
                    report.skipped["no sub-type" if label.isupper() else "head and tail overlap"] += 1
                    continue
                text, spans = joined([*chain(*sentences[first:last + 1])], runs)
                yield Example(key=f"{file.stem}:{number}:{place}", text=text, spans=spans, label=label, group=kind,
                              part=PARTS.get(file.stem), source=f"{file.name}, line {number}")
        except FAULTS as error:
            yield f"line {number}: {type(error).__name__} {error}"
