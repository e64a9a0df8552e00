"""Store: what is read is what was written, by any process, or it is computed again."""

import multiprocessing
import os
import resource
import shutil
import sqlite3
import zlib
from pathlib import Path

import pytest
import torch

from conpet_lib.core.store import Store

KEYS = [f"key {place}" for place in range(20)]


def values(keys=KEYS, width: int = 3, dtype=torch.float32) -> dict[str, torch.Tensor]:
    """A tensor a key, of as many rows as the key is long."""
    return {
        key: torch.randn(len(key), width, generator=torch.Generator().manual_seed(place)).to(dtype)
        for place, key in enumerate(keys)
    }


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        one[key].dtype == other[key].dtype and torch.equal(one[key], other[key]) for key in one
    )


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store.sqlite", 2**30)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_later_store_reads_what_was_put(store, dtype):
    store.put(values(dtype=dtype))
    later = Store(store.file, 2**30)
    assert later.missing([*KEYS, "other", "other"]) == ["other"]
    found = later.get([*KEYS, "other"])
    assert equal({key: found[key] for key in KEYS}, values(dtype=dtype)) and len(found) == 20
    assert (store.misses, store.written) == (
        20,
        sum(value.nbytes for value in values(dtype=dtype).values()),
    )
    assert (later.hits, later.misses) == (20, 0)


def test_a_value_put_again_replaces_the_first(store):
    store.put(values(width=3))
    store.put(values(KEYS[:1], width=4))
    assert store.get(KEYS[:1])[KEYS[0]].shape == (5, 4) and len(store.get(KEYS)) == 20


def test_nothing_is_made_on_disk_before_the_first_use(store):
    assert store.bytes == 0 and not list(store.file.parent.iterdir())


def test_above_the_limit_the_oldest_go(tmp_path):
    store = Store(tmp_path / "store.sqlite", 200_000)
    for key in KEYS:
        store.put({key: torch.randn(100, 64)})  # 25,600 bytes
    there = [key for key in KEYS if key not in store.missing(KEYS)]
    assert 0 < store.bytes <= 200_000 and there == KEYS[-len(there) :] and 3 <= len(there) <= 7
    assert store.evicted == 20 - len(there)


def test_a_changed_value_is_dropped_and_the_others_stay(store):
    store.put(values())
    base = sqlite3.connect(store.file)
    with base:
        (content,) = base.execute("SELECT value FROM kept WHERE key = ?", (KEYS[3],)).fetchone()
        base.execute(
            "UPDATE kept SET value = ? WHERE key = ?",
            (bytes([content[0] ^ 1]) + content[1:], KEYS[3]),
        )
    assert sorted(set(KEYS) - set(store.get(KEYS))) == [KEYS[3]] and store.damaged == 1
    assert store.missing(KEYS) == [KEYS[3]]
    store.put(values())
    assert equal(store.get([KEYS[3]]), {KEYS[3]: values()[KEYS[3]]})


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"no database" * 400,
        lambda content: b"\0" + content[1:],
        lambda content: content[:5000],
    ],
    ids=["other", "changed", "torn"],
)
def test_a_damaged_file_is_put_aside_and_begun_anew(store, damage):
    store.put(values())
    store.base.close()
    store.file.write_bytes(damage(store.file.read_bytes()))
    later = Store(store.file, 2**30)
    assert (
        later.get(KEYS) == {} and later.damaged == 1 and store.file.with_suffix(".damaged").exists()
    )
    later.put(values())
    assert equal(later.get(KEYS), values())


def test_a_full_disk_is_said_in_words_and_harms_nothing(store):
    store.put(values())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    large = {"large": torch.zeros(1000, 100)}
    message = r"cache .*store\.sqlite cannot be written.* CONPET_CACHE"
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.warns(UserWarning, match=message) as told:
            store.put(large)
            store.put(large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(told) == 1, "it is said once"
    assert equal(store.get([*KEYS, "large"]), values() | large), "it goes on in memory"
    later = Store(store.file, 2**30)
    assert equal(later.get(KEYS), values()) and later.missing(["large"]) == ["large"]


def test_a_value_is_served_under_its_own_key_type_and_width_alone(store):
    changes = [
        "width = 1",
        "width = 0",
        "width = 'wide'",
        "type = 'torch.float16'",
        "type = 'torch.int8'",
        "type = CAST(x'ff' AS TEXT)",
        "value = CAST(value AS TEXT)",
        "checksum = 'none'",
        "key = 'another'",
    ]
    store.put(values())
    base = sqlite3.connect(store.file)
    with base:
        for key, change in zip(KEYS, changes):
            base.execute(f"UPDATE kept SET {change} WHERE key = ?", [key])
    base.close()
    found = Store(store.file, 2**30).get([*KEYS, "another"])
    untouched = KEYS[len(changes) :]
    assert equal(found, {key: values()[key] for key in untouched})


def test_a_stale_page_of_the_index_serves_no_value_of_another_key(store):
    store.put(values())
    (page,) = store.base.execute(
        "SELECT rootpage FROM sqlite_master WHERE type = 'index'"
    ).fetchone()
    (size,) = store.base.execute("PRAGMA page_size").fetchone()
    store.base.close()
    content = store.file.read_bytes()
    index = content[(page - 1) * size : page * size]
    swapped = index.replace(b"key 3", b"key ?").replace(b"key 4", b"key 3")
    swapped = swapped.replace(b"key ?", b"key 4")
    assert swapped != index
    store.file.write_bytes(content[: (page - 1) * size] + swapped + content[page * size :])
    later = Store(store.file, 2**30)
    assert later.get(["key 3", "key 4"]) == {} and later.damaged == 2


def test_a_file_of_the_former_format_is_computed_again(tmp_path):
    file = tmp_path / "store.sqlite"
    base = sqlite3.connect(file)
    with base:
        base.execute(
            "CREATE TABLE kept (key TEXT PRIMARY KEY, type TEXT NOT NULL, width INTEGER NOT NULL, "
            "checksum INTEGER NOT NULL, value BLOB NOT NULL)"
        )
        for key, value in values().items():
            content = value.numpy().tobytes()
            row = (key, str(value.dtype), 1, zlib.crc32(content), content)  # of a wrong width
            base.execute("INSERT INTO kept VALUES (?, ?, ?, ?, ?)", row)
    base.close()
    store = Store(file, 2**30)
    assert store.get(KEYS) == {} and store.missing(KEYS) == KEYS and store.damaged == 0
    store.put(values())
    assert equal(Store(file, 2**30).get(KEYS), values())


def cut_to_nothing(file):
    os.truncate(file, 0)


def cut_in_half(file):
    os.truncate(file, file.stat().st_size // 2)


def put_aside(file):
    file.rename(file.with_suffix(".aside"))


def put_another_in_its_place(file):
    file.unlink()
    Store(file, 2**30).put(values(["other"]))


def remove_with_its_folder(file):
    shutil.rmtree(file.parent)


@pytest.mark.parametrize(
    "harm",
    [
        cut_to_nothing,
        cut_in_half,
        put_aside,
        put_another_in_its_place,
        remove_with_its_folder,
        lambda file: file.write_bytes(b"no database" * 4000),
    ],
)
def test_a_file_that_is_harmed_while_it_is_open_costs_values_and_stops_nobody(harm, tmp_path):
    store = Store(tmp_path / "folder" / "store.sqlite", 2**30)
    large = {key: torch.full((100, 64), float(place)) for place, key in enumerate(KEYS)}
    store.put(large)
    store.get(KEYS)
    harm(store.file)
    found = store.get(KEYS)
    assert all(torch.equal(found[key], large[key]) for key in found)
    store.put(large)
    assert equal(store.get(KEYS), large)
    assert equal(Store(store.file, 2**30).get(KEYS), large), "it is kept on disk again"


def test_no_file_is_mapped_into_memory(store):
    store.put(values())
    store.get(KEYS)
    assert "store.sqlite" not in Path("/proc/self/maps").read_text()


def test_a_lock_that_fails_stops_nobody_and_is_said(store, monkeypatch):
    def refuse(*arguments, **settings):
        raise sqlite3.OperationalError("locking protocol")

    monkeypatch.setattr("conpet_lib.core.database.sqlite3.connect", refuse)
    with pytest.warns(UserWarning, match=r"cannot be used \(locking protocol\).*same results"):
        assert store.missing(KEYS) == KEYS
        store.put(values())
    assert equal(store.get(KEYS), values()) and not store.file.exists()


def test_a_store_that_is_locked_for_ever_is_gone_on_without(store, monkeypatch):
    monkeypatch.setattr("conpet_lib.core.database.SECONDS_TO_WAIT", 0.1)
    store.put(values())
    other = sqlite3.connect(store.file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    waiting = Store(store.file, 2**30)
    with pytest.warns(UserWarning, match=r"cannot be .*\(database is locked\)"):
        waiting.put(values(["mine"]))
        assert equal(waiting.get([*KEYS, "mine"]), values(["mine"]))
    other.close()


def test_what_shall_not_be_kept_is_on_no_disk_and_what_is_there_is_read(store):
    fleeting = Store(store.file, 2**30, keep=False)
    fleeting.put(values(["asked"]))
    assert not store.file.exists() and equal(fleeting.get(["asked"]), values(["asked"]))
    store.put(values())
    before = store.file.read_bytes()
    fleeting = Store(store.file, 2**30, keep=False)
    fleeting.put(values(["asked"]))
    assert equal(fleeting.get(KEYS), values()) and store.file.read_bytes() == before


def test_what_is_kept_in_memory_has_a_limit(store, monkeypatch):
    monkeypatch.setattr("conpet_lib.core.store.MEMORY_BYTES", 5000)
    fleeting = Store(store.file, 2**30, keep=False)
    fleeting.put(values())
    there = list(fleeting.memory)
    assert 0 < len(there) < 10 and there == KEYS[-len(there) :]


def write_many(file, start):
    for place in range(start, start + 40):
        Store(file, 2**30).put({f"row {place}": torch.full((2, 2), float(place))})


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_processes_may_write_at_once(store):
    forks = multiprocessing.get_context("fork")
    workers = [forks.Process(target=write_many, args=(store.file, start)) for start in (0, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    found = store.get([f"row {place}" for place in range(60)])
    assert [found[f"row {place}"][0, 0].item() for place in range(60)] == [
        float(place) for place in range(60)
    ]


def write_after(barrier, file, key: str) -> None:
    barrier.wait()
    Store(file, 2**30).put(values([key]))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_several_processes_may_begin_one_file_at_once(tmp_path):
    """Again and again: what goes wrong when a file is begun goes wrong seldom."""
    forks, keys = multiprocessing.get_context("fork"), KEYS[:6]
    for place in range(20):
        file, barrier = tmp_path / f"{place}.sqlite", forks.Barrier(len(keys))
        workers = [forks.Process(target=write_after, args=(barrier, file, key)) for key in keys]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [worker.exitcode for worker in workers] == [0] * len(keys)
        assert not Store(file, 2**30).missing(keys)


def test_a_file_that_turns_out_to_be_damaged_is_closed_before_it_is_put_aside(store, monkeypatch):
    store.put(values())
    base, execute = store.base, store._execute

    def fail_once(*statement):
        monkeypatch.setattr(store, "_execute", execute)
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(store, "_execute", fail_once)
    assert store.get(KEYS) == {} and store.damaged == 1
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):  # Windows renames no open file
        base.execute("SELECT 1")


def test_a_home_folder_in_the_name_of_the_file_is_written_out(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Store("~/store.sqlite", 2**30).file == tmp_path / "store.sqlite"
