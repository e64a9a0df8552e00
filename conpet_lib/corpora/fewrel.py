"""FewRel in its official JSON: relation id -> list of sentences with head and tail.

A record is `{"tokens": [...], "h": [name, wikidata id, [[positions], ...]], "t": [...]}`. The first occurrence of head
and tail is marked (the FewRel toolkit's choice; the ConPET authors mark every one). The span's own tokens are used, not
`name`, which is lower-cased. Tokens may be blanks; positions count them. `pid2name.json` beside it names the relations.
"""

import json
from pathlib import Path

from conpet_lib.corpora.example import Corpus, Example, ReadReport, fault, joined, overlap, wanted_path

ADVICE = ("Wanted: FewRel's train_wiki.json and val_wiki.json (github.com/thunlp/FewRel, MIT licence), "
          "one of them or the folder with both.")


def read_fewrel(path: str | Path | None = None) -> Corpus:
    """FewRel: 700 sentences a relation officially; any JSON file in that layout is read."""
    path = wanted_path(path, "fewrel", ADVICE)
    official = [path / name for name in ("train_wiki.json", "val_wiki.json") if (path / name).is_file()]
    others = sorted(file for file in path.glob("*.json") if file.name != "pid2name.json")
    files = [path] if path.is_file() else official or others       # other domains lie in the official folder too
    if not files:
        raise fault(path, ["no .json file in this folder"], ADVICE)
    named = (path if path.is_dir() else path.parent) / "pid2name.json"
    names = json.loads(named.read_text(encoding="utf-8-sig")) if named.is_file() else {}     # id -> [name, description]
    report, examples = ReadReport(), []
    for file in files:
        examples += read_file(file, report)
    report.read = len(examples)
    report.notes += [f"relation {label} is {names[label][0]!r}"
                     for label in sorted({e.label for e in examples} & set(names))]
    return Corpus("fewrel", "relation", examples, report)


def read_file(file: Path, report: ReadReport) -> list[Example]:
    """The examples of one file; all its faults in one ConpetError."""
    try:
        relations = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise fault(file, [f"not JSON: {error}"], ADVICE) from None
    if not isinstance(relations, dict) or not all(isinstance(records, list) for records in relations.values()):
        raise fault(file, ["expected an object {relation: [records]}"], ADVICE)
    examples, faults = [], []
    for relation, records in relations.items():
        for index, record in enumerate(records):
            try:
                text, starts = joined(record["tokens"])
                spans = [span(record["tokens"], starts, record[side][2]) for side in ("h", "t")]
            except (KeyError, IndexError, TypeError, ValueError) as error:
                faults.append(f"{relation}, record {index}: {type(error).__name__} {error}")
                continue
            if overlap(spans):
                faults.append(f"{relation}, record {index}: head and tail overlap")
                continue
            report.skipped["later occurrences of a span, not marked"] += sum(
                len(record[side][2]) > 1 for side in ("h", "t"))
            examples.append(Example(key=f"{file.stem}:{relation}:{index}", text=text, spans=tuple(spans),
                                    label=relation, source=f"{file.name} {relation}[{index}]"))
    if faults:
        raise fault(file, faults, "Correct or remove these records.")
    return examples


def span(tokens: list[str], starts: list[int], occurrences: list[list[int]]) -> tuple[int, int]:
    """Character span of the first occurrence, given as the list of all its token positions."""
    positions = occurrences[0]
    if not positions or positions != list(range(positions[0], positions[-1] + 1)):
        raise ValueError(f"positions {positions} are not a run of tokens")
    if positions[0] < 0 or positions[-1] >= len(tokens):
        raise ValueError(f"positions {positions} end after the last token ({len(tokens)} tokens)")
    return starts[positions[0]], starts[positions[-1]] + len(tokens[positions[-1]])
