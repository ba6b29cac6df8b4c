# One set-up serves all: a virtual environment with the pinned dependencies.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: setup demo demo-search paper test quick mutants chaos gpu cluster-test lint types docs bench bench-quick clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fairfm needs Python 3.11 or later; say make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cluster,dev,docs]'
	touch $(READY)

demo: $(READY)
	$(BIN)/fairfm data prepare phantom unfair --out demo/phantom --size 64 --patients 2400 --fractions 0.4 0.2 0.4
	$(BIN)/fairfm data prepare phantom skewed --out demo/radiographs --size 64 --patients 1000
	$(BIN)/fairfm data prepare photographs sklearn --out demo/photographs --size 64 --patches 2000
	$(BIN)/fairfm sweep run sweeps/studies/quickstart.yaml --results demo/results

# Every table, figure and claim of the paper, on phantom radiographs: seven small studies, then
# docs/paper.md.
paper: $(READY)
	$(BIN)/fairfm data prepare phantom docs/examples/paper_world.yaml --out paper_small/chexpert --size 32 --patients 1600 --fractions 0.3 0.15 0.55
	$(BIN)/fairfm data prepare phantom docs/examples/paper_world.yaml --out paper_small/cx14 --size 32 --patients 200 --seed 101
	$(BIN)/fairfm data prepare phantom docs/examples/paper_world.yaml --out paper_small/cxpt --size 32 --patients 300 --seed 102
	$(BIN)/fairfm data prepare phantom docs/examples/paper_world.yaml --out paper_small/mimic --size 32 --patients 300 --seed 103
	$(BIN)/fairfm data prepare photographs sklearn --out paper_small/imagenet --size 32 --patches 600
	for study in sweeps/studies/paper_*_small.yaml; do $(BIN)/fairfm sweep run $$study --results paper_small/results || exit; done
	$(BIN)/fairfm tables paper_small/results --out paper_small/paper
	$(BIN)/fairfm figures paper_small/results --out paper_small/paper
	$(BIN)/python docs/examples/paper_page.py paper_small/paper

demo-search: $(READY)
	$(BIN)/fairfm data prepare phantom unfair --out demo/phantom --size 64 --patients 2400 --fractions 0.4 0.2 0.4
	$(BIN)/fairfm data prepare phantom skewed --out demo/radiographs --size 64 --patients 1000
	$(BIN)/fairfm sweep run sweeps/studies/search_demo.yaml --results demo/results

# Three processes for two cores: while one waits for Ray or a server to start, the others compute. A
# second thread in each would only wait for the others'. Without compiled files, as some containers
# want it, each of a hundred processes would compile all modules again.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# The types meanwhile: on one core alone they would take as long as many tests.
test: lint
	$(BIN)/mypy & $(PYTEST) -m "not chaos and not cluster"; tests=$$?; wait $$! && exit $$tests

# What to run after each change: no Ray, no server, nothing that takes more than half a second.
quick: lint types
	$(PYTEST) -q -m "not slow and not ray and not chaos and not cluster"

# Whether a test notices each small change of the modules behind the numbers: about twenty minutes.
mutants: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutants

# The tests of hard ends, then hundreds of faults (kills, loss of power, full disks, damaged files):
# about three quarters of an hour; as root with loop devices, or those that need them are skipped.
# FAULTS="--kind processes --count 3" for some of the faults alone.
chaos: $(READY)
	$(if $(FAULTS),,$(PYTEST) -m chaos)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos $(FAULTS)

# What can only be tried on GPUs: names each check, and why it was skipped where there is none.
gpu: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m gpu -rpsfE --no-fold-skipped -q

# A cluster of four hosts made of namespaces: up, a sweep whose hosts are killed, down; a study
# submitted to one head, left alone, stopped and submitted again; nodes that join; GPUs that only Ray
# believes in. About ten minutes; the first needs root, iproute2, openssh-server and rsync, or it is
# skipped.
cluster-test: $(READY)
	for place in tests/cluster tests/sweeps/cluster tests/sweeps/execution/test_fake_gpus.py; do \
	    OMP_NUM_THREADS=1 $(BIN)/python -m pytest -v -m cluster $$place || exit; done

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --doctree-dir build/doctrees docs build/docs

bench: $(READY)
	$(BIN)/python -m benchmarks

# Whether every benchmark still runs and its sides agree, at tiny sizes: what it prints of speed means nothing.
bench-quick: $(READY)
	FAIRFM_BENCH_QUICK=1 OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks

clean:
	rm -rf build demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
