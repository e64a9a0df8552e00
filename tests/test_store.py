"""Store: what is read is what was written, by any process, or it is computed again."""

import multiprocessing
import resource
import sqlite3

import pytest
import torch

import conpet_lib as cp
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
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(
            cp.ConpetError, match=r"store\.sqlite: this cache cannot be used .* CONPET_CACHE"
        ):
            store.put({"large": torch.zeros(1000, 100)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert equal(store.get(KEYS), values()) and store.missing(["large"]) == ["large"]


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
