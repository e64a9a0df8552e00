"""TACRED (LDC2018T24) as JSON or CoNLL, and its patches; head is the subject, tail the object.

JSON: an array of records; ends are inclusive in the LDC's files and exclusive in a common copy that looks
alike, so a file is looked over: a span of equal ends says inclusive, an end at the number of tokens
exclusive; both or neither: the option `ends` must say. CoNLL: `# id=... reln=...`, then a token a line.
Patches (option `patch`): Re-TACRED maps the id of every record that stays to its label, so an absent id is
dropped; TACREV lists changed records only, so an absent id keeps its label. `no_relation` is left out.
"""

import re
from pathlib import Path

from conpet_lib.corpora.reading import Sink, find_files
from conpet_lib.errors import ConpetError

BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}", "``": '"', "''": '"'}
RECORD = 'a record as {"id": "e77", "token": [...], "relation": "per:title", "subj_start": 0, "subj_end": 1, ...}'
ENDS = ("subj_start", "subj_end", "obj_start", "obj_end")


def read_patch(path: str | Path) -> tuple[str, dict[str, str]]:
    """The kind of a patch, told by content, and its label of each id."""
    sink, kinds, labels = Sink("tacred", {}), set(), {}
    sink.files = find_files(Path(path), sink.report)
    for sink.file in sink.files:
        if sink.file.endswith(".json"):
            with sink.guard("", "{id: label} of Re-TACRED or [{id, relation}] of TACREV"):
                found = sink.json(sink.text())
                kinds.add("TACREV" if isinstance(found, list) else "Re-TACRED")
                labels |= {one["id"]: one["relation"] for one in found} if isinstance(found, list) else dict(found.items())
    if sink.faults or len(kinds) != 1 or any(type(label) is not str for label in labels.values()):
        raise ConpetError(f"patch={str(path)!r}: expected the *_id2label.json of Re-TACRED or the *_patch.json of TACREV, "
                          f"a file or their folder; found {sorted(kinds) or 'none'}. {dict(sink.faults) or ''}")
    return kinds.pop(), labels


def array(sink: Sink) -> None:
    """JSON records."""
    records = []
    for place, one in enumerate(sink.json(sink.text()) or ()):
        with sink.guard(f"record {place}", RECORD):
            records.append((one["id"], one.get("token") or one["tokens"], one["relation"], *(int(one[end]) for end in ENDS)))
    equal = any(one[3] == one[4] or one[5] == one[6] for one in records)
    after = any(len(one[1]) in (one[4], one[6]) for one in records)
    if sink.options["ends"] not in ("inclusive", "exclusive") and equal == after:
        sink.fault("", "signs of inclusive or of exclusive ends; say ends='inclusive' or ends='exclusive'",
                   "signs of both" if equal else "no sign")
    take(sink, records, inclusive=equal if sink.options["ends"] is None else sink.options["ends"] == "inclusive")


def conll(sink: Sink) -> None:
    """CoNLL records; only lines that begin with `# id=` open one, since a token may be `#`."""
    records = []
    for number, line in sink.lines():
        if line.startswith("# id="):
            named = re.match(r"# id=(\S+) .*\breln=(\S+)", line) or ["", f"at line {number}", ""]
            records.append((named[1], [], named[2], [], []))
        elif line and not line.startswith("# index\t"):
            with sink.guard(f"line {number}", "the next token: index, token, subj, subj_type, obj, ... with TABs between"):
                (_, tokens, _, *marks), (index, token, subject, _, item, *_) = records[-1], line.split("\t")
                if int(index) != len(tokens) + 1:
                    raise ValueError(f"index {index}, not {len(tokens) + 1}")
                for places, mark in zip(marks, (subject, item)):
                    places += [len(tokens)] * (mark != "_")
                tokens.append(token)
    whole = []
    for name, tokens, relation, *marks in records:
        with sink.guard(f"record {name}", "one run of SUBJECT and one of OBJECT"):
            if any(places != list(range(places[0], places[-1] + 1)) for places in marks):
                raise ValueError(f"tokens {marks}")
            whole.append((name, tokens, relation, *(end for places in marks for end in (places[0], places[-1]))))
    take(sink, whole, inclusive=True)


def take(sink: Sink, records: list[tuple], inclusive: bool) -> None:
    """One example a record."""
    kind, labels = sink.options["patch"] or ("", {})
    if kind == "Re-TACRED" and records and not any(record[0] in labels for record in records):
        sink.fault("", "a patch with ids of this file; Re-TACRED has one for each part", "none")
    for name, tokens, relation, *ends in records:
        where = f"record {name}"
        with sink.guard(where, RECORD):
            label = labels.get(name, "" if kind == "Re-TACRED" else relation)
            sink.report.merged[f"labels changed by {kind}"] += label not in (relation, "")
            tokens = [BRACKETS.get(token, token) for token in tokens] if sink.options["brackets"] else tokens
            if label == "no_relation" or not label and kind == "Re-TACRED":
                sink.skip(label or "absent from Re-TACRED", where)
            else:
                sink.add_tokens(name, tokens, [(ends[0], ends[1] + inclusive), (ends[2], ends[3] + inclusive)], label, where)


READERS = {"TACRED JSON": array, "TACRED CoNLL": conll}
