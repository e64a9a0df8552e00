"""BBN: types of names in the Wall Street Journal, such as `/GPE/CITY`; JSON lines and columns as OntoNotes.
LDC2005T33: text with names in tags, `<ENAMEX TYPE="GPE:CITY">Brevik</ENAMEX>`, which may nest, stand inside tokens and
be closed as another; it is no XML, so tags are scanned. Ours: a line is a sentence; `TYPE:SUBTYPE` is `/TYPE/SUBTYPE`,
`:OTHER` the root; descriptions (`PER_DESC`) are no names, and are counted."""

import html
import re
from pathlib import Path
from conpet_lib.corpora import ontonotes
from conpet_lib.corpora.reading import Found, ReadReport

TAG = re.compile(r'<(/?)(\w+)(?:\s+TYPE\s*=\s*"([^"]+)")?[^<>]*>')

def read_file(file: Path, report: ReadReport, **options) -> Found:
    """One example a name, or what is wrong with its line."""
    return ontonotes.read_file(file, report, **options, tagged=named)

def named(line: str, report: ReadReport) -> tuple[str, list[tuple[int, int, list[str]]]]:
    """The text of a line without its tags, and its names with their places in it."""
    text, opened, found, place = "", [], [], 0
    for tag in TAG.finditer(line):
        text, place = text + html.unescape(line[place:tag.start()]), tag.end()
        if tag[2] not in ("ENAMEX", "NUMEX", "TIMEX"):
            continue
        if tag[3] and not tag[1]:
            opened.append((len(text), tag[3]))
        elif tag[1] and opened:
            start, kind = opened.pop()                                  # whichever name it closes
            kind = kind.replace("PRODCUT", "PRODUCT").removesuffix(":OTHER").replace(":", "/")
            report.skipped["descriptions, not names"] += "_DESC" in kind
            found += [(start, len(text), [f"/{kind}"])] * ("_DESC" not in kind)
        else:
            report.skipped["tags without a beginning on their line, or without a TYPE"] += 1
    report.skipped["names that do not end on their line"] += len(opened)
    report.skipped["lines without a name"] += not found
    return text + html.unescape(line[place:]), found
