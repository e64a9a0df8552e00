"""One form for the examples of every corpus, and one way from a path as it was handed out to a checked `Corpus`.
In: a path, and what reads one file. Out: a `Corpus`, or one ConpetError with every fault. By which signs a layout is
told, and what to get, is data: `data/corpora.json`. Knows no layout itself. Start at `read_corpus`."""

import gzip
import json
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from conpet_lib.core.assets import DATA, cache_folder
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import digest
from conpet_lib.corpora.example import LONGEST, Corpus, Example, ReadReport
from conpet_lib.corpora.kept import load_stored, store
from conpet_lib.corpora.reader import ABOUT, FAULTS, PARTS, Found
from conpet_lib.corpora.text import shortened

VERSION, KEPT = (
    1,
    100_000,
)  # raise the first when a reader gives other examples; a corpus of so many is kept


BROKEN = (
    OSError,
    EOFError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
)  # a faulty archive


def find_files(path: Path, work: Path) -> list[Path]:
    """The files under a path; archives are unpacked into `work`, and links in them are not followed."""
    files, found = (
        [],
        [path] if path.is_file() else sorted(filter(Path.is_file, path.rglob("[!.]*"))),
    )
    for place, file in enumerate(found):  # grows by what is in an archive
        inside = work / f"{place}"
        if zipfile.is_zipfile(file):
            shutil.unpack_archive(
                file, inside, "zip"
            )  # a link becomes a file that holds its target's name
        elif tarfile.is_tarfile(file):
            shutil.unpack_archive(file, inside, "tar", filter="data")
        elif file.suffix == ".gz":
            inside.mkdir()
            (inside / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        else:
            files.append(file)
        found += sorted(filter(Path.is_file, inside.rglob("[!.]*")))
    return files


def choose(path: Path, files: list[Path], name: str, report: ReadReport) -> list[Path]:
    """The files to read, of a layout that is told by content, the scarce parts first: of several folders the preferred
    one, of parts the official ones. Raises: ConpetError with what each layout lacks, or what is in the way."""
    about, known, near = ABOUT[name], {}, {}
    official, stems = (
        about.get("official", PARTS),
        {file: file.name.split(".")[0] for file in files},
    )
    for file in files:
        with open(file, encoding="utf-8-sig", errors="replace") as stream:
            head = stream.read(1 << 20)
        for layout, signs in reversed(about["layouts"].items()):
            lacks = [words for words, sign in signs.items() if not re.search(sign, head)]
            near[layout] = min(near.get(layout, lacks), lacks, key=len)
            known |= {} if lacks else {file: layout}
    used = list(known)
    for word in about.get("prefer", ()):
        used = [file for file in used if word in file.as_posix().lower().split("/")[:-1]] or used
    used = [file for file in used if stems[file] in official] or used
    forms, names = {known[file] for file in used}, [file.name for file in used]
    if (
        not used
        or len(forms) > 1
        or forms & {*about.get("refused", ())}
        or len({*names}) < len(names)
    ):
        said = [
            f"{path}: {', '.join(names[:9])}: {' and '.join(sorted(forms))}: another corpus, or more than one. "
            "Give the file or folder that is meant."
            if used
            else f"{path}: no known layout of {name!r} in {len(files):,} files. Tried, with what is lacking:"
        ]
        said += [
            f"- {one}: {', '.join(near.get(one, signs))}" for one, signs in about["layouts"].items()
        ] * (not used)
        raise ConpetError("\n".join([*said, about["wanted"]]))
    left = [
        file.name
        for file in files
        if file not in used and not any(map(file.match, about.get("beside", ())))
    ]
    report.notes += [
        f"recognised: {forms.pop()}",
        *[f"files not read: {', '.join(left[:9])}"] * bool(left),
    ]
    return sorted(used, key=lambda file: ([*PARTS, stems[file]].index(stems[file]), file))


def read_corpus(
    name: str, path: Path | pd.DataFrame, read: Callable[..., Found], options: dict
) -> Corpus:
    """The corpus in which `read` finds examples, file by file; a key and, unless `repeats`, a mention stands once.
    Raises: ConpetError with all faults; after 20 of a kind their number."""
    about, report, place = (
        ABOUT[name],
        ReadReport(),
        path if isinstance(path, Path) else Path("table"),
    )
    if place is path and not path.exists():
        raise ConpetError(f"{path}: no such file or folder. {about['wanted']}")
    examples, keys, seen, faults, repeats = (
        [],
        set(),
        set(),
        defaultdict(list),
        options.pop("repeats", True),
    )
    with tempfile.TemporaryDirectory() as work:
        try:
            files = (
                choose(path, find_files(path, Path(work)), name, report)
                if place is path
                else [path]
            )
        except BROKEN as error:
            raise ConpetError(
                f"{path} cannot be unpacked: {error}. Is it cut? Fetch it again."
            ) from None
        parts = {*files} if place is path else set()
        parts |= {
            one
            for file in parts
            for pattern in about.get("beside", ())
            for one in file.parent.glob(pattern)
        }
        key = digest(
            VERSION,
            name,
            repeats,
            options,
            *(digest(one.name, one.read_bytes()) for one in sorted(parts)),
        )
        kept = cache_folder() / "corpora" / f"{key}.parquet"
        if parts and (corpus := load_stored(kept)):
            return corpus
        for file in files:
            try:
                found = [*read(file, report, **options)]
            except FAULTS as error:
                found = [f"cannot be read: {type(error).__name__} {error}"]
            for one in found:
                if isinstance(one, Example) and (one.key in keys or not one.label.strip()):
                    one = f"{one.source}: the key {one.key!r} stands twice, or {one.label!r} is no label"
                if isinstance(one, str):
                    kind = re.sub(r"^[^:]*:|[\d'\"(\[].*", "", one)
                    faults[kind].append(f"{file.name if place is path else 'table'}, {one[:300]}")
                elif not repeats and (one.text, one.spans, one.label) in seen:
                    report.merged["exact repeats of a mention"] += 1
                else:
                    keys.add(one.key)
                    seen.add(0 if repeats else (one.text, one.spans, one.label))
                    report.truncated[f"texts to {LONGEST:,} characters around their spans"] += (
                        len(one.text) > LONGEST
                    )
                    examples.append(one if len(one.text) <= LONGEST else shortened(one))
    if faults or not examples:
        shown = [
            f"{place}: {sum(map(len, faults.values())):,} fault(s), so nothing was read."
            if faults
            else f"{place}: there is no example in it. {report}"
        ]
        for said in faults.values():
            shown += said[:20] + [f"... and {len(said) - 20:,} more of this kind"] * (
                len(said) > 20
            )
        raise ConpetError("\n".join([*shown, f"Expected: {about['expected']}.", about["wanted"]]))
    counts, split = Counter(one.label for one in examples), DATA / "splits" / f"{name}.json"
    known = (
        sum(json.loads(split.read_text(encoding="utf-8"))["tasks"], [])
        if split.is_file()
        else counts
    )
    report.unknown.update({label: counts[label] for label in sorted(counts) if label not in known})
    single = [label for label, count in sorted(counts.items()) if count == 1]
    report.notes += [f"labels with one example: {', '.join(single)}"] * bool(single)
    report.notes += ["there is one label only"] * (len(counts) < 2)
    report.read, report.skipped, report.merged = (
        len(examples),
        +report.skipped,
        +report.merged,
    )  # no zeros
    report.truncated = +report.truncated
    kind = about["kind"] or ("text", "typing", "relation")[len(examples[0].spans)]
    groups = {one.label: one.group for one in examples if one.group}
    corpus = Corpus(name if about["kind"] else place.stem, kind, examples, report, groups)
    if parts and len(examples) >= KEPT:
        store(kept, corpus)
    return corpus
