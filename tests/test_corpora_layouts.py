"""Corpora, every layout alike: what is written is read, from plain files and archives, and can be trained on."""

import corpus_writers as writers
import pytest
from conftest import quick
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import conpet_lib as cp

LAYOUTS = list(writers.LAYOUTS)
ONE_OF_EACH = ["Few-NERD text", "OntoNotes, 5 columns", "BBN, LDC", "FewRel JSON", "TACRED CoNLL", "ACE, LDC", "CSV"]


def read(layout: str, path, **options):
    return cp.load_corpus(writers.LAYOUTS[layout][0], path, **options)


def found(corpus) -> list[tuple]:
    return sorted((example.text, *example.span_texts(), example.label) for example in corpus.examples)


# Tokens of any characters that no layout uses for itself: no white space, no tag, no mark, no PTB bracket.
TOKENS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="<>[]{}_`'"), min_size=1, max_size=8)


@st.composite
def typing(draw, labels):
    """Sentences with separate mentions; a small letter behind each, so that neighbours do not melt."""
    records = []
    for number in range(draw(st.integers(1, 4))):
        tokens, mentions = [f"s{number}"], []
        for _ in range(draw(st.integers(1, 3))):
            name = draw(st.lists(TOKENS, min_size=1, max_size=3))
            mentions.append((len(tokens), len(tokens) + len(name), draw(st.sampled_from(labels))))
            tokens += [*name, "x"]
        records.append((tokens, mentions))
    return records


@st.composite
def relation(draw, labels):
    records = []
    for number in range(draw(st.integers(1, 4))):
        first, second = (draw(st.lists(TOKENS, min_size=1, max_size=3)) for _ in "ht")
        spans = [(1, 1 + len(first)), (2 + len(first), 2 + len(first) + len(second))]
        head, tail = spans if draw(st.booleans()) else spans[::-1]
        records.append(([f"s{number}", *first, "x", *second, "y"], head, tail, draw(st.sampled_from(labels))))
    return records


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_written_in_a_layout_is_read_from_it(tmp_path_factory, layout, data):
    corpus, kind, write = writers.LAYOUTS[layout]
    records = data.draw({"typing": typing, "relation": relation}[kind](writers.LABELS[corpus]))
    more = {"brackets": False, "ends": "inclusive"} if layout == "TACRED JSON" else {}
    read_back = read(layout, writers.write(tmp_path_factory.mktemp("layout"), write(records)), **more)
    if layout == "ACE, LDC":  # its text is cut into sentences anew
        assert sorted(line[1:] for line in found(read_back)) == sorted(line[1:] for line in writers.seen(records))
    else:
        assert found(read_back) == writers.seen(records)
    assert read_back.report.read == len(read_back.examples) and not read_back.report.skipped.total()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_byte_order_mark_windows_line_ends_and_a_missing_last_one_change_nothing(tmp_path, layout):
    records = writers.records_of(layout, 12)
    files = writers.LAYOUTS[layout][2](records)
    odd = {
        name: b"\xef\xbb\xbf" * (not name.endswith(".xml")) + data.replace(b"\n", b"\r\n").removesuffix(b"\r\n")
        for name, data in files.items()
    }
    assert found(read(layout, writers.write(tmp_path, odd))) == writers.seen(records)


@pytest.mark.parametrize("form", ["zip", "tgz", "gz"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_archive_reads_as_its_files_do(tmp_path, layout, form):
    records = writers.records_of(layout, 12)
    files = writers.LAYOUTS[layout][2](records)
    if form == "gz" and len(files) > 1:
        pytest.skip("gz holds one file")
    archive = tmp_path / f"{next(iter(files))}.{form}"
    archive.write_bytes(writers.packed(form, files))
    for path in (archive, tmp_path):
        corpus = read(layout, path)
        assert found(corpus) == writers.seen(records)
        assert form == "gz" or corpus.examples[0].source.startswith(archive.name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_told_by_content_whatever_the_name_and_the_guess_is_reported(tmp_path, layout):
    files = writers.LAYOUTS[layout][2](writers.records_of(layout, 12))
    if len(files) > 1:
        pytest.skip("a pair is found by its names")
    (tmp_path / "something.dat").write_bytes(next(iter(files.values())))
    corpus = read(layout, tmp_path / "something.dat")
    assert found(corpus) == writers.seen(writers.records_of(layout, 12))
    assert "recognised: " in str(corpus.report) and {example.part for example in corpus.examples} == {None}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_keys_are_unique_and_a_second_read_gives_the_same_corpus_from_the_cache(tmp_path, layout, monkeypatch):
    folder = writers.write(tmp_path, writers.LAYOUTS[layout][2](writers.records_of(layout, 30)))
    first = read(layout, folder)
    assert len({example.key for example in first.examples}) == len(first.examples)
    monkeypatch.setattr("conpet_lib.corpora.reading.Sink.lines", None)  # nothing is parsed again
    second = read(layout, folder)
    assert (second.examples, second.report, second.groups) == (first.examples, first.report, first.groups)
    assert (second.name, second.kind) == (first.name, first.kind)


@pytest.mark.parametrize("layout", ONE_OF_EACH)
def test_static_conpet_trains_two_stages_on_a_stream_of_each_corpus(tmp_path, layout, tiny_models):
    writers.write(tmp_path / "data", writers.LAYOUTS[layout][2](writers.records_of(layout, 80)))
    corpus = read(layout, next((tmp_path / "data").iterdir()) if layout == "CSV" else tmp_path / "data")
    if {example.part for example in corpus.examples} == {"train"}:
        corpus = read(layout, renamed(tmp_path / "data"))
    stream = cp.make_stream(corpus, tasks=2, labels_per_task=2, train=6, valid=3, test=3)
    backbone = cp.load_backbone(tiny_models["bert"], tuned_layers=2, device="cpu")
    run = cp.train(stream, backbone, quick("static"), seed=0, folder=tmp_path / "run", bar=False)
    assert run.accuracy_matrix.shape == (2, 2) and run.accuracy_matrix.iloc[1].notna().all()


def renamed(folder):
    """A folder whose file has no official part's name, so that all sides are drawn from it."""
    for file in folder.iterdir():
        file.rename(folder / f"all_{file.name}")
    return folder
