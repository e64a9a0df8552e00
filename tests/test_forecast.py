"""Forecasts: parameters by hand, and what a run then measured."""

import pytest
from conftest import make_stream, quick
from transformers import BertConfig, LlamaConfig

import conpet_lib as cp
from conpet_lib.forecast import pet_size


def test_llama_7b_has_3213_times_as_many_weights_as_its_lora():
    adapter, whole = pet_size(LlamaConfig(vocab_size=32000, hidden_size=4096, intermediate_size=11008,
                                          num_hidden_layers=32, num_attention_heads=32),
                              rank=4, targets=("q_proj", "k_proj"))
    assert (adapter, whole, whole // adapter) == (2_097_152, 6_738_415_616, 3213)     # the authors' shapes


def test_an_adapter_of_the_last_layer_is_a_share_of_that_of_all():
    shape = BertConfig(hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32)
    assert pet_size(shape, tuned_layers=1)[0] * 4 == pet_size(shape)[0]


@pytest.mark.parametrize("name, more", [
    ("vanilla", {}), ("static", {}), ("static", {"batch_limit": None}), ("dynamic", {}), ("dynamic", {"active": 2}),
    ("dynamic", {"batch_limit": None}),
    ("dynamic", {"modules": 2}), ("dynamic", {"modules": 1}), ("dynamic", {"selector": "labels"})])
def test_parameters_and_steps_are_those_that_the_run_has(bert, tmp_path, name, more):
    stream, config = make_stream(), quick(name, **more)
    expected = cp.forecast(stream, bert, config)
    run = cp.train(stream, bert, config, folder=tmp_path, bar=False)
    table = expected.beside(run)
    assert table.loc["trained parameters", "predicted"] == table.loc["trained parameters", "measured"]
    assert table.loc["optimiser steps", "predicted"] == table.loc["optimiser steps", "measured"]
    assert expected.minutes > 0 and expected.share == pytest.approx(1 / expected.full_tuning_ratio)


def test_an_answer_takes_as_many_passes_for_any_number_of_tasks(bert):
    for active in (1, 3):
        passes = {
            cp.forecast(make_stream(tasks), bert, quick("dynamic", active=active), calibrate=False).passes_per_answer
            for tasks in (4, 8)
        }
        assert passes == {1 + active}
    assert cp.forecast(make_stream(), bert, quick("static"), calibrate=False).passes_per_answer == 1


def test_without_calibration_no_minutes_are_claimed(bert):
    assert cp.forecast(make_stream(), bert, quick(), calibrate=False).minutes is None


def test_the_papers_settings_limit_no_first_stage_and_lower_the_rate_later():
    config = cp.paper(cp.DynamicConfig, "fewnerd")
    assert (config.limit(1), config.limit(2)) == (None, 2000)
    assert [config.rate(stage) for stage in (1, 2, 3, 10)] == [5e-4, 5e-4, 1e-4, 1e-4]
    assert cp.paper(cp.StaticConfig, "fewrel", epochs=1).rate(9) == 2e-4
    with pytest.raises(cp.ConpetError, match="Did you mean 'fewrel'"):
        cp.paper(cp.StaticConfig, "fewrell")
