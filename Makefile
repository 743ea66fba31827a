# Everything runs in .venv, which is made on demand from nothing but Python; see CONTRIBUTING.md.
#
#   PYTHON   the interpreter that makes .venv                        make PYTHON=python3.12 test
#   TORCH    what pip shall install as torch, before all else        make TORCH=~/Downloads/torch-….whl quickstart
#   ARGS     passed on to the command that the target runs           make test ARGS="tests/core -k seeds"
#   WORKERS  processes of the test run
PYTHON  ?= python3
TORCH   ?=
ARGS    ?=
WORKERS ?= 2

VENV := .venv
BIN  := $(VENV)/bin
TRITON := .venv-triton
PEERS := .venv-bench
PIP  := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-triton test-slow lint fmt bench docs clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "make %-11s %s\n", $$1, $$2 }'

quickstart: $(VENV)/run.stamp ## train four neurons on the built-in task, print the table, write the report
	@$(BIN)/python -m spikeworks quickstart $(ARGS)

test: $(VENV)/dev.stamp ## all quick tests and the examples in docstrings; SPIKEWORKS_DATA adds real data
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-triton: $(TRITON)/triton.stamp ## the GPU kernels in Triton's interpreter and through its compiler; needs no GPU
	@$(TRITON)/bin/python -m pytest -n $(WORKERS) tests/kernels/test_triton.py $(ARGS)

test-slow: $(VENV)/dev.stamp ## the trainings that must reach a score
	@$(BIN)/python -m pytest -n $(WORKERS) -m slow --timeout 1800 $(ARGS)

lint: $(VENV)/dev.stamp ## style, formatting and types
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m pyright --pythonpath $(BIN)/python

fmt: $(VENV)/dev.stamp ## repair what can be repaired
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

bench: $(PEERS)/peers.stamp ## every benchmark beside other libraries; tables here, JSON and figures in benchmarks/out
	@$(PEERS)/bin/python benchmarks/run_all.py $(ARGS)

docs: $(VENV)/docs.stamp ## HTML into docs/_build/html, warnings are errors
	@$(BIN)/python -m sphinx --fail-on-warning --fresh-env --quiet --builder html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean: ## remove .venv and everything that was generated, but no runs
	rm -rf $(VENV) $(PEERS) $(TRITON) benchmarks/out build dist src/*.egg-info .pytest_cache .ruff_cache .hypothesis docs/_build docs/api
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment works only where it was made: a copied or moved checkout, or one whose
# interpreter is gone, gets a new one.
ifneq ($(shell [ -x $(BIN)/python ] && cat $(VENV)/place 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/place
endif

$(VENV)/place:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "spikeworks needs Python 3.11 or newer; name one: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || \
	    { echo "$(PYTHON) cannot make an environment; on Debian and Ubuntu install python3-venv"; exit 1; }
	@printf '%s\n' "$(CURDIR)" > $@

define install
	@echo "Installing into .venv; the first time takes a few minutes."
	@$(if $(TORCH),$(PIP) install --constraint constraints.txt $(TORCH))
	@$(PIP) install --constraint constraints.txt --editable '.$(1)'
	@touch $@
endef

$(VENV)/run.stamp: $(VENV)/place pyproject.toml constraints.txt
	$(call install)

$(VENV)/dev.stamp: $(VENV)/place pyproject.toml constraints.txt
	$(call install,[dev])
	@touch $(VENV)/run.stamp

# The environment of the benchmarks sees all packages of .venv and adds the other libraries, one by one where
# the whole list fails. Without a stamp the next run tries again.
$(PEERS)/peers.stamp: $(VENV)/run.stamp benchmarks/requirements.txt
	@echo "Installing the libraries to compare with into $(PEERS)."
	@$(BIN)/python -m venv --clear $(PEERS)
	@$(PEERS)/bin/python benchmarks/install_peers.py $(VENV) && touch $@ || \
	    echo "Some are missing; the benchmarks run without them."

# The environment sees all packages of .venv and adds Triton, which is large and of use on a GPU otherwise.
$(TRITON)/triton.stamp: $(VENV)/dev.stamp constraints-triton.txt
	@echo "Installing Triton into $(TRITON)."
	@$(BIN)/python -m venv --clear $(TRITON)
	@$(TRITON)/bin/python benchmarks/install_peers.py $(VENV) constraints-triton.txt
	@touch $@

$(VENV)/docs.stamp: $(VENV)/place pyproject.toml constraints.txt
	$(call install,[docs])
	@touch $(VENV)/run.stamp
