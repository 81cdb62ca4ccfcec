# make study | run | book | publish | test | bench: each sets up .venv by itself, and again when the lock changes.

PYTHON ?= python3.11
PROFILE ?= quick
DEVICE ?= auto
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m suppress_study.run
CHOSEN = --profile $(PROFILE) $(if $(RESULTS),--results $(RESULTS))
FLAGS = --device $(DEVICE) $(if $(KEEP),--keep) $(if $(SNAKEMAKE),--snakemake="$(SNAKEMAKE)")

.PHONY: study run book publish test bench lock clean

study: $(VENV)/ready
	$(RUN) study $(CHOSEN) $(FLAGS)

# One run of any arm and seed, with what it needs: make run TARGET=attack-suppressed-example-seed7
run: $(VENV)/ready
	@test -n "$(TARGET)" || { echo "TARGET names no run: give one, such as TARGET=attack-suppressed-example-seed7." >&2; exit 2; }
	$(RUN) run $(CHOSEN) $(FLAGS) $(TARGET)

# The published book, unless PROFILE or RESULTS names other results.
book: PROFILE = full
book: $(VENV)/ready
	$(RUN) study $(CHOSEN) $(FLAGS) --redraw

# Packs a folder's runs into the tables that are published.
publish: $(VENV)/ready
	$(RUN) publish $(CHOSEN)

test: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile $(if $(filter Ascend,$(DEVICE)),--device Ascend) $(TESTS)

bench: $(VENV)/ready-dev _build/torch/ready
	TORCH_PYTHON=$(CURDIR)/_build/torch/bin/python $(BIN)/python benchmarks/bench.py

# The project's own packages by a path from the environment's folder: a checkout that is moved runs its own code.
# Written last: a set-up that was interrupted is done again from the start.
$(VENV)/ready: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed and $(PYTHON) is not on the path: install it, or give PYTHON=/path/to/python3.11." >&2; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	printf '%s\n' ../../../../lib ../../../../study ../../../../book > $(VENV)/lib/python3.11/site-packages/here.pth
	touch $@

# The peers that tests compare with: without their dependencies, see requirements-dev.txt.
$(VENV)/ready-dev: $(VENV)/ready requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	touch $@

# PyTorch is a peer of the benchmark alone, and large: it gets an environment of its own.
_build/torch/ready: requirements-bench.txt
	rm -rf _build/torch
	$(PYTHON) -m venv _build/torch
	sed 's/^\(torch==.*\)/\1+cpu/' requirements-bench.txt > _build/torch/cpu.txt
	_build/torch/bin/pip install --quiet --disable-pip-version-check -r _build/torch/cpu.txt 2>/dev/null \
	  || _build/torch/bin/pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	touch $@

# After editing requirements.txt or requirements-dev.txt.
lock:
	$(PYTHON) -m venv _build/lock
	_build/lock/bin/pip install --quiet uv
	_build/lock/bin/uv pip compile requirements.txt -o requirements.lock --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links
	_build/lock/bin/uv pip compile requirements-dev.txt -o requirements-dev.lock --no-deps --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links

clean:
	rm -rf _build book/notebooks book/generated
