"""A reader of one's own: registered it loads, `check_reader` lets it pass, and names each mistake.

The corpus of these tests has a riddle on each line: `question | answer word | label`.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import corpus_writers as writers
import pytest

import conpet_lib as cp
from conpet_lib.corpora import READERS, Example, Fault, Layout, Reader, register_reader
from conpet_lib.corpora.reader import PARTS, record_by_record
from conpet_lib.corpora.text import joined, lines_of, text_of

LINES = [
    "what runs in Oll and never walks | Oll | river",
    "what has hands in Brevik but no arms | hands | clock",
    "what has keys and opens no door in Tarn | keys | piano",
    "what has a neck and no head in Dorvik | neck | bottle",
    "what gets wet while it dries in Venmouth | dries | towel",
]


def read_line(file, report, where: str, line: str) -> Iterator[Example]:
    """The example of one line."""
    columns = [column.strip() for column in line.split("|")]
    if len(columns) != 3:
        raise Fault(f"expected question | word | label, found {line!r}")
    question, word, label = columns
    if not label:
        report.skipped["no label"] += 1
        return
    start = question.find(word)
    if start < 0:
        raise Fault(f"the word {word!r} is not in the question")
    text, spans = joined(question, [(start, start + len(word))])
    key = f"{file.stem}:{where.removeprefix('line ')}"
    yield Example(key, text, spans, label, PARTS.get(file.stem), f"{file.name}, {where}")


def read_file(file, report):
    """The riddles of one file, as a reader should give them."""
    return record_by_record(
        lines_of(text_of(file)), lambda where, line: read_line(file, report, where, line)
    )


RIDDLES = Reader(
    name="riddles",
    kind="typing",
    read_file=read_file,
    layouts=(Layout("riddles", {"a line with two bars": r"(?m)^[^|\n]+\|[^|\n]+\|[^|\n]*$"}),),
    expected="lines of question | word | label",
    wanted="Wanted: riddles.txt, which the tests write.",
)


@pytest.fixture
def folder(tmp_path):
    """Two parts of the corpus."""
    (tmp_path / "riddles").mkdir()
    (tmp_path / "riddles" / "train.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    (tmp_path / "riddles" / "test.txt").write_text("\n".join(LINES[:2]) + "\n", encoding="utf-8")
    return tmp_path / "riddles"


def changed(change) -> Reader:
    """The reader, with something changed in each of its examples."""

    def read(file, report):
        for finding in read_file(file, report):
            yield change(finding) if isinstance(finding, Example) else finding

    return replace(RIDDLES, read_file=read)


def failures(reader: Reader, folder, **options) -> str:
    """What `check_reader` says of a broken reader."""
    with pytest.raises(cp.ConpetError) as error:
        cp.check_reader(reader, folder, **options)
    return str(error.value)


def test_a_reader_registered_in_a_cell_loads_its_corpus_and_may_be_registered_again(
    folder, monkeypatch
):
    monkeypatch.setattr("conpet_lib.corpora.READERS", READERS.copy())
    register_reader(RIDDLES)
    corpus = cp.load_corpus("riddles", folder)
    assert corpus.name == "riddles"
    assert corpus.kind == "typing"
    assert [example.part for example in corpus.examples] == ["test"] * 2 + ["train"] * 5
    assert "recognised: riddles" in str(corpus.report)
    register_reader(replace(RIDDLES, kind="relation"))
    assert cp.load_corpus("riddles", folder).kind == "relation"


def test_a_reader_may_not_take_the_name_of_a_corpus_of_the_librarys():
    with pytest.raises(cp.ConpetError, match=r"'fewrel' of its own. Give the reader another name"):
        register_reader(replace(RIDDLES, name="fewrel"))
    assert READERS["fewrel"].kind == "relation"


def test_a_registered_reader_gives_the_messages_of_every_corpus(folder, monkeypatch):
    monkeypatch.setattr("conpet_lib.corpora.READERS", READERS.copy())
    register_reader(RIDDLES)
    with pytest.raises(cp.ConpetError, match=r"needs path= for this corpus. Wanted: riddles.txt"):
        cp.load_corpus("riddles")
    (folder / "train.txt").write_text("Oll | Oll | river\nOll | Tarn | town\n")
    with pytest.raises(
        cp.ConpetError,
        match=r"(?s)1 fault.*train.txt, line 2: the word 'Tarn' is not.*Expected: lines of quest",
    ):
        cp.load_corpus("riddles", folder)


def test_a_good_reader_passes_and_hears_what_was_checked(folder):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    checked = cp.check_reader(RIDDLES, folder)
    assert len(checked) == 11
    assert "A damaged file is refused or accounted for." in checked
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("layout", writers.LAYOUTS)
def test_every_reader_of_the_library_passes(layout, tmp_path):
    corpus, _, write = writers.LAYOUTS[layout]
    files = write(writers.records_of(layout, 12))
    folder = writers.write(tmp_path / "files", files)
    assert len(cp.check_reader(READERS[corpus], folder)) == 11


class _Counting:
    """A number that goes on from reading to reading, as a global counter would."""

    def __init__(self):
        self.numbers = count()

    def __call__(self, example: Example) -> Example:
        return replace(example, key=f"{example.key}-{next(self.numbers)}")


@pytest.mark.parametrize(
    "change, reason",
    [
        (_Counting(), "A second reading gives the same: .*a counter that goes on"),
        (
            lambda example: replace(example, key=example.label),
            "Each example has a key of its own: the key 'river' stands twice, at .*, line",
        ),
        (
            lambda example: replace(example, key=7),
            "Each example has a key of its own: .*has the key 7: give it a text",
        ),
        (
            lambda example: replace(example, label=" "),
            "Labels are not empty: test.txt, line 1 has the label ' ': count such a record",
        ),
        (
            lambda example: replace(example, spans=((0, len(example.text) + 1),)),
            r"Spans lie inside of their texts.*the span \(0, \d+\) does not lie in the text",
        ),
        (
            lambda example: replace(example, spans=((4, 5),)),
            r"Spans lie inside of their texts.*\(4, 5\) holds blanks alone",
        ),
        (
            lambda example: replace(example, spans=((0, 4), (5, 9))),
            "Spans lie inside of their texts.*has 2 spans where 1 are wanted: choose another",
        ),
        (
            lambda example: replace(example, source="riddles"),
            "Sources name file and line or record: .* name file and line or record, as 'test.txt",
        ),
        (
            lambda example: replace(example, part="dev"),
            "Parts have official names: .*'dev': use test, train, valid or None",
        ),
    ],
    ids=[
        "counter",
        "label as key",
        "number as key",
        "empty label",
        "span outside",
        "blank span",
        "two spans",
        "no line",
        "other part",
    ],
)
def test_a_wrong_example_is_named_with_what_to_mend(folder, change, reason):
    assert re.search(f"(?s){reason}", failures(changed(change), folder))


def test_spans_that_overlap_are_named(folder):
    overlapping = changed(lambda example: replace(example, spans=((0, 4), (2, 7))))
    assert "overlap" in failures(replace(overlapping, kind="relation"), folder)


def test_a_reader_that_counts_what_it_read_wrongly_is_named(folder):
    def read(file, report):
        report.read += 1
        yield from read_file(file, report)

    told = failures(replace(RIDDLES, read_file=read), folder)
    assert "gives 5 examples, and its report says 1 were read: leave `report.read` alone" in told


def test_a_reader_that_opens_files_itself_is_sent_to_text_of(folder):
    def read(file, report):
        text = file.read_text(encoding="utf-8")  # the byte order mark stays in the first question
        return record_by_record(
            lines_of(text), lambda where, line: read_line(file, report, where, line)
        )

    told = failures(replace(RIDDLES, read_file=read), folder)
    assert "A copy saved on Windows reads the same: a copy of test.txt" in told
    assert "read the file by `text_of`" in told


def test_a_reader_that_takes_records_apart_without_looking_is_named_with_its_traceback(folder):
    def read(file, report):
        for where, line in lines_of(text_of(file)):
            word = line.split("|")[1].strip()
            yield from read_line(file, report, where, f"{line.split('|')[0]}|{word}|x")

    with pytest.raises(cp.ConpetError) as error:
        cp.check_reader(replace(RIDDLES, read_file=read), folder)
    assert "A damaged file is refused or accounted for: test.txt" in str(error.value)
    assert "raises IndexError list index out of range: check what you take" in str(error.value)
    assert isinstance(error.value.__cause__, IndexError)


def test_a_reader_that_drops_what_it_does_not_understand_is_named(folder):
    def read(file, report):
        for finding in read_file(file, report):
            if isinstance(finding, Example):
                yield finding

    told = failures(replace(RIDDLES, read_file=read), folder)
    assert "with a line of garbage at its end is read as if it were whole" in told
    assert "with a line of garbage in its middle is read as if it were whole" in told
    assert "count in report.skipped what is left out, or raise Fault" in told


def test_a_reader_that_ends_at_the_first_bad_line_in_silence_is_named(folder):
    def read(file, report):
        for finding in read_file(file, report):
            if not isinstance(finding, Example):
                report.skipped["the rest of the file"] += 1
                return
            yield finding

    told = failures(replace(RIDDLES, read_file=read), folder)
    assert "train.txt with a line of garbage in its middle is read as if it were whole" in told
    assert "at its end" not in told  # there it is one line that is left out and counted


def test_a_reader_that_ignores_bytes_that_are_no_text_is_named(folder):
    def read(file, report):
        text = file.read_bytes().decode("utf-8-sig", "ignore").replace("\0", "")
        return record_by_record(
            lines_of(text), lambda where, line: read_line(file, report, where, line)
        )

    told = failures(replace(RIDDLES, read_file=read), folder)
    assert "with bytes that are no text in its middle is read as if it were whole" in told


def test_a_bug_on_the_sample_itself_is_told_first_and_alone(folder):
    def read(file, report):
        raise KeyError("question")
        yield

    told = failures(replace(RIDDLES, read_file=read), folder)
    assert "The sample is read without a fault: test.txt: read_file raises KeyError" in told
    assert "fails 1 check(s)" in told


def test_a_reader_that_gives_something_else_is_named(folder):
    def read(file, report):
        yield ("question", "label")

    told = failures(replace(RIDDLES, read_file=read), folder)
    assert "read_file gave a tuple, neither an Example nor a text" in told


def test_a_sample_with_faults_or_without_an_example_is_named(folder):
    with (folder / "train.txt").open("a") as stream:
        stream.write("no bars\n")
    assert "train.txt, line 6: expected question" in failures(RIDDLES, folder)
    silent = replace(RIDDLES, read_file=lambda file, report: iter([]))
    assert "read_file gave no example" in failures(silent, folder)


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"name": "my riddles"}, "name='my riddles': give it letters, digits"),
        ({"kind": "joke"}, "kind='joke': choose one of definition, typing, relation, text"),
        ({"wanted": " "}, "in `wanted` what to get from where"),
        ({"layouts": ()}, "layouts is empty: add a Layout"),
        ({"layouts": (Layout("any", {"a text": ".*"}),)}, "'any' fit an empty file"),
        ({"layouts": (Layout("any", {"a text": "["}),)}, "'any' is no regular expression"),
        (
            {"options": {"language": ["en"]}},
            r"callable as read_file\(file, report, language=...\): got an unexpected keyword",
        ),
    ],
    ids=["name", "kind", "wanted", "no layout", "empty sign", "bad sign", "options"],
)
def test_what_a_reader_says_of_itself_is_checked_first(folder, fields, reason):
    assert re.search(reason, failures(replace(RIDDLES, **fields), folder))


def test_files_of_another_layout_are_refused_as_by_load_corpus(folder):
    other = replace(RIDDLES, layouts=(Layout("riddles", {"a line with ten bars": r"(\|.*){10}"}),))
    with pytest.raises(cp.ConpetError, match=r"(?s)no known layout of 'riddles' in 2 files"):
        cp.check_reader(other, folder)


def test_options_reach_the_reader_and_unknown_ones_are_refused(tmp_path):
    (tmp_path / "mine.csv").write_text("Words,verdict\nOll is cold,x\nTarn is far,y\n")
    assert cp.check_reader(READERS["table"], tmp_path, text="Words", label="verdict")
    with pytest.raises(cp.ConpetError, match="language='en' is no option of 'table'"):
        cp.check_reader(READERS["table"], tmp_path, language="en")
