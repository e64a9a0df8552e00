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
TOKEN = "the next token: index, token, subj, subj_type, obj, ... with TABs between"


def read_patch(path: str | Path) -> tuple[str, dict[str, str]]:
    """The kind of a patch, told by content, and its label of each id."""
    sink, kinds, labels = Sink("tacred", {}), set(), {}
    sink.files = files = find_files(Path(path), sink.report)
    for sink.file in files:
        with sink.guard("", "{id: label} of Re-TACRED or [{id, relation}] of TACREV"):
            found = sink.json(sink.text())
            kinds.add("TACREV" if isinstance(found, list) else "Re-TACRED")
            labels |= {one["id"]: one["relation"] for one in found} if isinstance(found, list) else found
    if sink.faults or len(kinds) != 1 or {type(label) for label in labels.values()} != {str}:
        raise ConpetError(f"patch={str(path)!r}: expected *_id2label.json of Re-TACRED or *_patch.json of TACREV, one "
                          f"file or a folder of them alone; found {sorted(kinds) or 'none'}. {dict(sink.faults) or ''}")
    return kinds.pop(), labels


def array(sink: Sink) -> None:
    """JSON records."""
    records, ends = [], sink.options["ends"]
    for place, one in enumerate(sink.json(sink.text()) or ()):
        with sink.guard(f"record {place}", RECORD):
            spans = [(one[f"{side}_start"], one[f"{side}_end"] + 0) for side in ("subj", "obj")]
            records.append((one["id"], list.copy(one.get("token") or one["tokens"]), one["relation"], *spans))
    equal = any(start == end for *_, subject, item in records for start, end in (subject, item))
    if ends is None and equal == any(len(tokens) in (subject[1], item[1]) for _, tokens, _, subject, item in records):
        sink.fault("", "signs of inclusive or of exclusive ends; say ends='inclusive' or ends='exclusive'",
                   "signs of both" if equal else "no sign")
    take(sink, records, inclusive=ends == "inclusive" or ends is None and equal)


def conll(sink: Sink) -> None:
    """CoNLL records; only lines that begin with `# id=` open one, since a token may be `#`."""
    records = []
    for number, line in sink.lines():
        if line.startswith("# id="):
            named = re.match(r"# id=(\S+) .*\breln=(\S+)", line) or ["", f"at line {number}", ""]
            records.append((named[1], [], named[2], [], []))
        elif line and not line.startswith("# index\t"):
            with sink.guard(f"line {number}", TOKEN):
                (_, tokens, _, *runs), (index, token, subject, _, item, *_) = records[-1], line.split("\t")
                for run, mark in zip(runs, (subject, item)):
                    run += [len(tokens)] * (mark != "_")
                    if int(index) != len(tokens) + 1 or run and run[-1] - run[0] >= len(run):
                        raise ValueError(f"index {index}, not {len(tokens) + 1}, or a mark behind a gap")
                tokens.append(token)
    take(sink, records, inclusive=True)


def take(sink: Sink, records: list[tuple], inclusive: bool) -> None:
    """One example a record."""
    kind, labels = sink.options["patch"] or ("", {})
    if kind == "Re-TACRED" and not any(record[0] in labels for record in records):
        sink.fault("", "a patch with ids of this file; Re-TACRED has one for each part", "none")
    for name, tokens, relation, *runs in records:
        with sink.guard(f"record {name}", RECORD):
            label = labels.get(name, "absent from Re-TACRED" if kind == "Re-TACRED" else relation)
            tokens = [BRACKETS.get(token, token) for token in tokens] if sink.options["brackets"] else tokens
            spans = [(run[0], run[-1] + inclusive) for run in runs]
            if label in ("no_relation", "absent from Re-TACRED"):
                sink.skip(label, f"record {name}")
            else:
                sink.report.merged[f"labels changed by {kind}"] += label != relation
                sink.add(name, tokens, spans, label, f"record {name}")


READERS = {"TACRED JSON": array, "TACRED CoNLL": conll}
