"""Costs: stages that cost the same, and forecasts beside what a run measured."""

import pytest
import torch
from conftest import MAIN, make_learner, make_stream, quick
from transformers import AutoModelForCausalLM, LlamaConfig

import conpet_lib as cp
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.features import Features
from conpet_lib.runs.clock import cpu_threads


def entries_of(run, stage: int) -> list[dict]:
    """What the ledgers of all parts of a learner say of one stage."""
    entries = [entry for ledger in run.record.ledgers.values() for entry in ledger]
    return [entry for entry in entries if entry["stage"] == stage]


@pytest.mark.parametrize("kind", MAIN)
def test_every_stage_from_the_second_on_trains_on_as_many_rows(kind, bert, tmp_path):
    run = cp.train(make_stream(4), bert, quick(kind, epochs=1), folder=tmp_path, bar=False)
    parts = 2 if kind == "dynamic" else 1
    passes_of_stages = set()
    rows_of_stages = set()
    for stage, cost in zip((2, 3, 4), run.costs[1:], strict=True):
        entries = entries_of(run, stage)
        passes = cost["counts"]["top_rows_trained"]
        assert passes == sum(entry["rows_with_gradient"] for entry in entries)
        assert [entry["steps"] for entry in entries] == [4] * parts
        passes_of_stages.add(passes)
        rows_of_stages.add(tuple(entry["rows"] for entry in entries))
    assert len(passes_of_stages) == 1
    assert len(rows_of_stages) == 1


def test_every_stage_records_seconds_memory_passes_and_operations(learned):
    for run in learned.values():
        assert [cost["stage"] for cost in run.costs] == [1, 2, 3]
        for cost in run.costs:
            assert {"prefix", "module", "evaluation"} <= set(cost["wall"])
            assert min(cost["wall"].values()) >= 0
            assert min(cost["cpu"].values()) >= 0
            assert sum(cost["cpu"].values()) > 0
            assert min(cost["host"].values()) > 2**20
            assert cost["operations"]["top_trained"] > cost["operations"]["head_trained"] > 0
            assert cost["operations"]["prefix"] > 0
            assert cost["counts"]["prefix_misses"] > 0
    assert ["selector" in cost["wall"] for cost in learned["dynamic"].costs] == [False, True, True]


def adapter_size(backbone, **more) -> int:
    """Weights of one adapter of rank 4."""
    shapes = backbone.register(backbone.pet("lora", 4, 1.0, **more))
    return sum(shape.numel() for shape in shapes.values())


def test_llama_7b_has_3213_times_as_many_weights_as_its_lora(monkeypatch):
    # Weights that are not there have no hash.
    monkeypatch.setattr("conpet_lib.models.layers.digest", lambda *parts: "")
    # The authors' shapes.
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    llama = Backbone("llama-7b", model, None, 32, "all", torch.device("meta"), torch.float32)
    adapter = adapter_size(llama, targets=("q_proj", "k_proj"))
    assert adapter == 2_097_152
    assert llama.weights == 6_738_415_616
    assert llama.weights // adapter == 3213


def test_an_adapter_of_the_last_layer_is_a_share_of_that_of_all(tiny_models):
    last = cp.load_backbone(tiny_models["bert"], 1, device="cpu")
    whole = cp.load_backbone(tiny_models["bert"], "all", device="cpu")
    assert adapter_size(last) * 4 == adapter_size(whole)


@pytest.mark.parametrize(
    "name, more",
    [
        ("vanilla", {}),
        ("static", {}),
        ("static", {"batch_limit": None}),
        ("dynamic", {}),
        ("dynamic", {"active": 2}),
        ("dynamic", {"batch_limit": None}),
        ("dynamic", {"modules": 2}),
        ("dynamic", {"modules": 1}),
        ("dynamic", {"selector": "labels"}),
        ("dynamic", {"selector": "exact"}),
        ("dynamic", {"selector": "exact", "joined_layers": None}),
        ("dynamic", {"selector": "solved"}),
        ("static", {"head": "exact"}),
        ("static", {"head": "exact", "head_layers": 2}),
        ("ridge", {}),
        ("ranpac", {"projection": 50}),
        ("emr", {"memory": 3}),
        ("emr", {"memory": 99}),
        ("emr", {"memory_in_all": 9}),
        ("emr", {"memory_in_all": 3}),
    ],
)
def test_parameters_and_steps_are_those_that_the_run_has(bert, tmp_path, name, more):
    stream = make_stream()
    config = quick(name, **more)
    expected = cp.forecast(stream, bert, config)
    run = cp.train(stream, bert, config, folder=tmp_path, bar=False)
    table = expected.beside(run)
    for quantity in ("trained parameters", "optimiser steps"):
        assert table.loc[quantity, "predicted"] == table.loc[quantity, "measured"]
    assert expected.minutes > 0
    if name == "emr":
        history = len(run.learner.kept["memory"])
    elif name in ("vanilla", "ridge", "ranpac") or more.get("selector") == "exact":
        history = 0
    else:
        history = sum(len(task.train) for task in stream)
    assert expected.history_rows == history
    sums = [run.learner.kept.get(name) for name in ("gram", "targets")]
    assert expected.sums_bytes == sum(part.nbytes for part in sums if part is not None)
    assert expected.full_tuning_ratio * expected.trained_parameters == pytest.approx(bert.weights)


def test_an_answer_takes_as_many_passes_for_any_number_of_tasks(bert):
    for active in (1, 3):
        config = quick("dynamic", active=active)
        for tasks in (4, 8):
            forecast = cp.forecast(make_stream(tasks), bert, config, calibrate=False)
            assert forecast.passes_per_answer == 1 + active
    static = cp.forecast(make_stream(), bert, quick("static"), calibrate=False)
    assert static.passes_per_answer == 1


def test_without_calibration_no_minutes_are_claimed(bert):
    assert cp.forecast(make_stream(), bert, quick(), calibrate=False).minutes is None


def test_a_calibration_that_fails_gives_the_threads_back(bert, monkeypatch):
    def fail(*args):
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError

    monkeypatch.setattr(Features, "fill", fail)
    with cpu_threads(2):
        with pytest.raises(ZeroDivisionError):
            cp.forecast(make_stream(), bert, quick())
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 1


def test_the_papers_settings_limit_no_first_stage_and_lower_the_rate_later():
    config = cp.paper(cp.DynamicConfig, "fewnerd")
    assert (config.limit(1), config.limit(2)) == (None, 2000)
    assert [config.rate(stage) for stage in (1, 2, 3, 10)] == [5e-4, 5e-4, 1e-4, 1e-4]
    assert cp.paper(cp.StaticConfig, "fewrel", epochs=1).rate(9) == 2e-4
    with pytest.raises(cp.ConpetError, match="Did you mean 'fewrel'"):
        cp.paper(cp.StaticConfig, "fewrell")


@pytest.mark.parametrize("batch_size", [11, 12, 13])
@pytest.mark.parametrize("kind", ["vanilla", "joint", "static", "emr", "dynamic"])
def test_without_a_batch_limit_the_steps_are_those_that_were_planned(kind, batch_size, bert):
    stream = make_stream(2)  # 12 training rows each
    learner = make_learner(
        kind, stream, bert, batch_limit=None, batch_size=batch_size, epochs=1, valid_examples=2
    )
    for stage in (1, 2):
        learner.fit(stage)
        ledgers = [part.ledger for part in learner.parts.values()]
        entries = [entry for ledger in ledgers for entry in ledger if entry["stage"] == stage]
        assert sum(entry["steps"] for entry in entries) == learner.steps(stage), stage


EVERY_KIND = ["vanilla", "static", "joint", "emr", "ea-emr", "crl", "crl*", "ewc", "lwf", "dynamic"]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_passes_of_a_stage_are_those_that_were_planned(kind, bert):
    learner = make_learner(kind, make_stream(3), bert, valid_examples=6)
    for stage in (1, 2, 3):
        plans = learner.plan(stage).values()
        before = learner.features.counts
        learner.fit(stage)
        taken = learner.features.counts - before
        # A row with a gradient beside those of the steps, as EWC has it, costs as much as three.
        beside = taken["top_rows_trained"] - sum(plan.steps * plan.rows for plan in plans)
        # Without a past half of the validation rows is lacking, in each of two epochs.
        lacking = 0 if learner.past(stage) else 2 * 3
        planned = sum(plan.passes for plan in plans)
        assert planned == taken["top_rows"] + 3 * beside + lacking, stage
