"""Corpora, files: folders, archives, bad input of every kind, and the forms of your own tables."""

import json
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import corpus_writers as writers
import pandas as pd
import pytest
from conftest import quick

import conpet_lib as cp
from conpet_lib.core.assets import DATA, cache_folder
from conpet_lib.corpora import READERS


def seen(corpus) -> list[tuple]:
    return [(example.text, *example.span_texts(), example.label) for example in corpus.examples]


def test_of_few_nerds_three_sets_the_supervised_one_is_read_and_two_others_ask_which_is_meant(
    tmp_path,
):
    text = b"Lake\tlocation-GPE\nOrvell\tlocation-GPE\n"
    writers.write(
        tmp_path, {f"{name}/train.txt": text for name in ("supervised", "inter", "intra")}
    )
    corpus = cp.load_corpus("fewnerd", tmp_path)
    assert len(corpus.examples) == 1 and corpus.report.notes[0] == "recognised: Few-NERD text"
    (tmp_path / "supervised" / "train.txt").unlink()
    with pytest.raises(cp.ConpetError, match=r"more than one. Give the file or folder"):
        cp.load_corpus("fewnerd", tmp_path)
    assert len(cp.load_corpus("fewnerd", tmp_path / "inter").examples) == 1


def test_a_folder_of_no_known_layout_gets_what_each_layout_lacks(tmp_path):
    (tmp_path / "notes.txt").write_text('{"tokens": ["Oll"]}\n')
    with pytest.raises(cp.ConpetError) as error:
        cp.load_corpus("bbn", tmp_path)
    for part in (
        "no known layout of 'bbn' in 1 files",
        "- text of 4 or 5 columns: a line of start, end",
        '- AFET JSON lines: the field "mentions"\n',
        "- LDC2005T33, names in tags: a tag",
        "LDC licence",
    ):
        assert part in str(error.value)


def test_a_link_in_a_zip_is_not_followed_and_a_cut_archive_is_named(tmp_path):
    (tmp_path / "secret.txt").write_text("Lake\tlocation-GPE\n")
    link = zipfile.ZipInfo("train.txt")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as box:
        box.writestr(link, str(tmp_path / "secret.txt"))
    with pytest.raises(cp.ConpetError, match="no known layout of 'fewnerd'"):
        cp.load_corpus("fewnerd", tmp_path / "all.zip")
    for form in ("zip", "tgz", "gz"):
        data = writers.packed(form, writers.fewnerd(writers.records_of("Few-NERD text", 40)))
        (tmp_path / f"cut.{form}").write_bytes(data[: len(data) // 2])
        with pytest.raises(
            cp.ConpetError,
            match=r"(?s)cannot be unpacked|no known layout|cut.zip.*found other bytes",
        ):
            cp.load_corpus("fewnerd", tmp_path / f"cut.{form}")


def test_bytes_that_are_no_text_are_named_by_their_lines_and_half_a_sign_is_refused(tmp_path):
    rows = [
        b"Lake\tlocation-GPE",
        "Br\xfccke\tlocation-GPE".encode("latin-1"),
        b"",
        b"Oll\0\tlocation-GPE",
    ]
    (tmp_path / "train.txt").write_bytes(b"\n".join(rows))
    with pytest.raises(
        cp.ConpetError,
        match=r"(?s)expected UTF-8, found other bytes or NUL in 2 lines \(2, 4\).*La",
    ):
        cp.load_corpus("fewnerd", tmp_path)
    writers.write(tmp_path / "half", {"mine.jsonl": b'{"text": "\\ud800 Oll", "label": "x"}\n'})
    with pytest.raises(cp.ConpetError, match=r"mine.jsonl, line 1: .*surrogates"):
        cp.load_corpus("table", tmp_path / "half")


def test_deep_json_a_key_twice_one_label_and_single_examples_are_said(tmp_path):
    deep = '{"text": ' + "[" * 100_000 + "\n"
    lines = f'{{"text": "Oll", "label": "x"}}\n{deep}{{"text": "a", "text": "b"}}\n'
    writers.write(tmp_path, {"mine.jsonl": lines.encode()})
    with pytest.raises(
        cp.ConpetError, match=r"(?s)2 fault.*line 2: .*recursion.*line 3: .*a key stands twice"
    ):
        cp.load_corpus("table", tmp_path)
    report = cp.load_corpus("table", pd.DataFrame({"text": ["Oll"], "label": ["x"]})).report
    assert "labels with one example: x" in str(report) and "there is one label only" in str(report)


def test_a_sentence_of_a_hundred_thousand_tokens_is_cut_around_its_spans_counted_and_trained_on(
    tmp_path, bert
):
    rows = [
        (["heath"] * 50_000 + [f"Tarn{number}"] + ["ridge"] * 50_000, [(50_000, 50_001, label)])
        for label in ("/person", "/location")
        for number in range(12)
    ]
    corpus = cp.load_corpus(
        "ontonotes",
        writers.write(tmp_path / "files", {"mine.json": writers.afet(rows)["train.json"]}),
    )
    assert [one.span_texts()[0] for one in corpus.examples[:2]] == ["Tarn0", "Tarn1"]
    assert {len(one.text) for one in corpus.examples} == {
        10_000
    } and corpus.report.truncated.total() == 24
    assert len({one.sentence for one in corpus.examples}) == 12  # the whole stays one sentence
    stream = cp.make_stream(corpus, tasks=1, labels_per_task=2, train=4, valid=2, test=2)
    run = cp.train(
        stream, bert, quick("static"), folder=tmp_path / "run", cache=tmp_path, bar=False
    )
    assert run.finished and run.costs[0]["counts"]["truncated"] > 0


def test_rows_of_a_csv_with_other_columns_or_columns_named_alike_are_refused_by_line(tmp_path):
    (tmp_path / "mine.csv").write_text('text;label\n"Oll\nis; cold";x\nTarn\nOll;x;y\n')
    with pytest.raises(
        cp.ConpetError, match=r"(?s)2 fault.*line 4: .*another number of columns.*line 5: "
    ):
        cp.load_corpus("table", tmp_path)
    (tmp_path / "mine.csv").write_text("text,text,label\nOll,Tarn,x\n")
    with pytest.raises(cp.ConpetError, match="names do not stand once"):
        cp.load_corpus("table", tmp_path)


def test_spans_may_be_marked_in_the_texts_of_a_table_if_every_text_has_them(tmp_path):
    texts = ["[Maren] met {Holt}.", "{Oll} is crossed by the [Tarn Bridge]"]
    corpus = cp.load_corpus(
        "table", pd.DataFrame({"text": texts, "relation": ["meets", "crosses"]})
    )
    assert corpus.kind == "relation" and "spans from the marks" in str(corpus.report)
    assert seen(corpus) == [
        ("Maren met Holt.", "Maren", "Holt", "meets"),
        ("Oll is crossed by the Tarn Bridge", "Tarn Bridge", "Oll", "crosses"),
    ]
    typing = cp.load_corpus("table", pd.DataFrame({"text": ["[Oll] is cold"], "label": ["river"]}))
    assert typing.kind == "typing" and seen(typing) == [("Oll is cold", "Oll", "river")]
    plain = cp.load_corpus(
        "table", pd.DataFrame({"text": [*texts, "no mark"], "label": ["a", "b", "c"]})
    )
    assert plain.kind == "text" and seen(plain)[0][0] == texts[0]


def test_a_dataset_is_read_with_the_names_of_its_classes_and_its_parts():
    frame = pd.DataFrame(
        {
            "text": ["Oll is cold", "Tarn", "x"],
            "label": [1, 0, -1],
            "split": ["train", "validation", ""],
        }
    )
    features = {
        "text": SimpleNamespace(dtype="string"),
        "label": SimpleNamespace(names=["town", "river"]),
    }
    corpus = cp.load_corpus("table", SimpleNamespace(to_pandas=lambda: frame, features=features))
    assert [(one.label, one.part) for one in corpus.examples] == [
        ("river", "train"),
        ("town", "valid"),
    ]
    assert corpus.report.skipped == {"no label": 1}  # -1 is what `datasets` has for none
    with pytest.raises(cp.ConpetError, match="cannot read a dict"):
        cp.load_corpus("table", {"text": ["Oll"]})


@pytest.mark.parametrize(
    "options, reason",
    [({"repeats": 7}, "repeats=7 is no option of 'bbn'"), ({"text": "x"}, "text='x' is no option")],
)
def test_an_option_that_a_corpus_does_not_have_is_refused(tmp_path, options, reason):
    with pytest.raises(cp.ConpetError, match=reason):
        cp.load_corpus("bbn", tmp_path, **options)


def test_a_large_corpus_is_kept_and_a_damaged_or_changed_one_read_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("conpet_lib.corpora.reading.KEPT", 20)
    folder = writers.write(
        tmp_path / "files", writers.fewrel(writers.relation_records("fewrel", 30))
    )
    writers.write(folder, {"pid2name.json": b'{"P177": ["crosses", "a bridge"]}'})
    first, kept = cp.load_corpus("fewrel", folder), cache_folder() / "corpora"
    (file,) = kept.iterdir()
    changed = file.stat().st_mtime_ns
    again = cp.load_corpus("fewrel", folder)
    assert again == first and repr(again.examples) == repr(
        first.examples
    )  # hashes are of what is printed
    assert file.stat().st_mtime_ns == changed
    other = replace(READERS["fewrel"], read_file=lambda *given: iter(["it was read anew"]))
    monkeypatch.setitem(READERS, "fewrel", other)
    assert len(cp.load_corpus("fewrel", folder).examples) == 30
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    with pytest.raises(cp.ConpetError, match="it was read anew"):  # its checksum is wrong
        cp.load_corpus("fewrel", folder)
    file.unlink()
    monkeypatch.undo()
    writers.write(folder, {"pid2name.json": b'{"P177": ["spans", "a bridge"]}'})
    assert "P177 is 'spans'" in str(cp.load_corpus("fewrel", folder).report)


def test_the_counts_in_the_report_of_a_kept_corpus_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr("conpet_lib.corpora.reading.KEPT", 1)
    (tmp_path / "train.txt").write_text("Lake\tlocation-GPE\n\nOll\tO\n\nis\tO\n")
    first = cp.load_corpus("fewnerd", tmp_path)
    assert first.report.skipped == {"sentences without a mention": 2}
    again = cp.load_corpus("fewnerd", tmp_path)
    assert again == first
    assert str(again.report) == str(first.report)


def test_a_kept_corpus_is_read_anew_when_its_reader_has_another_version(tmp_path, monkeypatch):
    monkeypatch.setattr("conpet_lib.corpora.reading.KEPT", 1)
    (tmp_path / "train.txt").write_text("Lake\tlocation-GPE\n")
    cp.load_corpus("fewnerd", tmp_path)
    other = replace(READERS["fewnerd"], read_file=lambda *given: iter(["it was read anew"]))
    monkeypatch.setitem(READERS, "fewnerd", other)
    assert len(cp.load_corpus("fewnerd", tmp_path).examples) == 1
    monkeypatch.setitem(READERS, "fewnerd", replace(other, version=2))
    with pytest.raises(cp.ConpetError, match="it was read anew"):
        cp.load_corpus("fewnerd", tmp_path)


def test_a_mistake_in_a_reader_is_no_fault_of_the_file_and_keeps_its_traceback(
    tmp_path, monkeypatch
):
    (tmp_path / "train.txt").write_text("Lake\tlocation-GPE\n")
    for bug in (TypeError, KeyError, AttributeError, IndexError, RecursionError):

        def read_file(file, report, bug=bug):
            raise bug("a typing error")
            yield

        other = replace(READERS["fewnerd"], read_file=read_file)
        monkeypatch.setitem(READERS, "fewnerd", other)
        with pytest.raises(bug, match="a typing error"):
            cp.load_corpus("fewnerd", tmp_path)


def test_the_licences_of_the_readers_are_those_that_an_export_names():
    licences = json.loads((DATA / "licences.json").read_text(encoding="utf-8"))
    for name, reader in READERS.items():
        assert reader.licence == licences.get(name, "that of your own data")


def test_files_of_any_name_beside_a_corpus_do_no_harm_and_what_was_read_is_not_called_unread(
    tmp_path,
):
    document = writers.ldc(writers.records_of("ACE, LDC", 3))
    writers.write(tmp_path, {**document, "a/b": b"x", "old.gz/notes": b"y", "c": b"z"})
    writers.write(tmp_path / "towns", {"mine.txt": b"Oll\tlocation-GPE\n", "a/b": b"x"})
    assert len(cp.load_corpus("fewnerd", tmp_path / "towns" / "mine.txt").examples) == 1
    (tmp_path / "towns" / "mine.txt").unlink()
    report = cp.load_corpus("ace", tmp_path).report
    assert report.read == 3 and "files not read: b, c, notes, b" in report.notes
    (tmp_path / "none").mkdir()
    with pytest.raises(
        cp.ConpetError, match=r"(?s)in 0 files. Tried.*- DyGIE.. JSON lines: an object a line"
    ):
        cp.load_corpus("ace", tmp_path / "none")


def test_hidden_folders_such_as_the_checkpoints_of_notebooks_are_not_read(tmp_path):
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "mine.csv").write_text("text,label\nrain again,weather\ngoal now,sport\n")
    older = "text,label\nrain again,weather\ngoal now,weather\nold row,sport\n"
    (tmp_path / ".ipynb_checkpoints" / "mine-checkpoint.csv").write_text(older)
    corpus = cp.load_corpus("table", tmp_path)
    assert [(one.text, one.label) for one in corpus.examples] == [
        ("rain again", "weather"),
        ("goal now", "sport"),
    ]
