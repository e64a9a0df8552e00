"""Exporting: plain PEFT reads what a run hands on, and the card says what it is."""

import json
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch
import yaml
from conftest import make_stream, quick
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel

import conpet_lib as cp
from conpet_lib.models.features import Features
from conpet_lib.runs import export


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize(
    "kind, more", [("static", {}), ("dynamic", {}), ("dynamic", {"selector": "labels"})]
)
def test_plain_peft_gives_the_same_features_and_labels(kind, more, family, tiny_models, tmp_path):
    stream, backbone = (
        make_stream(2),
        cp.load_backbone(tiny_models[family], tuned_layers=2, exit_layer=3, device="cpu"),
    )
    run = cp.train(stream, backbone, quick(kind, **more), folder=tmp_path / "run", bar=False)
    folder = run.export(tmp_path / "out" / "deep")
    places = {path.name for path in folder.iterdir()}
    assert places == {"README.md", "module-0"} | (
        {"module-1", "selector"} if kind == "dynamic" else set()
    )
    row, features = stream[0].test[0], Features(stream.examples, stream.kind, backbone)
    prompt, bare = features.encode(int(row)), None
    for place in sorted(places - {"README.md"}):
        module = (
            run.learner.selector.modules[0]
            if place == "selector"
            else run.learner.modules[int(place[-1])]
        )
        ours = features.features_of([row], module)[0]
        with torch.no_grad():
            fresh, tokens = (
                AutoModel.from_pretrained(tiny_models[family]),
                torch.tensor([prompt.tokens]),
            )
            bare = fresh(tokens, output_hidden_states=True).hidden_states[3][0, prompt.answer]
            model = PeftModel.from_pretrained(fresh, folder / place).eval()
            state = model(tokens, output_hidden_states=True).hidden_states[3][0, prompt.answer]
        assert not torch.allclose(bare, state, atol=1e-2), "the adapter was not loaded"
        feature = state / state.square().mean().sqrt()
        torch.testing.assert_close(
            feature, ours, rtol=2e-3, atol=2e-3
        )  # ours passes half precision
        head, labels = (
            load_file(folder / place / "head.safetensors"),
            json.loads((folder / place / "labels.json").read_text()),
        )
        assert len(labels) == len(head["weight"]) == len(head["bias"])
        if place == "module-0":
            best = labels[int((head["weight"] @ feature + head["bias"]).argmax())]
            within = run.predictions.query("stage == 2 and key == @stream.examples[@row].key")[
                "within_task"
            ].iloc[0]
            assert kind == "static" or best == within
    told = [", ".join(task.labels) for task in stream]
    wanted = {
        "module-0": list(stream.labels) if kind == "static" else list(stream[0].labels),
        "selector": list(stream.labels) if more else told,
        "module-1": list(stream[1].labels),
    }
    for place in places - {"README.md"}:
        assert json.loads((folder / place / "labels.json").read_text()) == wanted[place]


def test_the_card_says_data_metrics_limits_and_licences(learned, learnable, tmp_path):
    run = learned["dynamic"]
    text = (run.export(tmp_path / "card") / "README.md").read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert (
        head["library_name"] == "peft"
        and head["base_model"] == "bert"
        and "{" not in text.replace("{text}", "").replace("{span}", "")
    )
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Data",
        "## Metrics",
        "## Limits",
        "## Licences",
    ]
    for number, task in enumerate(learnable, 1):
        matrix = run.accuracy_matrix
        labels = ", ".join(task.labels)
        then = f"{matrix.loc[number, number]:.3f}"
        at_the_end = f"{matrix.loc[3, number]:.3f}"
        assert f"| {number} | {labels} | 24 | 8 | 40 | {then} | {at_the_end} |" in text
    assert (
        f"average accuracy {run.average_accuracy.iloc[-1]:.3f}" in " ".join(text.split())
        and "your own data" in text
    )
    assert str(tmp_path) not in text and "/tmp" not in text


def test_licences_of_packaged_backbone_and_corpus_are_named(learned, tmp_path):
    run = learned["static"]
    record = replace(
        run.record,
        backbone=replace(run.record.backbone, name="minilm-l6"),
        stream=replace(run.record.stream, corpus="wordnet"),
    )
    known = cp.runs.Run(run.folder, record, run.learner.features.backbone)
    text = (known.export(tmp_path / "card") / "README.md").read_text()
    assert (
        "Backbone: Apache-2.0" in text
        and "Corpus: WordNet 3.0 licence" in text
        and 'base_model: "minilm-l6"' in text
    )


@pytest.mark.parametrize("name", ["yes: no #1", "[a", "on", 'two "words"'])
def test_the_head_of_the_card_is_yaml_whatever_the_backbones_folder_is_called(
    name, learned, tmp_path
):
    run = learned["static"]
    record = replace(run.record, backbone=replace(run.record.backbone, name=name))
    known = cp.runs.Run(run.folder, record, run.learner.features.backbone)
    text = (known.export(tmp_path / "card") / "README.md").read_text()
    assert yaml.safe_load(text.split("---")[1])["base_model"] == name


@pytest.mark.parametrize(
    "count, said",
    [
        (0, "No sentence stands on two sides of the split (case, white space and signs aside"),
        (7, "Sentences that stand on two sides of the split: 7 (case, white space"),
        (None, "It is not recorded how many sentences stand on two sides of the split."),
    ],
)
def test_the_card_says_how_many_sentences_stand_on_two_sides(count, said, learned, tmp_path):
    run = learned["static"]
    assert run.record.sentences_on_two_sides == 0
    record = replace(run.record, sentences_on_two_sides=count)
    known = cp.runs.Run(run.folder, record, run.learner.features.backbone)
    assert said in (known.export(tmp_path / "card") / "README.md").read_text()


def test_no_export_over_what_is_there_or_of_what_is_damaged(learned, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("mine")
    with pytest.raises(cp.ConpetError, match=r"full is not empty\. Export into a new folder"):
        learned["static"].export(tmp_path / "full")
    shutil.copytree(learned["static"].folder, tmp_path / "run")
    head = next((tmp_path / "run" / "modules").rglob("head.safetensors"))
    head.write_bytes(head.read_bytes()[:-1] + b"x")
    with pytest.raises(cp.ConpetError, match=r"head\.safetensors cannot be read"):
        cp.load_run(tmp_path / "run").export(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("writes", [1, 3, 4])
def test_an_export_that_is_killed_leaves_nothing_that_the_next_call_refuses(
    writes, learned, tmp_path, monkeypatch
):
    run = learned["dynamic"]
    assert run.learner
    (tmp_path / "empty").mkdir()

    def export_until_killed(folder):
        done = []
        write = export.write_json

        def write_and_die(*arguments):
            write(*arguments)
            done.append(arguments)
            if len(done) == writes:
                os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(export, "write_json", write_and_die)
        run.export(folder)

    for folder in (tmp_path / "new", tmp_path / "empty"):
        process = multiprocessing.get_context("fork").Process(
            target=export_until_killed, args=(folder,)
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not folder.exists() or not list(folder.iterdir())
        assert [path.name[:9] for path in tmp_path.iterdir() if path.name[0] == "."] == [
            ".writing-"
        ]
        assert (run.export(folder) / "README.md").is_file()
        assert not list(tmp_path.glob(".*")), "what the kill left is swept"
