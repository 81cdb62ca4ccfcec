# make study | test | bench | book: each sets up .venv by itself, and again when the lock changes.

PYTHON ?= python3.11
PROFILE ?= quick
DEVICE ?= auto
VENV := .venv
BIN := $(VENV)/bin

.PHONY: study test bench book lock clean

study: $(VENV)/ready
	$(BIN)/python study.py --profile $(PROFILE) --device $(DEVICE) $(if $(RESULTS),--results $(RESULTS))

book: $(VENV)/ready
	$(BIN)/python book/build.py $(or $(RESULTS),results/$(PROFILE))

test: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/python -m pytest $(TESTS)

bench: $(VENV)/ready
	$(BIN)/python benchmarks/bench.py

# Written last: a set-up that was interrupted is done again from the start.
$(VENV)/ready: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed and $(PYTHON) is not on the path: install it, or give PYTHON=/path/to/python3.11." >&2; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# After editing requirements.txt.
lock:
	$(PYTHON) -m venv _build/lock
	_build/lock/bin/pip install --quiet uv
	_build/lock/bin/uv pip compile requirements.txt -o requirements.lock --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links

clean:
	rm -rf _build book/notebooks book/generated
