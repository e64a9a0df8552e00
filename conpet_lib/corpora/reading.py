"""Reading: from a path as it was handed out (file, folder, zip, tar, gz) to a checked `Corpus`.
In: a path, and what reads one file. Out: a `Corpus`, or one ConpetError with every fault. By which signs a layout is
told, and what to get, is data: `data/corpora.json`. Knows no layout itself. Start at `read_corpus`."""

import csv
import gzip
import json
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
import pandas as pd
from conpet_lib.assets import DATA, cache_folder
from conpet_lib.corpora.example import Corpus, Example, ReadReport, load_stored, store
from conpet_lib.errors import ConpetError
from conpet_lib.files import digest

VERSION, KEPT = 1, 100_000        # raise the first when a reader gives other examples; a corpus of so many is kept
LONGEST, HEAD = 10_000, 1 << 20   # characters of a text (a longer one is cut around its spans), and that tell a layout
ABOUT = json.loads((DATA / "corpora.json").read_text(encoding="utf-8"))     # by a corpus' name
PARTS = {"test": "test", "dev": "valid", "val": "valid", "valid": "valid", "train": "train"}      # by a file's name
KINDS = "text", "typing", "relation"        # of your own data, by the number of spans
FAULTS = (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError,
          csv.Error, SyntaxError)           # what a faulty record or file raises; the last one is that of XML
BROKEN = OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile, tarfile.TarError      # a faulty archive
Found = Iterator[Example | str]             # what a reader finds in a file: examples, and a text for each fault

def text_of(file: Path) -> str:
    """The text of a file, with line feeds. Raises: ValueError with the lines that are none."""
    text = file.read_bytes().decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n")
    if bad := [text.count("\n", 0, found.start()) + 1 for found in re.finditer("[\0\udc80-\udcff].*", text)]:
        raise ValueError(f"expected UTF-8, found other bytes or NUL in {len(bad):,} lines ({str(bad[:20])[1:-1]}); "
                         "if it is Latin-1 or UTF-16, save it as UTF-8")
    return text

def lines_of(file: Path) -> Iterator[tuple[str, str]]:
    """Where each line stands that is not blank, and the line."""
    return ((f"line {number}", line) for number, line in enumerate(text_of(file).split("\n"), 1) if line.strip())

def load_json(text: str) -> object:
    """The value of a JSON text. Raises: ValueError if it is none, or has a key twice, of which json keeps the last."""
    def once(pairs: list[tuple[str, object]]) -> dict:
        if len(dict(pairs)) < len(pairs):
            raise ValueError(f"a key stands twice among {[key for key, _ in pairs][:20]}")
        return dict(pairs)
    return json.loads(text, object_pairs_hook=once)

def joined(words: Sequence[str], spans: Sequence[tuple[int, int]]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """A text, or a list of tokens joined by blanks, and its spans in characters; those given count what `words` has,
    ends exclusive. Raises: ValueError for a span that is not in it or holds blanks alone, and spans that overlap."""
    for start, end in spans:
        if not (type(start) is type(end) is int and 0 <= start < end <= len(words)):
            raise ValueError(f"the span {start, end} does not lie in the text ({len(words)} tokens or characters)")
    if len(spans) == 2 and spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]:
        raise ValueError(f"head {spans[0]} and tail {spans[1]} overlap")
    if not isinstance(words, str):
        starts = [0, *accumulate(len(token) + 1 for token in list.copy(words))]
        words, spans = " ".join(words), [(starts[start], starts[end] - 1) for start, end in spans]
    if not all(words[start:end].strip() for start, end in spans):
        raise ValueError(f"a span of blanks alone among {spans}")
    return words, tuple(spans)

def shortened(example: Example) -> Example:
    """An example with `LONGEST` characters around its spans, or all between them; the whole stays one sentence."""
    first, last = min(example.spans, default=(0, 0))[0], max((end for _, end in example.spans), default=0)
    begin = max(0, min(first, (first + last - LONGEST) // 2))
    spans = tuple((start - begin, end - begin) for start, end in example.spans)
    return replace(example, text=example.text[begin:max(last, begin + LONGEST)], spans=spans,
                   sentence=example.sentence or digest(example.text))

def find_files(path: Path, work: Path) -> list[Path]:
    """The files under a path; archives are unpacked into `work`, and links in them are not followed."""
    files, found = [], [path] if path.is_file() else sorted(path.rglob("[!.]*"))
    for place, file in enumerate(found):                      # grows by what is in an archive
        inside = work / f"{place}"
        if zipfile.is_zipfile(file):
            shutil.unpack_archive(file, inside, "zip")        # a link becomes a file that holds its target's name
        elif file.is_file() and tarfile.is_tarfile(file):
            shutil.unpack_archive(file, inside, "tar", filter="data")
        elif file.suffix == ".gz":
            inside.mkdir()
            (inside / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        else:
            files += [file] * file.is_file()
        found += sorted(inside.rglob("[!.]*"))
    return files

def choose(path: Path, files: list[Path], name: str, report: ReadReport) -> list[Path]:
    """The files to read, of a layout that is told by content, the scarce parts first: of several folders the preferred
    one, of parts the official ones. Raises: ConpetError with what each layout lacks, or what is in the way."""
    about, known, lacking = ABOUT[name], {}, {}
    official, stems = about.get("official", PARTS), {file: file.name.split(".")[0] for file in files}
    for file in files:
        with open(file, encoding="utf-8-sig", errors="replace") as stream:
            head = stream.read(HEAD)
        for layout, signs in reversed(about["layouts"].items()):
            lacks = [words for words, sign in signs.items() if not re.search(sign, head)]
            lacking[layout] = min(lacking.get(layout, lacks), lacks, key=len)
            known |= {} if lacks else {file: layout}
    used = list(known)
    for word in about.get("prefer", ()):
        used = [file for file in used if word in file.as_posix().lower().split("/")[:-1]] or used
    used = [file for file in used if stems[file] in official] or used
    forms, names = {known[file] for file in used}, [file.name for file in used]
    lost = [file.name for file in files if file not in known and stems[file] in official
            and file.suffix in {one.suffix for one in used}]
    if not used or lost or len(forms) > 1 or forms & {*about.get("refused", ())} or len({*names}) < len(names):
        said = [f"{path}: {', '.join(lost)}: empty, or of another layout than the files beside it." if lost else
                f"{path}: {', '.join(names[:9])}: {' and '.join(sorted(forms))}: another corpus, or there more than once. "
                "Give the one file or folder that is meant." if used else
                f"{path}: no known layout of {name!r} in {len(files):,} files. Tried, with what is lacking:"]
        said += [f"- {layout}: {', '.join(lacks)}" for layout, lacks in reversed(lacking.items()) if not used]
        raise ConpetError("\n".join([*said, about["wanted"]]))
    left = [file.name for file in files if file not in used and file.name != about.get("beside")]
    report.notes += [f"recognised: {forms.pop()}"]
    report.notes += [f"{len(left):,} files not read: {', '.join(left[:5])}"] * bool(left)
    return sorted(used, key=lambda file: ([*PARTS, stems[file]].index(stems[file]), file))

def read_corpus(name: str, path: Path | pd.DataFrame, read: Callable[..., Found], options: dict) -> Corpus:
    """The corpus in which `read` finds examples, file by file. A large one is kept, and found again while its files and
    the options are the same. Raises: ConpetError with all faults; after 20 of a kind their number."""
    about, report, place = ABOUT[name], ReadReport(), path if isinstance(path, Path) else Path("table")
    if place is path and not path.exists():
        raise ConpetError(f"{path}: no such file or folder. {about['wanted']}")
    with tempfile.TemporaryDirectory() as work:
        try:
            files = choose(path, find_files(path, Path(work)), name, report) if place is path else []
        except BROKEN as error:
            raise ConpetError(f"{path} cannot be unpacked: {error}. Is it cut? Fetch it again.") from None
        parts = sorted({one for file in files for one in (file, *file.parent.glob(about.get("beside", file.name)))})
        key = digest(VERSION, name, sorted(options.items()), *(digest(file.name, file.read_bytes()) for file in parts))
        kept = cache_folder() / "corpora" / f"{key}.parquet"
        if files and (corpus := load_stored(kept)):
            return corpus
        merging = not options.pop("repeats", "repeats" not in about.get("options", ()))
        examples, faults = gathered([(file.name, read(file, report, **options)) for file in files] or
                                    [("table", read(path, report, **options))], report, merging)
    if faults or not examples:
        shown = [f"{place}: {sum(map(len, faults.values())):,} fault(s), so nothing was read." if faults else
                 f"{place}: there is no example in it. {report}"]
        for found in faults.values():
            shown += found[:20] + [f"... and {len(found) - 20:,} more of this kind"] * (len(found) > 20)
        raise ConpetError("\n".join([*shown, f"Expected: {about['expected']}.", about["wanted"]]))
    counts, split = Counter(one.label for one in examples), DATA / "splits" / f"{name}.json"
    known = sum(json.loads(split.read_text(encoding="utf-8"))["tasks"], []) if split.is_file() else counts
    report.unknown.update({label: counts[label] for label in sorted(counts) if label not in known})
    single = [label for label, count in sorted(counts.items()) if count == 1]
    report.notes += [f"labels with one example: {', '.join(single)}"] * bool(single)
    report.notes += ["there is one label only"] * (len(counts) == 1)
    report.read, report.skipped, report.merged = len(examples), +report.skipped, +report.merged        # no zeros
    kind = about["kind"] or KINDS[len(examples[0].spans)]
    corpus = Corpus(name if about["kind"] else place.stem, kind, examples, report,
                    {one.label: one.group for one in examples if one.group})
    if files and len(examples) >= KEPT:
        store(kept, corpus)
    return corpus

def gathered(found: list[tuple[str, Found]], report: ReadReport, merging: bool) -> tuple[list[Example], dict]:
    """All examples found in files, given by name, and the faults by kind; keys stand once and, if merging, mentions."""
    examples, keys, seen, faults = [], set(), set(), defaultdict(list)
    for name, ones in found:
        try:
            for one in ones:
                if isinstance(one, Example):
                    f"{one.key}{one.text}{one.label}".encode()          # a ValueError for halves of signs, out of JSON
                    if one.key in keys or not one.label.strip():
                        one = f"{one.source}: the key {one.key!r} stands twice, or its label {one.label!r} is none"
                if isinstance(one, str):
                    faults[re.sub(r"^[^:]*:|[\d'\"(\[].*", "", one)].append(f"{name}, {one[:300]}")
                    continue
                keys.add(one.key)
                if merging and (one.text, one.spans, one.label) in seen:
                    report.merged["exact repeats of a mention"] += 1
                    continue
                seen |= {(one.text, one.spans, one.label)} if merging else set()
                if len(one.text) > LONGEST:
                    report.truncated["texts, around their spans"] += 1
                    one = shortened(one)
                examples.append(one)
        except FAULTS as error:
            faults["file"].append(f"{name} cannot be read: {type(error).__name__} {error}"[:2000])
    return examples, faults
