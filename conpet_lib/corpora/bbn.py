"""BBN: types of names in the Wall Street Journal, such as `/GPE/CITY`; token layouts as OntoNotes.

LDC2005T33: text with tags, `<ENAMEX TYPE="GPE:CITY">Brevik</ENAMEX>`, which may nest, stand inside tokens and be
closed as another; it is no XML, so tags are scanned. Ours: a line is a sentence; `TYPE:SUBTYPE` is
`/TYPE/SUBTYPE`, `:OTHER` the root; descriptions (`PER_DESC`) are no names, and are counted.
"""

import html
import re

from conpet_lib.corpora import ontonotes
from conpet_lib.corpora.reading import Sink

SLIPS = {"FAC": "FACILITY", "PRODCUT": "PRODUCT"}


def inline(sink: Sink) -> None:
    """One example a name; spans are in characters of the line without its tags."""
    for number, line in sink.lines():
        text, opened, names, where = "", [], [], f"line {number}"
        for piece in re.split(r"(<[^<>]*>)", line):
            tag = re.match(r'<(/?)(?:ENAMEX|NUMEX|TIMEX)\b(?:\s+TYPE\s*=\s*"([^"]+)")?', piece)
            if not tag:
                text += "" if re.fullmatch("<[^<>]*>", piece) else html.unescape(piece)
            elif tag[2] and not tag[1]:
                opened.append((tag[2], len(text)))
            elif tag[1] and opened:
                names.append((*opened.pop(), len(text)))             # whichever name it closes
            else:
                sink.skip("tags without a beginning on their line, or without a TYPE", where)
        for _ in opened:
            sink.skip("names that do not end on their line", where)
        for place, (kind, start, end) in enumerate(names):
            root, _, below = kind.partition(":")
            if root.endswith("_DESC"):
                sink.skip("descriptions, not names", where)
            else:
                sink.report.merged[f"labels {root} read as {SLIPS.get(root)}"] += root in SLIPS
                label = f"/{SLIPS.get(root, root)}" + f"/{below}" * (below not in ("", "OTHER"))
                sink.add(f"{sink.stem}:{number}:{place}", text, [(start, end)], label, where)


READERS = ontonotes.READERS | {"LDC2005T33, names in tags": inline}
