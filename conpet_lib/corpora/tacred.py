"""TACRED: newswire sentences with one of 41 relations between subject and object.

Layouts: JSON, an array of `{"id", "token": [...], "relation": "per:title", "subj_start": 0, ...}`,
or CoNLL, `# id=... reln=...` and then a token on each line. JSON's ends are inclusive in the
official files and exclusive in copies from a hub: a span of one place tells the first, an end
behind the last token the second, and a file with both or neither is refused. `no_relation` is left
out; brackets such as `-LRB-` become the signs for which they stand. Option `patch`: Re-TACRED has
the label of every record that stays, so an absent id is left out; TACREV has changed records only.
May import `reader`, `text`, `example` and `core`. Start at `read_file`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import user_path
from conpet_lib.corpora.example import Example, ReadReport, Span
from conpet_lib.corpora.reader import (
    FAULTS,
    PARTS,
    Fault,
    Found,
    Layout,
    Reader,
    fault_text,
    record_by_record,
)
from conpet_lib.corpora.text import checked, field_of, joined, load_json, shown, text_of, texts

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
SIDES = ("subj", "obj")
COLUMN_OF = {"subj": (2, "SUBJECT"), "obj": (4, "OBJECT")}  # of CoNLL: its column and its mark
COLUMNS = 5  # of a token of CoNLL, up to the object's; what follows is not used
NEGATIVE = "no_relation"
ABSENT = "absent from the patch"
OTHERS = ""  # the key of a patch under which the label of all ids stands that it does not have

Patch = dict[str, str]  # id -> label


def _conll_place(rows: list[list[str]], side: str) -> Span:
    """First and last token of subject or object, both inclusive."""
    column, mark = COLUMN_OF[side]
    places = [place for place, row in enumerate(rows) if row[column] != "_"]
    marks = {rows[place][column] for place in places}
    is_run = len(places) > 0 and places == list(range(places[0], places[-1] + 1))
    if not is_run or marks != {mark}:
        raise Fault(f"the tokens marked {mark} are not a run, or are marked otherwise")
    return places[0], places[-1]


def _check_numbers(numbers: list[str]) -> None:
    """Refuse tokens that are not numbered one after another, because a line of them is lost."""
    if numbers != [str(number) for number in range(1, len(numbers) + 1)]:
        raise Fault(f"the tokens are not numbered from 1 to {len(numbers)}: {shown(numbers)}")


def _from_conll(block: str) -> dict[str, object]:
    """A record of CoNLL as one of JSON with inclusive ends."""
    head, *lines = block.rstrip("\n").split("\n")
    record: dict[str, object] = {}
    for name, mark in (("id", "id"), ("relation", "reln")):
        match = re.search(rf"\b{mark}=(\S+)", head.split("\t")[0])
        if match is None:
            raise Fault(f"expected # id=... reln=..., found {shown(head)} without {mark}=")
        record[name] = match[1]
    rows = [line.split("\t") for line in lines]
    for row in rows:
        if len(row) < COLUMNS:
            raise Fault(f"expected {COLUMNS} columns or more on the line of a token, found {row}")
    for side in SIDES:
        record[f"{side}_start"], record[f"{side}_end"] = _conll_place(rows, side)
    _check_numbers([row[0] for row in rows])
    record["token"] = [row[1] for row in rows]
    return record


def _tokens(record: dict[str, object]) -> object:
    """The tokens of a record of JSON, which some copies call otherwise."""
    return record.get("token", record.get("tokens"))


def _signs_of_ends(records: list[object]) -> tuple[bool, bool]:
    """Whether there are signs of inclusive ends, and of exclusive ones."""
    inclusive = False
    exclusive = False
    for record in records:
        if not isinstance(record, dict):
            continue  # a fault that is told when the record is read
        tokens = _tokens(record)
        if not isinstance(tokens, list):
            continue
        for side in SIDES:
            start = record.get(f"{side}_start")
            end = record.get(f"{side}_end")
            inclusive |= isinstance(start, int) and start == end
            exclusive |= end == len(tokens)
    return inclusive, exclusive


def _json_records(text: str) -> tuple[list[object], int]:
    """The records of a file of JSON, and what makes their ends exclusive: 1 more, or 0."""
    records = load_json(text)
    if isinstance(records, list):
        inclusive, exclusive = _signs_of_ends(records)
        if inclusive != exclusive:
            return records, 1 if inclusive else 0
    raise Fault(
        "expected an array of records with signs of inclusive ends or of exclusive ones, "
        "not of both"
    )


def _identity(record: object) -> str:
    """The id of a record, which a copy may have as a number."""
    if isinstance(record, dict) and type(record.get("id")) is int:
        return str(record["id"])
    return field_of(record, "id", str)


def _example(
    file: Path, where: str, record: object, label: str, to_exclusive: int
) -> Iterator[Example]:
    """The example of one record."""
    spans = []
    for side in SIDES:
        start = field_of(record, f"{side}_start", int)
        end = field_of(record, f"{side}_end", int)
        spans.append((start, end + to_exclusive))
    tokens = texts(_tokens(checked(record, dict, "the record")), "the field 'token'")
    text, places = joined([BRACKETS.get(token, token) for token in tokens], spans)
    yield Example(
        key=_identity(record),
        text=text,
        spans=places,
        label=label,
        part=PARTS.get(file.stem),
        source=f"{file.name}, {where}",
        group=label.split(":")[0],
    )


def read_file(file: Path, report: ReadReport, patch: Patch | None = None) -> Found:
    """One example for each record with a relation.

    Args:
        file: One part of the corpus, in one of the two layouts.
        report: Gets the number of records that are left out, and of labels that are changed.
        patch: What `read_patch` gave.

    Returns:
        Examples, whose group is `per` for `per:title`, and a text for each faulty record.
    """
    text = text_of(file)
    labels = patch or {}
    is_conll = text.startswith(("# id=", "# index"))
    if is_conll:
        # Only `# id=` opens a record, because a token may be `#`.
        records: list[object] = list(re.split(r"(?m)^(?=# id=)", text)[1:])
        to_exclusive = 1
    else:
        records, to_exclusive = _json_records(text)

    def read_record(where: str, record: object) -> Iterator[Example]:
        if is_conll:
            record = _from_conll(str(record))
        relation = field_of(record, "relation", str).strip()
        label = labels.get(_identity(record), labels.get(OTHERS, relation))
        if label in (NEGATIVE, ABSENT):
            report.skipped[label] += 1
            return
        if label != relation:
            report.merged["labels changed by the patch"] += 1
        yield from _example(file, where, record, label, to_exclusive)

    numbered = ((f"record {number}", record) for number, record in enumerate(records))
    yield from record_by_record(numbered, read_record)


def _labels_of(file: Path) -> Patch:
    """The labels in one file of a patch."""
    content = load_json(text_of(file))
    if isinstance(content, list):  # TACREV: the records that are changed
        labels = {
            _identity(record): field_of(record, "relation", str).strip() for record in content
        }
    else:  # Re-TACRED: all records that stay
        retagged = checked(content, dict, file.name)
        labels = {
            identity: checked(label, str, f"the label of {identity}").strip()
            for identity, label in retagged.items()
        }
        labels[OTHERS] = ABSENT
    if not content:
        raise Fault(f"no id in {file.name}")
    return labels


def read_patch(path: str | Path) -> Patch:
    """The label of each id in a patch.

    Args:
        path: A file of Re-TACRED or TACREV, or a folder of them.

    Returns:
        Labels by id; under the key "" stands that absent ids are left out, if they are.

    Raises:
        ConpetError: If it is neither patch, or both.
    """
    path = user_path(path)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    labels: Patch = {}
    try:
        for file in files:
            more = _labels_of(file)
            if labels and (OTHERS in more) != (OTHERS in labels):
                raise Fault("patches of two kinds")
            labels |= more
        if not labels:
            raise Fault("no file of a patch")
    except FAULTS as error:
        raise ConpetError(
            f"patch={str(path)!r}: expected *_id2label.json of Re-TACRED, {{id: label}}, or "
            "*_patch.json of TACREV, [{id, relation}], a file or a folder of them; "
            f"found {fault_text(error)}."
        ) from None
    return labels


def _with_patch(options: dict[str, object]) -> dict[str, object]:
    """The options for `read_file`, which takes a patch as labels and not as a path."""
    path = options["patch"]
    if not path:
        return options
    if not isinstance(path, (str, Path)):
        raise ConpetError(f"patch={shown(path)}: expected the path of a file or folder.")
    return options | {"patch": read_patch(path)}


READER = Reader(
    name="tacred",
    kind="relation",
    read_file=read_file,
    layouts=(
        Layout(
            "TACRED JSON",
            {
                "an array": r"^\s*\[",
                'the field "subj_start"': r'"subj_start"\s*:',
                'the field "relation"': r'"relation"\s*:',
            },
        ),
        Layout("TACRED CoNLL", {"a line that begins with # id=": r"(?m)^# id="}),
    ),
    options={"patch": []},
    preferred_folders=("json",),
    expected=(
        'records as {"id": "e7", "token": [...], "relation": "per:title", "subj_start": 0, '
        '"subj_end": 1, "obj_start": 3, "obj_end": 3}, or # id=... reln=..., then lines of index, '
        "token, subj, subj_type, obj, ..."
    ),
    wanted=(
        "Wanted: TACRED (LDC2018T24, LDC licence): tacred/data/json with train.json, dev.json, "
        "test.json, or data/conll; one file, the folder or the archive."
    ),
    licence="LDC's user agreement: the text may not be passed on",
    prepare=_with_patch,
)
