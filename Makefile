# Two commands set up everything they need: `make demo` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
BACKENDS ?= tensorflow jax torch

BIN := $(VENV)/bin
comma := ,
space := $(subst ,, )
EXTRAS := $(subst $(space),$(comma),$(strip $(BACKENDS)))
STAMP := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))
# What can differ from one backend to the next; the first backend runs all tests.
BACKEND_TESTS := tests/kernels tests/layers tests/sharing tests/devices tests/surgery tests/recipes tests/probes tests/gan tests/study \
	tests/bench tests/examples tests/test_sites.py tests/test_model_files.py

.PHONY: help demo test lint format bench clean

help:  ## List the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(VENV)/.installed-demo  ## Train with and without batch normalization on real digits, and report the difference
	$(BIN)/evenbatch compare

test: $(STAMP) lint  ## Lint, then test on each of BACKENDS="tensorflow jax torch", each in its own process
	@set -e; paths=tests; for backend in $(BACKENDS); do \
		echo "== $$backend: $$paths"; \
		KERAS_BACKEND=$$backend $(BIN)/python -m pytest -q $$paths; \
		paths="$(BACKEND_TESTS)"; \
	done

lint: $(STAMP)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## Lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-demo  ## Time the layer against Keras' on this machine
	$(BIN)/evenbatch bench

clean:  ## Remove the environment and what tools left behind
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"evenbatch needs Python 3.11 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: constraints.txt pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install -q -c constraints.txt -e '.[lab,tensorflow]'
	@touch $@

$(STAMP): constraints.txt pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install -q -c constraints.txt -e '.[lab,dev,$(EXTRAS)]'
	@touch $@
