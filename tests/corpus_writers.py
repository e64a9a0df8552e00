"""Corpora of our own words in each layout, for the tests: from plain records to files.

A typing record is `(tokens, [(start, end, label), ...])`, a relation record
`(tokens, head, tail, label)`; spans count tokens, ends exclusive. `LAYOUTS`: name -> corpus, kind,
and the function that writes the files of records.
"""

import csv
import gzip
import html
import io
import json
import random
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

LABELS = {
    "fewnerd": ["location-GPE", "person-artist/author", "building-theater", "other-law"],
    "ontonotes": ["/person", "/person/artist", "/location/city", "/other/art/film"],
    "bbn": ["/GPE/CITY", "/PERSON", "/ORGANIZATION/CORPORATION", "/GPE"],
    "fewrel": ["P177", "P25", "P40", "P1001"],
    "table": ["7", "warm", "NA", "Ö l"],
    "tacred": ["per:title", "org:founded_by", "per:age", "org:top_members/employees"],
    "ace": ["Located", "Employment", "Family", "User-Owner-Inventor-Manufacturer"],
}
WORDS = [
    "Maren",
    "Holt",
    "Brevik",
    "Oll",
    "Tarnholm",
    "crosses",
    "sang",
    "near",
    "the",
    "old",
    "Brücke",
    "'s",
    "12",
]


def typing_records(corpus: str, count: int, seed: int = 0) -> list:
    """Sentences with one or two mentions, a word between them; each label has a word of its own."""
    draw = random.Random(seed)
    labels = LABELS[corpus]
    records = []
    for number in range(count):
        tokens = [draw.choice(WORDS) for _ in range(draw.randint(6, 12))] + [f"w{number}"]
        mentions = []
        for start in (1, 4)[: draw.randint(1, 2)]:
            label = labels[(number + start) % len(labels)]
            tokens[start] = f"Name{labels.index(label)}"
            mentions.append((start, start + draw.randint(1, 2), label))
        records.append((tokens, mentions))
    return records


def relation_records(corpus: str, count: int, seed: int = 0) -> list:
    """Sentences with head and tail, in either order; each label has a word of its own."""
    draw = random.Random(seed)
    labels = LABELS[corpus]
    records = []
    for number in range(count):
        tokens = [draw.choice(WORDS) for _ in range(draw.randint(7, 12))] + [f"w{number}"]
        tokens[3] = f"verb{number % len(labels)}"
        spans = [(1, 1 + draw.randint(1, 2)), (4, 4 + draw.randint(1, 2))]
        draw.shuffle(spans)
        records.append((tokens, *spans, labels[number % len(labels)]))
    return records


def lines(rows) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()


def as_json(rows) -> bytes:
    return lines(json.dumps(row, ensure_ascii=False) for row in rows)


def path_of(label: str) -> list[str]:
    """A label and the labels above it, deepest first."""
    parts = label.strip("/").split("/")
    return ["/" + "/".join(parts[:depth]) for depth in range(len(parts), 0, -1)]


def fewnerd(records) -> dict:
    text = []
    for tokens, mentions in records:
        tags = ["O"] * len(tokens)
        for start, end, label in mentions:
            tags[start:end] = [label] * (end - start)
        text += [f"{token}\t{tag}" for token, tag in zip(tokens, tags)] + [""]
    return {"train.txt": lines(text)}


def columns(more: str, above: bool) -> Callable:
    """What writes lines of columns, `more` behind them; with the labels above, or without."""

    def write(records) -> dict:
        rows = []
        for tokens, mentions in records:
            for start, end, label in mentions:
                labels = path_of(label) if above else path_of(label)[:1]
                rows.append(f"{start}\t{end}\t{' '.join(tokens)}\t{' '.join(labels)}{more}")
        return {"train.txt": lines(rows)}

    return write


def afet(records) -> dict:
    return {
        "train.json": as_json(
            {
                "tokens": tokens,
                "senid": number,
                "fileid": "D",
                "mentions": [
                    {"start": start, "end": end, "labels": path_of(label)}
                    for start, end, label in mentions
                ],
            }
            for number, (tokens, mentions) in enumerate(records)
        )
    }


def inline(records) -> dict:
    """LDC's BBN: names in tags; CRLF."""
    rows = ["<DOC>", "<DOCNO> WSJ9999 </DOCNO>"]
    for tokens, mentions in records:
        words = [html.escape(token, quote=False) for token in tokens]
        for start, end, label in mentions:
            words[start] = f'<ENAMEX TYPE="{label[1:].replace("/", ":", 1)}">{words[start]}'
            words[end - 1] += "</ENAMEX>"
        rows.append(" ".join(words))
    return {"wsj9999.qa": lines([*rows, "</DOC>"]).replace(b"\n", b"\r\n")}


def fewrel(records) -> dict:
    found: dict[str, list] = {}
    for tokens, head, tail, label in records:
        sides = {
            side: [" ".join(tokens[slice(*span)]).lower(), "Q1", [list(range(*span))]]
            for side, span in (("h", head), ("t", tail))
        }
        found.setdefault(label, []).append({"tokens": tokens, **sides})
    return {"train_wiki.json": json.dumps(found).encode()}


def tacred(records) -> dict:
    return {
        "train.json": json.dumps(
            [
                {
                    "id": f"e77{number:017}",
                    "docid": "D",
                    "relation": label,
                    "token": tokens,
                    "subj_start": head[0],
                    "subj_end": head[1] - 1,
                    "obj_start": tail[0],
                    "obj_end": tail[1] - 1,
                    "subj_type": "PERSON",
                }
                for number, (tokens, head, tail, label) in enumerate(records)
            ]
        ).encode()
    }


def conll(records) -> dict:
    names = "index token subj subj_type obj obj_type stanford_pos stanford_ner stanford_deprel"
    rows = ["# " + names.replace(" ", "\t")]
    for number, (tokens, head, tail, label) in enumerate(records):
        rows.append(f"# id=e77{number:017} docid=D reln={label}")
        for place, token in enumerate(tokens):
            subject = "SUBJECT\tPERSON" if head[0] <= place < head[1] else "_\t_"
            item = "OBJECT\tTITLE" if tail[0] <= place < tail[1] else "_\t_"
            rows.append(f"{place + 1}\t{token}\t{subject}\t{item}\tNN\tO\tdep")
        rows.append("")
    return {"train.conll": lines(rows)}


def ldc(records, name: str = "XXX_ENG_20990101.0001", subtype: bool = True) -> dict:
    """ACE's .sgm and its .apf.xml; a sentence ends at an empty line."""
    sgm = f"<DOC>\n<DOCID> {name} </DOCID>\n<BODY>\n<TEXT>\n"
    parts = []
    for number, (tokens, head, tail, label) in enumerate(records):
        words = [html.escape(token, quote=False) for token in tokens]
        at = len(re.sub("<[^<>]+>", "", sgm))
        starts = [at + sum(len(word) + 1 for word in words[:place]) for place in range(len(words))]
        sgm += " ".join(words) + "\n\n"
        for side, (start, end) in enumerate((head, tail), 1):
            last = starts[end - 1] + len(words[end - 1]) - 1
            mark = (
                f'<charseq START="{starts[start]}" END="{last}">'
                f"{html.escape(' '.join(tokens[start:end]))}</charseq>"
            )
            parts.append(
                f'<entity ID="{name}-E{number}{side}" TYPE="PER">'
                f'<entity_mention ID="{name}-{number}-{side}" TYPE="NAM">'
                f"<extent>{mark}</extent><head>{mark}</head></entity_mention></entity>"
            )
        kind = f' SUBTYPE="{html.escape(label)}"' if subtype else ""
        parts.append(
            f'<relation ID="{name}-R{number}" TYPE="PHYS"{kind}>'
            f'<relation_argument REFID="{name}-E{number}1" ROLE="Arg-1"/>'
            f'<relation_mention ID="{name}-R{number}-1">'
            + "".join(
                f'<relation_mention_argument REFID="{name}-{number}-{side}" ROLE="Arg-{side}"/>'
                for side in (1, 2)
            )
            + "</relation_mention></relation>"
        )
    apf = (
        '<?xml version="1.0"?>\n<!DOCTYPE source_file SYSTEM "apf.v5.1.1.dtd">\n'
        '<source_file URI="x" TYPE="text">\n'
        f'<document DOCID="{name}">\n' + "\n".join(parts) + "\n</document>\n</source_file>\n"
    )
    return {
        f"{name}.sgm": (sgm + "</TEXT>\n</BODY>\n</DOC>\n").encode(),
        f"{name}.apf.xml": apf.encode(),
    }


def dygie(records) -> dict:
    sentences = []
    relations = []
    base = 0
    for tokens, head, tail, label in records:
        sentences.append(tokens)
        positions = [base + head[0], base + head[1] - 1, base + tail[0], base + tail[1] - 1]
        relations.append([[*positions, f"PHYS.{label}"]])
        base += len(tokens)
    return {
        "train.json": as_json(
            [
                {
                    "doc_key": "D",
                    "sentences": sentences,
                    "ner": [[]] * len(sentences),
                    "relations": relations,
                    "clusters": [],
                }
            ]
        )
    }


def oneie(records) -> dict:
    return {
        "train.oneie.json": as_json(
            {
                "doc_id": "D",
                "sent_id": f"D-{number}",
                "tokens": tokens,
                "sentence": " ".join(tokens),
                "entity_mentions": [
                    {"id": f"E{side}", "entity_type": "PER", "start": start, "end": end}
                    for side, (start, end) in enumerate((head, tail))
                ],
                "event_mentions": [],
                "relation_mentions": [
                    {
                        "id": "R",
                        "relation_type": "PHYS",
                        "relation_subtype": f"PHYS:{label}",
                        "arguments": [
                            {"entity_id": "E1", "role": "Arg-2"},
                            {"entity_id": "E0", "role": "Arg-1"},
                        ],
                    }
                ],
            }
            for number, (tokens, head, tail, label) in enumerate(records)
        )
    }


def rows(records) -> list[dict]:
    """Rows of a table with positions in characters."""
    found = []
    for tokens, *spans, label in records:
        ends = [
            end
            for start, stop in spans
            for end in (len(" ".join(tokens[:start])) + bool(start), len(" ".join(tokens[:stop])))
        ]
        found.append(
            {
                "text": " ".join(tokens),
                "label": label,
                **dict(zip(("head_start", "head_end", "tail_start", "tail_end"), ends)),
            }
        )
    return found


def separated(delimiter: str) -> Callable:
    def write(records) -> dict:
        stream = io.StringIO()
        table = csv.DictWriter(stream, list(rows(records)[0]), delimiter=delimiter)
        table.writeheader()
        table.writerows(rows(records))
        return {"mine.csv": stream.getvalue().encode()}

    return write


LAYOUTS = {
    "Few-NERD text": ("fewnerd", "typing", fewnerd),
    "OntoNotes, 5 columns": ("ontonotes", "typing", columns("\tHEAD|x ", True)),
    "OntoNotes, 4 columns": ("ontonotes", "typing", columns("", False)),
    "OntoNotes, AFET": ("ontonotes", "typing", afet),
    "BBN, 4 columns": ("bbn", "typing", columns("", False)),
    "BBN, AFET": ("bbn", "typing", afet),
    "BBN, LDC": ("bbn", "typing", inline),
    "FewRel JSON": ("fewrel", "relation", fewrel),
    "TACRED JSON": ("tacred", "relation", tacred),
    "TACRED CoNLL": ("tacred", "relation", conll),
    "ACE, LDC": ("ace", "relation", ldc),
    "ACE, DyGIE++": ("ace", "relation", dygie),
    "ACE, OneIE": ("ace", "relation", oneie),
    "CSV": ("table", "relation", separated(",")),
    "TSV": ("table", "relation", separated("\t")),
    "semicolons": ("table", "relation", separated(";")),
    "JSON lines": ("table", "relation", lambda records: {"mine.jsonl": as_json(rows(records))}),
}


def records_of(layout: str, count: int, seed: int = 0) -> list:
    corpus, kind, _ = LAYOUTS[layout]
    return (typing_records if kind == "typing" else relation_records)(corpus, count, seed)


def seen(records) -> list[tuple]:
    """Text, words of the spans, label: what should be read, sorted."""
    found = []
    for tokens, *rest in records:
        pairs = (
            [([mention[:2]], mention[2]) for mention in rest[0]]
            if len(rest) == 1
            else [(rest[:2], rest[2])]
        )
        found += [
            (" ".join(tokens), *(" ".join(tokens[slice(*span)]) for span in spans), label)
            for spans, label in pairs
        ]
    return sorted(found)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def packed(form: str, files: dict[str, bytes]) -> bytes:
    """The files as one archive: zip, tgz or (of the first alone) gz."""
    stream = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(stream, "w") as box:
            for name, data in files.items():
                box.writestr(f"inner/{name}", data)
    elif form == "tgz":
        with tarfile.open(fileobj=stream, mode="w:gz") as box:
            for name, data in files.items():
                entry = tarfile.TarInfo(f"inner/{name}")
                entry.size = len(data)
                box.addfile(entry, io.BytesIO(data))
    else:
        stream.write(gzip.compress(next(iter(files.values()))))
    return stream.getvalue()
