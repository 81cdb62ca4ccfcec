# make study | test | bench | book: each sets up .venv by itself, and again when the lock changes.

PYTHON ?= python3.11
PROFILE ?= quick
DEVICE ?= auto
VENV := .venv
BIN := $(VENV)/bin

.PHONY: study test bench book lock clean

study: $(VENV)/ready
	$(BIN)/python study.py --profile $(PROFILE) --device $(DEVICE) $(if $(RESULTS),--results $(RESULTS)) $(if $(KEEP),--keep-records)

book: $(VENV)/ready
	$(BIN)/python study.py --redraw --profile $(PROFILE) --device $(DEVICE) $(if $(RESULTS),--results $(RESULTS))

test: $(VENV)/ready-dev
	$(BIN)/ruff check .
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
