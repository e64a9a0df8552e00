"""The check of the machine: each fault has a remedy, and a ready machine has none."""

import pytest

import conpet_lib as cp


def test_a_ready_machine_has_nothing_to_do(wordnet):
    table = cp.check_machine()
    assert {"Python", "packages", "kernel", "device", "memory", "disk", "wordnet", "minilm-l6"} == set(table.index)
    assert (table.loc[["Python", "packages", "wordnet", "minilm-l6"], "to do"] == "").all()


@pytest.mark.parametrize("part, value, row, remedy", [
    ("version", lambda name: "0.1", "packages", "make setup: torch 0.1, wanted ==2.13.0"),
    ("shutil.disk_usage", lambda place: type("", (), {"free": 2**30}), "disk", "CONPET_CACHE"),
    ("psutil.virtual_memory", lambda: type("", (), {"available": 2**30}), "memory", "close other programs")])
def test_a_fault_has_its_remedy(part, value, row, remedy, monkeypatch, wordnet):
    monkeypatch.setattr(f"conpet_lib.machine.{part}", value)
    assert remedy in cp.check_machine().loc[row, "to do"]


def test_an_asset_that_cannot_be_had_says_how_to_bring_it(monkeypatch, wordnet):
    def refuse(name):
        raise cp.ConpetError("put the archive into the downloads")
    monkeypatch.setattr("conpet_lib.machine.asset_folder", refuse)
    assert cp.check_machine().loc["minilm-l6"].tolist() == ["not there", "put the archive into the downloads"]
