"""OntoNotes and BBN with fine types such as `/person/artist`: AFET's JSON lines, text of four or five columns, or tags.
A line is `{"tokens": [...], "mentions": [{"start": 0, "end": 2, "labels": [...]}]}`, or start, end, tokens, labels with
TABs between, a fifth column unused; ends are exclusive. Of a path of labels the deepest counts. Ours: a mention with
several paths is left out and counted; `/FAC` of BBN's test part is read as the `/FACILITY` of its training part.
LDC2005T33: text with names in tags, `<ENAMEX TYPE="GPE:CITY">Brevik</ENAMEX>`, which may nest, stand inside tokens and
be closed as another; it is no XML, so tags are scanned. Ours: a line is a sentence; `TYPE:SUBTYPE` is `/TYPE/SUBTYPE`,
`:OTHER` the root; descriptions (`PER_DESC`) are no names, and are counted."""

import html
import re
from pathlib import Path

from conpet_lib.corpora.example import Example, ReadReport
from conpet_lib.corpora.reader import FAULTS, PARTS, Found
from conpet_lib.corpora.text import joined, lines_of, load_json, text_of

COLUMNS = re.compile(r"(-?\d{1,9})\t(-?\d{1,9})\t([^\t]*)\t([^\t]*)")


TAG = re.compile(r'<(/?)(\w+)(?:\s+TYPE\s*=\s*"([^"]+)")?[^<>]*>')


def read_file(file: Path, report: ReadReport) -> Found:
    """One example a mention, or what is wrong with its line; the root is the group."""
    json_lines = (whole := text_of(file)).lstrip().startswith("{")
    for where, line in lines_of(whole):
        try:
            if json_lines:
                record = load_json(line)
                tokens = list.copy(record["tokens"])  # TypeError for a text
                mentions = [
                    (one["start"], one["end"], list.copy(one["labels"]))
                    for one in record["mentions"]
                ]
            elif fields := COLUMNS.match(line):
                tokens, mentions = (
                    fields[3].split(" "),
                    [(int(fields[1]), int(fields[2]), fields[4].split())],
                )
            elif "<" in line:
                tokens, mentions = named(line, report)
            else:
                report.skipped["lines of another form"] += 1
                continue
            for place, (start, end, labels) in enumerate(mentions):
                mended = {re.sub("^/FAC(?=/|$)", "/FACILITY", label) for label in labels}
                report.merged["labels /FAC read as /FACILITY"] += mended != {*labels}
                lowest = [
                    one
                    for one in mended
                    if not any(other.startswith(f"{one}/") for other in mended)
                ]
                if not 0 <= start < end <= len(tokens) or len(lowest) != 1:
                    report.skipped[
                        "labels on several branches" if len(lowest) > 1 else "no label, or no place"
                    ] += 1
                    continue
                text, spans = joined(tokens, [(start, end)])
                yield Example(
                    f"{file.stem}:{where[5:]}:{place}",
                    text,
                    spans,
                    lowest[0],
                    PARTS.get(file.stem),
                    f"{file.name}, {where}",
                    group="/".join(lowest[0].split("/")[:2]),
                )
        except FAULTS as error:
            yield f"{where}: {type(error).__name__} {error}"


def named(line: str, report: ReadReport) -> tuple[str, list[tuple[int, int, list[str]]]]:
    """The text of a line without its tags, and its names with their places in it."""
    text, opened, found, place = "", [], [], 0
    for tag in TAG.finditer(line):
        text, place = text + html.unescape(line[place : tag.start()]), tag.end()
        if tag[2] not in ("ENAMEX", "NUMEX", "TIMEX"):
            continue
        if tag[3] and not tag[1]:
            opened.append((len(text), tag[3]))
        elif tag[1] and opened:
            start, kind = opened.pop()  # whichever name it closes
            report.merged["labels PRODCUT read as PRODUCT"] += "PRODCUT" in kind
            kind = kind.replace("PRODCUT", "PRODUCT").removesuffix(":OTHER").replace(":", "/")
            report.skipped["descriptions, not names"] += "_DESC" in kind
            found += [(start, len(text), [f"/{kind}"])] * ("_DESC" not in kind)
        else:
            report.skipped["tags without a beginning on their line, or without a TYPE"] += 1
    report.skipped["names that do not end on their line"] += len(opened)
    report.skipped["lines without a name"] += not found
    return text + html.unescape(line[place:]), found
