# Every target stands alone: it makes its own environment on a machine that has Python >= 3.10, make and a package index.
VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
BIN := $(VENV)/bin
OPENAI ?= openai

.PHONY: help demo test check lint types imports format record docs clean

help:
	@echo "make demo    an agent draws and films on the local sandbox (HUB=1: on Oxen, after asking)"
	@echo "make test    all tests"
	@echo "make check   lint, types and import rules"
	@echo "make record  re-record the cassettes on the sandbox (HUB=1: on Oxen)"

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.10 or newer is needed; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev "$(OPENAI)"
	@touch $@

$(VENV): $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/python examples/media_agent.py $(if $(HUB),--hub)

test: $(VENV)/.installed
	$(BIN)/python -m pytest -m "not slow"

check: lint types imports

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

imports: $(VENV)/.installed
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

record: $(VENV)/.installed
	OXEN_RECORD=$(if $(HUB),hub,sandbox) $(BIN)/python -m pytest tests/cassettes --record-mode=rewrite

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache demo-output
