"""Corpora, written and mutated: a reader gives all examples, or says what is wrong or left out.

A few hundred mutated files in `make test`; `make fuzz` mutates 12,000.
"""

import csv
import io
import json
import random
import re
import signal
from itertools import groupby

import corpus_writers as writers
import pytest
from defusedxml import ElementTree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import conpet_lib as cp

NASTY = [
    b"\0",
    b"\xff",
    b"\t",
    b"\n",
    b"\r",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"<",
    b">",
    b"&",
    b"-1",
    b"99999",
    b"null",
    b"true",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"O",
    b"_",
    b"/",
    b"# id=",
    b"NaN",
    b"\\ud800",
    b"1e999",
    b"P1",
    b"  ",
    b"1.5",
    b"<!ENTITY a 'b'>",
    b"[" * 3000,
    b"9" * 5000,
    b"\xe2\x80\xa8",
]
SECONDS = 20


def mutated(data: bytes, draw: random.Random) -> bytes:
    """One to three changes.

    Bytes are set, put in or taken out; lines repeated, dropped or exchanged; a file is cut, or
    written in another code.
    """
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(data) + 1)
        kind = draw.randrange(9)
        lines = data.split(b"\n")
        line = draw.randrange(len(lines))
        other = draw.randrange(len(lines))
        if kind == 0:
            data = data[:place] + bytes([draw.randrange(256)]) + data[place + 1 :]
        elif kind in (1, 2, 3):
            data = data[:place] + draw.choice(NASTY) + data[place + draw.choice([0, 0, 1, 5]) :]
        elif kind == 4:
            data = data[:place] + data[place + draw.randint(1, 40) :]
        elif kind == 5:
            lines[line : line + 1] = [lines[line]] * draw.choice([0, 2])
            data = b"\n".join(lines)
        elif kind == 6:
            lines[line], lines[other] = lines[other], lines[line]
            data = b"\n".join(lines)
        elif kind == 7:
            data = data[:place]
        elif b"br\xc3\xbccke" in data.lower():
            data = data.decode("utf-8", "replace").encode(
                draw.choice(["latin-1", "utf-16", "utf-8-sig"]), "replace"
            )
    return data


def decoded(data: bytes) -> list[str]:
    return [line.rstrip("\r").lstrip("\ufeff") for line in data.decode("utf-8-sig").split("\n")]


def json_lines(data: bytes) -> list:
    return [json.loads(line) for line in decoded(data) if line.strip()]


def runs(data: bytes) -> int:
    pairs = [
        (re.sub("^[BI]-", "", line.partition("\t")[2]).strip() if line else "")
        for line in decoded(data)
    ]
    return sum(label not in ("", "O") for label, _ in groupby(pairs))


# How many examples a file holds, counted another way than the reader does; called only for files
# that were read.
HELD = {
    "Few-NERD text": runs,
    "BBN, LDC": lambda data: len(re.findall(rb"</(?:ENAMEX|NUMEX|TIMEX)\b[^<>]*>", data)),
    **dict.fromkeys(
        ["OntoNotes, 5 columns", "OntoNotes, 4 columns", "BBN, 4 columns"],
        lambda data: sum(bool(line.strip()) for line in decoded(data)),
    ),
    **dict.fromkeys(
        ["OntoNotes, AFET", "BBN, AFET"],
        lambda data: sum(len(one["mentions"]) for one in json_lines(data)),
    ),
    "FewRel JSON": lambda data: sum(map(len, json.loads(data.decode("utf-8-sig")).values())),
    "TACRED JSON": lambda data: len(json.loads(data.decode("utf-8-sig"))),
    "TACRED CoNLL": lambda data: sum(line.startswith("# id=") for line in decoded(data)),
    "ACE, LDC": lambda data: len(list(ElementTree.fromstring(data).iter("relation_mention"))),
    "ACE, DyGIE++": lambda data: sum(
        len(rows) for one in json_lines(data) for rows in one["relations"]
    ),
    "ACE, OneIE": lambda data: sum(len(one["relation_mentions"]) for one in json_lines(data)),
    "JSON lines": lambda data: len(json_lines(data)),
}


def held(layout: str, data: bytes) -> int:
    if layout in HELD:
        return HELD[layout](data)
    text = "\n".join(decoded(data))
    delimiter = max("\t,;", key=text.strip().split("\n")[0].count)
    return (
        sum(bool(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)) - 1
    )


def too_long(*_):
    raise TimeoutError(f"more than {SECONDS} s")


def fuzz(folder, count: int, seed: int) -> dict[str, int]:
    """Read `count` mutated files of each layout; how many were refused and how many read."""
    results = {"refused": 0, "read": 0}
    signal.signal(signal.SIGALRM, too_long)
    for layout, (corpus, _, write) in writers.LAYOUTS.items():
        draw = random.Random(f"{layout} {seed}")
        for number in range(count):
            files = write(writers.records_of(layout, draw.randint(1, 6), number))
            form = draw.choice([None] * 8 + ["zip", "tgz"])
            files = {f"all.{form}": writers.packed(form, files)} if form else files
            changed = draw.choice(sorted(files))
            files[changed] = mutated(files[changed], draw)
            place = writers.write(folder / f"{layout.replace(' ', '-')}-{number}", files)
            signal.alarm(SECONDS)
            try:
                report = cp.load_corpus(corpus, place).report
            except cp.ConpetError as error:
                results["refused"] += 1
                assert 40 < len(str(error)) < 30_000, (layout, number)
            except Exception as error:
                raise AssertionError(
                    f"{layout}, file {number} under seed {seed}: {place}"
                ) from error
            else:
                results["read"] += 1
                main = next(name for name in files if not name.endswith(".sgm"))
                counted = (
                    report.read
                    + report.skipped.total()
                    + report.merged["exact repeats of a mention"]
                )
                assert form or counted >= held(layout, files[main]), (
                    f"{layout} {number}: lost in silence\n{report}"
                )
            finally:
                signal.alarm(0)
    return results


def test_a_few_hundred_mutated_files_are_read_whole_or_refused_with_a_reason(tmp_path):
    results = fuzz(tmp_path, 25, seed=0)
    assert min(results.values()) > 20, results


OTHERS = [None, True, -1, 1.5, 10**30, "", "Oll", [], [[]], {}, {"id": []}, [None, 7]]
JSON_LAYOUTS = [
    "OntoNotes, AFET",
    "BBN, AFET",
    "FewRel JSON",
    "TACRED JSON",
    "ACE, DyGIE++",
    "ACE, OneIE",
    "JSON lines",
]


def places_in(value: object, way: tuple = ()) -> list[tuple]:
    """The ways to all values inside of a JSON value."""
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    else:
        return [way]
    ways = [way]
    for step, part in inside:
        ways += places_in(part, (*way, step))
    return ways


def exchanged(value: object, way: tuple, other: object) -> object:
    """A JSON value with another value at one place."""
    if not way:
        return other
    copy = value.copy()
    copy[way[0]] = exchanged(value[way[0]], way[1:], other)
    return copy


@pytest.mark.parametrize("layout", JSON_LAYOUTS)
def test_a_value_of_another_type_is_read_or_refused_with_a_reason_wherever_it_stands(
    layout, tmp_path
):
    corpus, _, write = writers.LAYOUTS[layout]
    ((name, data),) = write(writers.records_of(layout, 2)).items()
    first, *more = data.decode().splitlines()
    ways = places_in(json.loads(first))
    draw = random.Random(layout)
    refused = 0
    for way in draw.sample(ways, min(len(ways), 40)):
        for other in OTHERS:
            line = json.dumps(exchanged(json.loads(first), way, other))
            (tmp_path / name).write_text("\n".join([line, *more]), encoding="utf-8")
            try:
                cp.load_corpus(corpus, tmp_path)
            except cp.ConpetError as error:
                refused += 1
                assert len(str(error)) > 40
    assert refused > 50


@pytest.mark.long
def test_twelve_thousand_mutated_files_are_read_whole_or_refused_with_a_reason(tmp_path):
    results = fuzz(tmp_path, 12_000 // len(writers.LAYOUTS) + 1, seed=1)
    print(results)
    assert sum(results.values()) >= 12_000 and min(results.values()) > 1_000, results


@pytest.mark.parametrize("layout", writers.LAYOUTS)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    count=st.integers(1, 12),
    seed=st.integers(0, 10**6),
    form=st.sampled_from(["", "", "zip", "tgz", "gz"]),
)
def test_what_is_written_in_a_layout_is_read_back(tmp_path_factory, layout, count, seed, form):
    corpus, _, write = writers.LAYOUTS[layout]
    records = writers.records_of(layout, count, seed)
    if corpus == "tacred":  # a span of one place, by which inclusive ends are told
        records.append((["Oll", "meets", "Tarn", "."], (0, 1), (2, 3), "per:age"))
    files = write(records)
    if form and not (form == "gz" and len(files) > 1):
        files = {
            f"{min(files)}.{form}" if form == "gz" else f"all.{form}": writers.packed(form, files)
        }
    found = cp.load_corpus(corpus, writers.write(tmp_path_factory.mktemp("written"), files))
    assert sorted((one.text, *one.span_texts(), one.label) for one in found.examples) == sorted(
        {*writers.seen(records)} if corpus in ("ontonotes", "bbn", "ace") else writers.seen(records)
    )
    assert len({one.key for one in found.examples}) == found.report.read == len(found.examples)
