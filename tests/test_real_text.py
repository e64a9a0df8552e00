"""What the project claims, on real text with the packaged backbones.

These tests are long: they are part of `make test-all` only.
"""

import numpy as np
import pytest
import torch
from conftest import make_corpus, quick
from main_job import SETTINGS
from scipy.stats import linregress

import conpet_lib as cp

pytestmark = pytest.mark.long
CONFIGS = {"vanilla": cp.VanillaConfig, "static": cp.StaticConfig, "dynamic": cp.DynamicConfig}


def train_all(stream, backbone, seed: int, **settings) -> dict:
    """A run of each of the three learners; the prefix cache is shared."""
    return {
        kind: cp.train(stream, backbone, config(**settings), seed=seed, bar=False)
        for kind, config in CONFIGS.items()
    }


def check(runs: dict, labels: int) -> None:
    """Vanilla forgets all but its last task; replay and frozen modules do not.

    The selector bounds Dynamic.
    """
    ends = {kind: run.average_accuracy.iloc[-1] for kind, run in runs.items()}
    assert ends["vanilla"] < ends["static"] and ends["vanilla"] < ends["dynamic"]
    assert runs["vanilla"].forgetting > runs["static"].forgetting + 0.2
    assert runs["dynamic"].whole_accuracy.iloc[-1] <= runs["dynamic"].selector_accuracy.iloc[-1]
    assert runs["static"].whole_accuracy.iloc[-1] > 3 / labels, "hardly better than chance"


@pytest.mark.parametrize("seed", [0, 1])
def test_on_the_default_stream_vanilla_forgets_and_both_methods_do_not(
    wordnet, pages_cache, monkeypatch, seed
):
    monkeypatch.setenv("CONPET_CACHE", str(pages_cache))  # the pages train the runs of seed 0
    stream = cp.make_stream(wordnet, split_seed=seed, order_seed=seed)
    backbone = cp.load_backbone("minilm-l6", device="cpu")
    runs = train_all(stream, backbone, seed)
    ends = {kind: run.average_accuracy.iloc[-1] for kind, run in runs.items()}
    assert ends["vanilla"] < 0.30 and ends["static"] > 0.80 and ends["dynamic"] > 0.75, ends
    share = runs["static"].record.trained_weights / runs["static"].record.backbone_weights
    assert share < 0.002 and runs["dynamic"].summary()["peak memory"] < 2 * 2**30


def test_on_the_default_stream_what_is_solved_ends_above_what_is_trained(
    wordnet, pages_cache, monkeypatch
):
    monkeypatch.setenv("CONPET_CACHE", str(pages_cache))  # the pages train these runs
    stream = cp.make_stream(wordnet)
    backbone = cp.load_backbone("minilm-l6", device="cpu")
    trained = [cp.StaticConfig(), cp.DynamicConfig()]
    solved = [cp.StaticConfig(head="exact"), cp.DynamicConfig(selector="exact")]
    for one, other in zip(trained, solved):
        ends = []
        for config in (one, other):
            run = cp.train(stream, backbone, config, bar=False)
            ends.append(run.average_accuracy.iloc[-1])
        assert ends[1] > ends[0] + 0.02


@pytest.mark.parametrize(
    "name, folder, tasks, labels_per_task",
    [("fewrel", "fewrel16", 8, 2), ("fewnerd", "fewnerd_inter", 5, 6)],
)
def test_the_same_calls_work_on_another_corpus(shared_data, name, folder, tasks, labels_per_task):
    stream = cp.make_stream(cp.load_corpus(name, shared_data / folder), tasks, labels_per_task)
    check(
        train_all(stream, cp.load_backbone("minilm-l6", device="cpu"), 0), tasks * labels_per_task
    )


def test_the_decoder_is_read_at_a_middle_layer(wordnet):
    stream = cp.make_stream(wordnet, tasks=3, labels_per_task=3, train=30, valid=10, test=20)
    backbone = cp.load_backbone("smollm2-135m", device="cpu")
    assert 0 < backbone.boundary < backbone.exit_layer < 30
    check(train_all(stream, backbone, 0, **SETTINGS["smollm2-135m"], epochs=2), 9)


@pytest.mark.parametrize(
    "kind, more", [("static", {}), ("dynamic", {}), ("dynamic", {"active": 2})]
)
def test_of_200_tasks_the_last_costs_what_the_second_does(kind, more, bert, tmp_path):
    stream = cp.make_stream(make_corpus(200, 6), 200, 1, train=3, valid=1, test=2)
    settings = {"batch_limit": 2, "epochs": 1, "valid_examples": 2}
    config = quick(kind, targets=("query", "value"), **settings, **more)
    run = cp.train(stream, bert, config, folder=tmp_path, bar=False)
    trained = [cost["counts"]["top_rows_trained"] for cost in run.costs[1:]]
    assert more or len(set(trained)) == 1
    parts = 2 if kind == "dynamic" else 1  # the selector and a module, or the module alone
    assert max(trained) <= parts * 2 * 8  # 2 steps of 8 rows
    memory = np.array([max(cost["host"].values()) for cost in run.costs]) / 2**20
    growth = linregress(np.arange(100, 200), memory[100:]).slope
    assert growth < 0.2, f"memory grows by {growth:.2f} MiB a task"
    sizes = []
    for folder in (run.folder / "modules").iterdir():
        if not folder.name.startswith("selector"):
            files = folder.glob("*.safetensors")
            sizes.append(sum(file.stat().st_size for file in files))
    weights = []
    for module in run.learner.modules:
        bytes_of_weights = 4 * sum(map(torch.numel, module.parameters()))
        bytes_of_label_numbers = 8 * len(module.owner)
        weights.append(bytes_of_weights + bytes_of_label_numbers)
    assert len(sizes) == (200 if kind == "dynamic" else 1)
    assert max(sizes) <= 1.05 * max(weights) + 2048
