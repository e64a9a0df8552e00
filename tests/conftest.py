"""Tiny corpora, streams and random backbones, shared by all tests."""

import importlib.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel, PreTrainedTokenizerFast
from xdist.scheduler import LoadScopeScheduling

import conpet_lib as cp
from conpet_lib.core.assets import asset_folder, cache_folder
from conpet_lib.corpora import Corpus, Example, ReadReport

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
torch.set_num_threads(1)

# The learners of `make run`; the others are in test_family.py.
MAIN = ("vanilla", "static", "dynamic")
SHARED = Path(__file__).parents[2] / "shared"
WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heath",
    "inlet",
    "jetty",
    "knoll",
    "ledge",
    "marsh",
    "north",
    "ocean",
    "plain",
    "quarry",
    "ridge",
    "shore",
    "trail",
    "upland",
    "vale",
    "wharf",
    "yard",
]
SPECIAL_TOKENS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[unused0]",
    "[unused1]",
    "[unused2]",
    "[unused3]",
]
PROMPT_WORDS = [
    "in",
    "this",
    "short",
    "sentence",
    ",",
    "is",
    "a",
    "kind",
    "of",
    "the",
    "relation",
    "to",
    ".",
    ":",
    "number",
]


# Tests of runs that the pages train.
OF_SEED_0 = (
    "test_on_the_default_stream_vanilla_forgets_and_both_methods_do_not[0]",
    "test_on_the_default_stream_what_is_solved_ends_above_what_is_trained",
)


class _PagesTogether(LoadScopeScheduling):
    """Tests go where there is room, but those of pages 00 to 06 together, and those of 07 and 08.

    What a page trains in the browser is there for the tests of its process that ask for
    `pages_cache`; the last pages train nothing that the others do.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        if file.endswith(("test_browser.py", "test_notebooks.py")):
            return "later pages" if re.search(r"\[0[7-9]_", nodeid) else "pages"
        return "pages" if nodeid.endswith(OF_SEED_0) else nodeid


def pytest_xdist_make_scheduler(config, log):
    """What shares out the long tests (`make test-all`), which ask for it by --dist loadscope."""
    return _PagesTogether(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep tests out of the user's prefix cache and runs.

    The assets are shared because they are large.
    """
    assets = cache_folder() / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    cache = tmp_path_factory.mktemp("cache")
    (cache / "assets").symlink_to(assets)
    monkeypatch.setenv("CONPET_CACHE", str(cache))


@pytest.fixture(scope="session")
def pages_cache(tmp_path_factory):
    """One cache for all pages, so that a later one loads what an earlier one trained.

    It is set up before `own_cache`.
    """
    cache = tmp_path_factory.mktemp("pages")
    assets = cache_folder() / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    (cache / "assets").symlink_to(assets.resolve())
    return cache


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real text for measurements; tests that need it skip without it."""
    if not (SHARED / "data").is_dir():
        pytest.skip("../shared/data is not here")
    return SHARED / "data"


def make_corpus(
    labels: int = 8, rows: int = 12, kind: str = "typing", name: str = "tiny"
) -> Corpus:
    """A corpus that can be learned: each of up to 500 labels has words of its own in every text."""
    pairs = [f"{first} {second}" for first in WORDS for second in WORDS if first != second]
    words = [*WORDS, *pairs]
    examples = []
    for label, word in enumerate(words[:labels]):
        spans = ((0, len(word)),) if kind == "typing" else ()
        for row in range(rows):
            other_word = WORDS[(label + 7 * row) % len(WORDS)]
            example = Example(
                key=f"{name}:{label}:{row}",
                text=f"{word} {other_word} number {row}",
                spans=spans,
                label=f"type {label:02}",
            )
            examples.append(example)
    groups = {f"type {label:02}": f"group {label // 4}" for label in range(labels)}
    report = ReadReport(read=len(examples))
    return Corpus(name, kind, examples, report, groups)


def make_stream(tasks: int = 4, labels_per_task: int = 2, rows: int = 12, **more):
    """A stream over `make_corpus`: 6 training, 3 validation and 3 test rows per label."""
    corpus = make_corpus(tasks * labels_per_task, rows)
    counts = {"train": rows // 2, "valid": rows // 4, "test": rows // 4, **more}
    return cp.make_stream(corpus, tasks, labels_per_task, **counts)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> dict[str, str]:
    """See `save_tiny_models`."""
    return save_tiny_models(tmp_path_factory.mktemp("tiny"))


def save_tiny_models(parent: Path) -> dict[str, str]:
    """Folders of two tiny random models, each of 4 layers of width 16.

    They are "bert" (an encoder) and "llama" (a decoder).
    """
    numbers = [str(number) for number in range(60)]
    words = dict.fromkeys([*SPECIAL_TOKENS, *WORDS, *PROMPT_WORDS, *numbers])
    vocabulary = {word: token for token, word in enumerate(words)}
    folders = {}
    for name in ("bert", "llama"):
        folder = parent / name
        tiny_model(name, len(vocabulary)).save_pretrained(folder)
        tiny_tokenizer(name, vocabulary).save_pretrained(folder)
        folders[name] = str(folder)
    return folders


def tiny_model(name: str, words: int) -> BertModel | LlamaModel:
    """A random model of 4 layers of width 16."""
    sizes = {
        "vocab_size": words,
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 160,
        "pad_token_id": 0,
    }
    torch.manual_seed(0)
    if name == "bert":
        model = BertModel(BertConfig(**sizes))
    else:
        model = LlamaModel(LlamaConfig(num_key_value_heads=1, **sizes))
    # Random models are nearly linear at their usual scale; larger weights make layers matter.
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(8)
    return model


def tiny_tokenizer(name: str, vocabulary: dict[str, int]) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words."""
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    if name == "bert":
        marks |= {"mask_token": "[MASK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)


# A backbone is frozen, so the tests of a file share one; a module's layers stay until the next one.
@pytest.fixture(scope="module", params=["bert", "llama"])
def backbone(request, tiny_models):
    """A tiny random backbone of each family, two tuned layers."""
    return cp.load_backbone(tiny_models[request.param], tuned_layers=2, device="cpu")


@pytest.fixture(scope="module")
def bert(tiny_models):
    """A tiny random encoder, two tuned layers."""
    return cp.load_backbone(tiny_models["bert"], tuned_layers=2, device="cpu")


def quick(kind: str = "static", **more):
    """A config that trains in a blink."""
    settings = {
        "batch_size": 8,
        "batch_limit": 4,
        "epochs": 2,
        "valid_examples": 12,
        "learning_rate": 1e-2,
    }
    settings.update(more)
    return cp.method(kind, **settings)


@pytest.fixture(scope="session")
def wordnet():
    """The real WordNet corpus, read once; tests that need it skip where it cannot be fetched."""
    try:
        asset_folder("wordnet")
    except cp.ConpetError as error:
        pytest.skip(f"WordNet cannot be had: {str(error).splitlines()[0]}")
    return cp.load_corpus("wordnet")


# --- the right half: modules, learners, runs ------------------------------------------------------


def make_module(backbone, seed: int = 0, rank: int = 4, labels: int = 2, trained: bool = False):
    """A PET module with a head of `labels` rows.

    `trained` gives LoRA's B random weights, so that features change.
    """
    from conpet_lib.models.modules import PetModule

    module = PetModule(backbone, backbone.pet("lora", rank, 8.0), seed, "test")
    module.grow(list(range(labels)))
    generator = torch.Generator().manual_seed(seed)
    for name, weight in module.adapter.items():
        if trained and "lora_B" in name:
            weight.data.normal_(0, 0.3, generator=generator)
    return module


def stop_at(stage: int, doing: str, done: int, kill: bool = False) -> Callable:
    """An `on_step` that stops, or interrupts, the run at one point."""

    def on_step(step) -> bool:
        here = (step.stage, step.doing, step.done) == (stage, doing, done)
        if here and kill:
            raise KeyboardInterrupt
        return here

    return on_step


def make_learner(kind: str, stream, backbone, seed: int = 0, tell=lambda step: None, **more):
    """A learner that has seen nothing yet."""
    from conpet_lib.models.features import Features

    features = Features(stream.examples, stream.kind, backbone)
    config = quick(kind, **more)
    return cp.LEARNERS[kind](stream, features, config, seed, tell)


def load_script(name: str, monkeypatch):
    """A script as a module that tests may change; it finds the scripts beside it."""
    folder = Path(__file__).parents[1] / "scripts"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def module_bytes(run) -> dict[str, bytes]:
    """The weight files of a run, selector included."""
    files = run.folder.rglob("*.safetensors")
    return {str(path.relative_to(run.folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="session")
def learnable():
    """Three tasks of two labels, which the tiny backbones can learn.

    Each label has 12 training and 20 test rows.
    """
    return make_stream(3, 2, rows=40, train=12, valid=4, test=20)


@pytest.fixture(scope="session")
def learned(tiny_models, learnable, tmp_path_factory) -> dict:
    """A run of every learner on `learnable`.

    Each is trained long enough to be right about what is not forgotten.
    """
    backbone = cp.load_backbone(tiny_models["bert"], tuned_layers=2, device="cpu")
    runs = {}
    for kind in MAIN:
        runs[kind] = cp.train(
            learnable,
            backbone,
            quick(kind, batch_limit=10, epochs=4),
            bar=False,
            folder=tmp_path_factory.mktemp(kind),
            cache=tmp_path_factory.mktemp("prefix"),
        )
    return runs
