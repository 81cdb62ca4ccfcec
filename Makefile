# make study | run | book | pdf | texts | lab | status | edition | publish-edition | retrain | cost | compare | publish | verify | test | mutate | faults | bench: each
# sets up .venv, and again when the lock changes.

PYTHONS := python3.11 python3.12
# The first that runs: a name on the path may be a version manager's, of a Python that is not chosen there.
PYTHON ?= $(firstword $(foreach each,$(PYTHONS),$(if $(shell $(each) -c "print(1)" 2>/dev/null),$(each))))
PROFILE ?= quick
DEVICE ?= auto
EXECUTOR ?= local
VENV := .venv
BIN := $(VENV)/bin
STUDY := $(BIN)/python -m suppress_study.run
# A value as one word of the shell, whatever is in it.
quoted = '$(subst ','\'',$(1))'
# A campaign has one profile, its own.
CHOSEN = $(if $(and $(CAMPAIGN),$(filter file,$(origin PROFILE))),,--profile $(call quoted,$(PROFILE)))
CHOSEN += $(if $(RESULTS),--results=$(call quoted,$(RESULTS)))
FLAGS = $(if $(CAMPAIGN),--campaign=$(call quoted,$(CAMPAIGN)))
FLAGS += --device $(call quoted,$(DEVICE)) --executor $(call quoted,$(EXECUTOR)) $(if $(EXIT_CODE),--exit-code)
FLAGS += $(if $(KEEP),$(error KEEP is no more: runs that are current are kept, see make status))
FLAGS += $(if $(SNAKEMAKE),--snakemake=$(call quoted,$(SNAKEMAKE)))

EDITION = $(STUDY) edition $(call quoted,$(TAG)) $(if $(filter file,$(origin PROFILE)),,--profile $(call quoted,$(PROFILE)))
EDITION += $(if $(CAMPAIGN),--campaign=$(call quoted,$(CAMPAIGN))) --device $(call quoted,$(DEVICE))

# The shell of whoever calls make decides nothing of what is run; a Git hook names its own repository there.
unexport PYTHONHOME PYTHONINSPECT PYTHONOPTIMIZE PYTHONPATH PYTHONSAFEPATH PYTHONSTARTUP PYTHONWARNINGS
# Modules are compiled when they are first imported, most never: that must stay, or each process compiles all it imports.
unexport PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX
unexport PIP_PREFIX PIP_TARGET PIP_USER GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE
export PYTHONUTF8 := 1

.PHONY: study run book pdf texts lab status edition publish-edition retrain cost compare publish verify test test-edition test-cluster mutate faults bench audit-reference lock clean

study: $(VENV)/ready
	$(STUDY) study $(CHOSEN) $(FLAGS)

# One run of any arm and seed, with what it needs: make run TARGET=attack-suppressed-example-seed7
run: $(VENV)/ready
	@test -n $(call quoted,$(TARGET)) || { echo "TARGET names no run: give one, such as TARGET=attack-suppressed-example-seed7." >&2; exit 2; }
	$(STUDY) run $(CHOSEN) $(FLAGS) -- $(call quoted,$(TARGET))

# The book from results alone: the published ones, and beside them what PROFILE or RESULTS names.
book: PROFILE = full
book: $(VENV)/ready
	$(STUDY) study $(CHOSEN) $(FLAGS) --redraw

# The same as one document, _build/book.pdf, to which the pages then have a link.
pdf: book
	$(BIN)/python book/pdf.py

# The catalogues of the Chinese edition, after English texts were changed: what is new or other in them is then translated.
texts: $(VENV)/ready-dev
	$(BIN)/python book/texts.py

# The notebooks in JupyterLab. LAB: options of it, such as LAB=--no-browser.
lab: $(VENV)/ready-lab
	$(BIN)/python -m jupyterlab $(LAB) notebooks

# The core-hours that a profile will take, by those that the published runs took, or the runs of RESULTS; and the hours on
# 1, 10 and 100 nodes of NODE_CORES, by default as many as here.
cost: $(VENV)/ready
	$(STUDY) cost $(CHOSEN) $(if $(NODE_CORES),--node-cores=$(call quoted,$(NODE_CORES)))

# Which runs are current, which stale and why, which missing, and what these will take.
# TAG: those of an edition, by its code.
status: $(VENV)/ready
	$(if $(TAG),$(EDITION) --status,$(STUDY) status $(CHOSEN) --device $(call quoted,$(DEVICE)))

# The runs of an edition, by the code of its tag: make edition TAG=edition-2. Interrupted, it goes on where it was.
# FROM: an earlier edition, whose runs count where this one's code would make the same.
edition: $(VENV)/ready
	@test -n $(call quoted,$(TAG)) || { echo "TAG names no edition: give a tag, such as TAG=edition-2." >&2; exit 2; }
	$(EDITION) $(if $(FROM),--earlier=$(call quoted,$(FROM)))

# An edition that is whole in the place of the published runs, beside it how the two compare; commit what that changes.
publish-edition: $(VENV)/ready
	@test -n $(call quoted,$(TAG)) || { echo "TAG names no edition: give a tag, such as TAG=edition-2." >&2; exit 2; }
	$(EDITION) --publish

# What an edition's tag draws, made again in a clone of it: one suppressed network, one of DP-SGD, one job of attacks.
retrain: $(VENV)/ready
	@test -n $(call quoted,$(TAG)) || { echo "TAG names no edition: give a tag, such as TAG=edition-2." >&2; exit 2; }
	$(EDITION) --retrain

# A folder's run beside the published one, or that of the folder PUBLISHED: make compare RUN=results/quick
compare: $(VENV)/ready
	@test -n $(call quoted,$(RUN)) || { echo "RUN names no folder: give one of results, such as RUN=results/quick." >&2; exit 2; }
	$(STUDY) compare $(if $(PUBLISHED),--published=$(call quoted,$(PUBLISHED))) -- $(call quoted,$(RUN))

# Packs a folder's runs into the tables that are published.
publish: $(VENV)/ready
	$(STUDY) publish $(CHOSEN)

# Whether what a folder has published belongs together, and the pages with it; JSON: as JSON. SEED repeats its lot.
verify: PROFILE = full
verify: $(VENV)/ready
	$(BIN)/python book/verify.py $(CHOSEN) $(if $(SEED),--seed=$(call quoted,$(SEED))) $(if $(JSON),--json)

test: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(filter Ascend,$(DEVICE)),--device Ascend) $(TESTS)

# Which small changes to the code its tests do not notice.
mutate: $(VENV)/ready-dev
	$(BIN)/python tests/mutants.py $(MODULES)

bench: $(VENV)/ready-dev _build/torch/ready
	TORCH_PYTHON=$(call quoted,$(CURDIR))/_build/torch/bin/python $(BIN)/python benchmarks/bench.py

# What jax-privacy says of twenty audits, which tests compare ours with.
audit-reference: _build/audit-reference/ready
	_build/audit-reference/bin/python tests/evaluation/audit_reference.py

# A small edition for real, over two interrupted attempts; with nothing else running.
test-edition: $(VENV)/ready-dev
	$(BIN)/python tests/edition.py

# A smoke study that is met by faults and by kill -9, twenty times; with nothing else running.
faults: $(VENV)/ready-dev
	$(BIN)/python tests/faults.py $(SEED)

# The smoke study here, and on a Slurm cluster that this machine is made into: the same summary.
test-cluster: $(VENV)/ready-dev
	$(BIN)/python tests/cluster.py

# Refuses another Python before anything is made with it.
define need_python
@case " $(PYTHONS) " in \
  *" $$($(PYTHON) -c 'import sys; print("python%d.%d" % sys.version_info[:2])' 2>/dev/null) "*) ;; \
  *) echo "PYTHON is '$(PYTHON)'; it must be one of $(PYTHONS), or by default the first of them that runs here:" \
    "install one, or give PYTHON=/path/to/it." >&2; exit 1 ;; \
esac
endef

INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes

# The project's own packages by a path from the environment's folder: a checkout that is moved runs its own code.
# Written last: a set-up that was interrupted is done again from the start.
$(VENV)/ready: requirements.lock pyproject.toml
	$(need_python)
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements.lock
	printf '%s\n' ../../../../lib ../../../../study ../../../../book \
	  > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/here.pth"
	touch $@

# The peers that tests compare with: without their dependencies, see requirements-dev.txt.
$(VENV)/ready-dev: $(VENV)/ready requirements-dev.lock
	$(INSTALL) --no-deps -r requirements-dev.lock
	touch $@

$(VENV)/ready-lab: $(VENV)/ready requirements-lab.lock
	$(INSTALL) -r requirements-lab.lock
	touch $@

# PyTorch is a peer of the benchmark alone, and large: it gets an environment of its own.
_build/torch/ready: requirements-bench.txt
	$(need_python)
	rm -rf _build/torch
	$(PYTHON) -m venv _build/torch
	sed 's/^\(torch==.*\)/\1+cpu/' requirements-bench.txt > _build/torch/cpu.txt
	_build/torch/bin/python -m pip install --quiet --disable-pip-version-check -r _build/torch/cpu.txt 2>/dev/null \
	  || _build/torch/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	touch $@

# MindArmour itself, whose networks the study attacks beside its own.
_build/mindarmour/ready: requirements-mindarmour.txt
	$(need_python)
	rm -rf _build/mindarmour
	$(PYTHON) -m venv _build/mindarmour
	grep -v '^mindarmour==' $< > _build/mindarmour/needs.txt
	_build/mindarmour/bin/python -m pip install --quiet --disable-pip-version-check -r _build/mindarmour/needs.txt
	_build/mindarmour/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "$$(grep '^mindarmour==' $<)"
	touch $@

# jax-privacy is a peer of one stored table alone, and brings JAX: it gets an environment of its own.
_build/audit-reference/ready: requirements-audit.txt
	$(need_python)
	rm -rf _build/audit-reference
	$(PYTHON) -m venv _build/audit-reference
	_build/audit-reference/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-audit.txt
	touch $@

# After editing a file of requirements: each lock holds for all Pythons above, see tool.uv in pyproject.toml.
COMPILE = _build/lock/bin/uv pip compile --universal --python-version $(subst python,,$(firstword $(PYTHONS))) \
  --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet
lock:
	$(need_python)
	$(PYTHON) -m venv _build/lock
	_build/lock/bin/python -m pip install --quiet --disable-pip-version-check $$(grep -o '^uv==[^ ]*' requirements-dev.txt)
	$(COMPILE) requirements.txt -o requirements.lock
	$(COMPILE) requirements-dev.txt -o requirements-dev.lock --no-deps
	$(COMPILE) requirements-lab.txt -o requirements-lab.lock -c requirements.lock

# Editions stay: they have runs that are not packed yet.
clean:
	find _build -mindepth 1 -maxdepth 1 ! -name editions -exec rm -rf {} + 2>/dev/null || true
	rm -rf book/notebooks book/generated book/reference
