"""Your own data: a CSV, TSV or JSON-lines file, or a pandas DataFrame.
Columns: `text` and `label`; for typing also `start` and `end` (character positions, end exclusive), for relations
`head_start`, `head_end`, `tail_start`, `tail_end`; `part` if there is one. Without positions the text is classified."""

import json
from itertools import pairwise
from pathlib import Path

import pandas as pd

from conpet_lib.corpora.example import Example, Found, ReadReport

TEXTS, LABELS = ("text", "sentence", "content"), ("label", "class", "type", "category")      # guesses
POSITIONS = ((("head_start", "head_end"), ("tail_start", "tail_end")), (("start", "end"),), ())


def read_file(file: Path | pd.DataFrame, report: ReadReport, text: str = "", label: str = "") -> Found:
    """The example of each row, or what is wrong with its positions. `text` and `label` name columns not guessed."""
    table, file = (file, Path("table")) if isinstance(file, pd.DataFrame) else (None, file)
    json_lines = file.suffix in (".jsonl", ".ndjson")
    if table is None and json_lines:
        lines = filter(str.strip, file.read_text(encoding="utf-8-sig").split("\n"))
        table = pd.DataFrame(map(json.loads, lines), dtype=object)
    elif table is None:                                          # all as text: a label "007" or "NA" is one like others
        separator = "\t" if file.suffix == ".tsv" else ","
        table = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    text = text or next((name for name in table if str(name).lower() in TEXTS), "text")
    label = label or next((name for name in table if str(name).lower() in LABELS), "label")
    if text not in table or label not in table:
        raise ValueError(f"{text!r} and {label!r} are wanted; the columns are {', '.join(map(str, table))}. Say which "
                         "with load_corpus('table', path=..., text='column', label='column').")
    pairs = next(pairs for pairs in POSITIONS if all(name in table for pair in pairs for name in pair))
    for line, row in enumerate(table.to_dict("records"), 1 if json_lines else 2):     # line 1 of a CSV has the names
        words, name = row[text], row[label]
        if isinstance(name, float) and name.is_integer():
            name = int(name)                                     # pandas' floats of whole numbers with gaps
        empty = not isinstance(words, str) or not words.strip()
        if empty or pd.isna(name) or not str(name).strip():
            report.skipped["empty text" if empty else "no label"] += 1
            continue
        try:
            spans = tuple((int(row[start]), int(row[end])) for start, end in pairs)
        except (ValueError, TypeError):
            yield f"line {line}: a position is not a whole number"
            continue
        for start, end in spans:
            if not 0 <= start < end <= len(words):
                yield f"line {line}: the span {start, end} does not lie in the text ({len(words)} characters)"
        if any(end > start for (_, end), (start, _) in pairwise(sorted(spans))):
            yield f"line {line}: head {spans[0]} and tail {spans[1]} overlap"
        part = None if pd.isna(row.get("part")) else row["part"] or None
        yield Example(key=f"{file.stem}:{line}", text=words, spans=spans, label=str(name).strip(), part=part,
                      source=f"{file.name}, line {line}")
