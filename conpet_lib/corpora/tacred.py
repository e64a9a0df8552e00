"""TACRED as JSON, an array of `{"id", "token": [...], "relation": "per:title", "subj_start": 0, ...}`, or as CoNLL.
JSON's ends are inclusive in the official files, exclusive in copies from a hub: a span of one place tells the first, an
end behind the last token the second; a file with both or neither is refused. CoNLL: `# id=... reln=...`, then a
token a line. `no_relation` is left out; brackets such as `-LRB-` become the signs they stand for. `patch`: Re-TACRED
has the label of every record that stays, so an absent id is left out; TACREV has changed records only."""

import re
from pathlib import Path

from conpet_lib.core.errors import ConpetError
from conpet_lib.corpora.example import Example, ReadReport
from conpet_lib.corpora.reader import FAULTS, PARTS, Found
from conpet_lib.corpora.text import joined, load_json, text_of

BRACKETS = {
    "-LRB-": "(",
    "-RRB-": ")",
    "-LSB-": "[",
    "-RSB-": "]",
    "-LCB-": "{",
    "-RCB-": "}",
    "``": '"',
    "''": '"',
}


SIDES, ABSENT = ("subj", "obj"), "absent from the patch"


def read_file(file: Path, report: ReadReport, patch: dict[str, str] | None) -> Found:
    """The example of each record with a relation, or what is wrong with it; the group of `per:title` is `per`."""
    text, patch = text_of(file), patch or {}
    conll = text.startswith(("# id=", "# index"))
    records = re.split(r"(?m)^(?=# id=)", text)[1:] if conll else load_json(text)
    places = [
        (one.get(f"{side}_start"), one.get(f"{side}_end"), len(tokens))
        for one in records
        for side in SIDES
        if isinstance(one, dict)
        and isinstance(tokens := one.get("token") or one.get("tokens"), list)
    ]
    inclusive, exclusive = (
        conll or any(one[place] == one[1] for one in places) for place in (0, 2)
    )
    if not conll and inclusive == exclusive:
        raise ValueError(
            "expected an array of records with signs of inclusive ends or of exclusive ones, not of both"
        )
    for place, one in enumerate(records):
        try:
            one = parsed(one) if conll else one
            label = patch.get(one["id"], patch.get("", one["relation"]))
            if label in ("no_relation", ABSENT):
                report.skipped[label] += 1
                continue
            report.merged["labels changed by the patch"] += label != one["relation"]
            tokens = [
                BRACKETS.get(token, token) for token in list.copy(one.get("token") or one["tokens"])
            ]
            text, spans = joined(
                tokens, [(one[f"{side}_start"], one[f"{side}_end"] + inclusive) for side in SIDES]
            )
            yield Example(
                str(one["id"]),
                text,
                spans,
                label,
                PARTS.get(file.stem),
                f"{file.name}, record {place}",
                group=label.split(":")[0],
            )
        except FAULTS as error:
            yield f"record {place}: {type(error).__name__} {error}"


def parsed(block: str) -> dict:
    """A record of CoNLL as one of JSON; only `# id=` opens one, since a token may be `#`."""
    head, *rows = (line.split("\t") for line in block.rstrip("\n").split("\n"))
    found = {
        name: re.search(rf"\b{field}=(\S+)", head[0])[1]
        for name, field in (("id", "id"), ("relation", "reln"))
    }
    for side, column, mark in zip(SIDES, (2, 4), ("SUBJECT", "OBJECT")):
        places = [place for place, row in enumerate(rows) if row[column] != "_"]
        if places != [*range(places[0], places[-1] + 1)] or {row[column] for row in rows} - {
            "_",
            mark,
        }:
            raise ValueError(f"the tokens marked {mark} are not a run, or are marked otherwise")
        found |= {f"{side}_start": places[0], f"{side}_end": places[-1]}
    return found | {"token": [row[1] for row in rows]}


def read_patch(path: str | Path) -> dict[str, str]:
    """The label of each id in a patch, a file or a folder; the key "" says that absent ids are left out."""
    labels, path = {}, Path(path)
    try:
        for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            found = load_json(text_of(file))
            found = (
                {one["id"]: one["relation"] for one in found}
                if isinstance(found, list)
                else found | {"": ABSENT}
            )
            if (
                {type(label) for label in found.values()} != {str}
                or labels
                and ("" in found) != ("" in labels)
            ):
                raise ValueError("ids without a label, or patches of two kinds")
            labels |= found
        return labels or {}[str(path)]
    except FAULTS as error:
        raise ConpetError(
            f"patch={str(path)!r}: expected *_id2label.json of Re-TACRED, {{id: label}}, or *_patch.json "
            f"of TACREV, [{{id, relation}}], a file or a folder of them; found {error!r}."
        ) from None
