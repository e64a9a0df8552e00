"""TACRED in its official JSON: an array of `{"id", "token": [...], "relation": "per:title", "subj_start": 0, ...}`.
Ends are inclusive in the official files, exclusive in copies from a hub: a span of one place tells the first, an end
behind the last token the second. `no_relation` is left out; brackets such as `-LRB-` become the signs they stand for.
"""

import json
from pathlib import Path

from conpet_lib.corpora.example import FAULTS, PARTS, Example, Found, ReadReport, joined

BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}", "``": '"', "''": '"'}
SIDES = "subj", "obj"


def read_file(file: Path, report: ReadReport) -> Found:
    """The example of each record with a relation, or what is wrong with it; the group of `per:title` is `per`."""
    records = json.loads(file.read_text(encoding="utf-8-sig"))
    whole = [one for one in records if isinstance(one, dict) and isinstance(one.get("token"), list)]
    ends = [(one.get(f"{side}_start"), one.get(f"{side}_end"), len(one["token"])) for one in whole for side in SIDES]
    inclusive = any(start == end for start, end, _ in ends)
    if inclusive == any(end == count for _, end, count in ends):
        raise ValueError("expected an array of records with signs of inclusive ends or of exclusive ones, not of both")
    for place, one in enumerate(records):
        try:
            if (label := one["relation"]) == "no_relation":
                report.skipped[label] += 1
                continue
            runs = [list(range(one[f"{side}_start"], one[f"{side}_end"] + inclusive)) for side in SIDES]
            text, spans = joined([BRACKETS.get(token, token) for token in one["token"]], runs)
            yield Example(key=one["id"], text=text, spans=spans, label=label, group=label.split(":")[0],
                          part=PARTS.get(file.stem), source=f"{file.name}, record {place}")
        except FAULTS as error:
            yield f"record {place}: {type(error).__name__} {error}"
