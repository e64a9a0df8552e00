"""FewRel in its official JSON: relation id -> list of sentences with head and tail.

A record is `{"tokens": [...], "h": [name, wikidata id, [[positions], ...]], "t": [...]}`. The first occurrence of head
and tail is marked (the FewRel toolkit's choice; the ConPET authors mark every one). The span's own tokens are used, not
`name`, which is lower-cased. Tokens may be blanks; positions count them. `pid2name.json` beside it names the relations.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from conpet_lib.corpora.example import Corpus, Example, ReadReport, joined, overlap, read_files

ADVICE = ("Wanted: FewRel's train_wiki.json and val_wiki.json (github.com/thunlp/FewRel, MIT licence), "
          "one of them or the folder with both. Correct or remove faulty records.")


def read_fewrel(path: str | Path | None = None) -> Corpus:
    """FewRel: 700 sentences a relation officially; any JSON file in that layout is read."""
    examples, report = read_files(path, official_or_all, read_file, ADVICE)
    named = (Path(path) if Path(path).is_dir() else Path(path).parent) / "pid2name.json"
    names = json.loads(named.read_text(encoding="utf-8-sig")) if named.is_file() else {}     # id -> [name, description]
    report.notes += [f"relation {label} is {names[label][0]!r}"
                     for label in sorted({example.label for example in examples} & set(names))]
    return Corpus("fewrel", "relation", examples, report)


def official_or_all(folder: Path) -> list[Path]:
    """The two official files if there; else all, since other domains lie in the official folder too."""
    official = [folder / name for name in ("train_wiki.json", "val_wiki.json") if (folder / name).is_file()]
    return official or sorted(set(folder.glob("*.json")) - {folder / "pid2name.json"})


def read_file(file: Path, report: ReadReport) -> Iterator[Example | str]:
    """The example of each record of one file, or what is wrong with it."""
    relations = json.loads(file.read_text(encoding="utf-8-sig"))
    if not isinstance(relations, dict) or not all(isinstance(records, list) for records in relations.values()):
        raise ValueError("expected an object {relation: [records]}")
    for relation, records in relations.items():
        for index, record in enumerate(records):
            try:
                text, spans = joined(record["tokens"], [first_run(record, side) for side in "ht"])
                if overlap(spans):
                    raise ValueError("head and tail overlap")
            except (LookupError, TypeError, ValueError) as error:
                yield f"{relation}, record {index}: {type(error).__name__} {error}"
                continue
            report.skipped["later occurrences of a span, not marked"] += sum(len(record[side][2]) > 1 for side in "ht")
            yield Example(key=f"{file.stem}:{relation}:{index}", text=text, spans=spans, label=relation,
                          source=f"{file.name} {relation}[{index}]")


def first_run(record: dict, side: str) -> tuple[int, int]:
    """First and last token position of head or tail where it first occurs."""
    positions, count = record[side][2][0], len(record["tokens"])
    if not positions or positions != list(range(positions[0], positions[-1] + 1)):
        raise ValueError(f"positions {positions} are not a run of tokens")
    if positions[0] < 0 or positions[-1] >= count:
        raise ValueError(f"positions {positions} end after the last token ({count} tokens)")
    return positions[0], positions[-1]
