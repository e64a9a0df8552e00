# make run      set up, then train vanilla, Static and Dynamic ConPET on the default stream
# make lab      JupyterLab on the pages
# make test     set up, then the tests; make test-all: the long checks, which make test leaves out
# make check    format, lint, types and the gates of the house, in under a minute
# make api      write the API as pages into docs/api
# make notebooks  run the pages and keep their outputs
# make reference, make long  ours against the authors' code; long streams (docs/results.md)
# make family   all learners on two corpora, five seeds, beside EMR (DATA=, WEIGHTS=--weights --seeds 2)
# make exact    what is solved beside what is trained, on four streams (DATA=, STREAMS='wordnet fewrel')
# make bench    a run beside what one would write without the workbench; make growth: what a stage costs as things grow
# make gpu      what one card gives, beside the CPU: one record, under five minutes
# make torture  kill runs at random points and compare (KILLS=100); make fuzz: 12,000 mutated files of corpora
# make mutants  put small faults into the code, one at a time: which do the tests not see? (MUTANTS=40 SEED=0; all: MUTANTS=)
# Where there is no make: `python -m conpet_lib run`, and so on (README.md, "Without make").
# Settings: BACKBONE=minilm-l6|smollm2-135m, DEVICE=cpu|cuda|mps, SEED=0, PYTHON=python3

PYTHON   ?= python3
BACKBONE ?= minilm-l6
SEED     ?= 0
DEVICE   ?=
BIN      := .venv/bin
# Threads that wait should sleep: spinning ones slow each other down when the machine is busy.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: setup run test test-all lab check api notebooks reference long family exact bench growth gpu torture fuzz mutants

setup: .venv/.setup-done

.venv/.setup-done: pyproject.toml constraints.txt
	@echo "Installing the pinned dependencies into .venv (once, a few minutes) ..."
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[notebooks,test,dev]'
	$(BIN)/python -m ipykernel install --prefix .venv --name conpet --display-name "ConPET"
	touch $@

run: setup
	$(BIN)/python -m conpet_lib run --backbone $(BACKBONE) --seed $(SEED) $(if $(DEVICE),--device $(DEVICE))

test: setup
	$(BIN)/python -m conpet_lib test

test-all: setup
	$(BIN)/python -m pytest -m long --numprocesses 2 --dist loadscope --durations 30

lab: setup
	$(BIN)/python -m conpet_lib lab

check: setup
	$(BIN)/python -m conpet_lib check

ROOMS := metrics core corpora streams models learners runs plots analysis widgets
api: setup
	$(BIN)/python -m pdoc --docformat google --output-directory docs/api conpet_lib $(ROOMS:%=conpet_lib.%)
	@echo "Open docs/api/index.html"

notebooks: setup
	$(BIN)/python scripts/run_notebooks.py

# Ours against the authors' code: make reference DATA=folder-with-val_wiki.json [SEEDS=5] [MISHAPS=--mishaps]
SEEDS ?= 1
reference: setup
	$(BIN)/python scripts/reference.py $(DATA) --seeds $(SEEDS) $(MISHAPS)

# Does a stage cost the same whatever its number? make long [DATA=folder-with-all-80-FewRel-relations]
long: setup
	$(BIN)/python scripts/long_streams.py $(DATA)

# Every learner but those that tune all weights, which WEIGHTS='--weights --seeds 2' trains: make family [DATA=folder]
family: setup
	$(BIN)/python scripts/family.py $(DATA) $(WEIGHTS)

# Exact heads and selectors, five seeds: make exact [DATA=folder-with-fewrel16-and-fewrel80] [STREAMS='wordnet fewrel']
exact: setup
	$(BIN)/python scripts/exact.py $(DATA) $(if $(STREAMS),--streams $(STREAMS))

# Ours beside plain transformers and peft, in turns: make bench [BACKBONE=smollm2-135m] [DEVICE=cuda] [REPEATS=3]
REPEATS ?= 3
bench: setup
	$(BIN)/python scripts/bench.py --backbone $(BACKBONE) --repeats $(REPEATS) $(if $(DEVICE),--device $(DEVICE))

growth: setup
	$(BIN)/python scripts/growth.py --backbone $(BACKBONE) $(if $(DEVICE),--device $(DEVICE))

# Needs a GPU; DEVICE=cuda:1 chooses another
gpu: setup
	$(BIN)/python scripts/gpu_check.py $(if $(DEVICE),--device $(DEVICE))

fuzz: setup
	$(BIN)/python -m pytest -m long -s tests/test_corpora_fuzz.py

KILLS ?= 100
torture: setup
	$(BIN)/python scripts/torture.py --kills $(KILLS)

# The library that makes the faults is wanted here alone, so `make setup` leaves it out. About half a minute each.
MUTANTS ?= 40
mutants: setup
	$(BIN)/python -m pip install -q --disable-pip-version-check --constraint constraints.txt cosmic-ray
	$(BIN)/python scripts/mutants.py --seed $(SEED) $(if $(MUTANTS),--mutants $(MUTANTS))
