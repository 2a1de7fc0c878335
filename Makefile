# Every target stands alone: it makes its own environment on a machine that has Python >= 3.10, make and a package index.
VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
BIN := $(VENV)/bin
OPENAI ?= openai

.PHONY: help demo test test-slow test-fleet test-scale test-examples test-matrix coverage check lint types imports format record verify \
	docs docs-serve test-site screenshots notebooks bench bench-fleet compare build smoke clean

help:
	@echo "make demo    an agent makes an image and a video on the local sandbox (HUB=1: on Oxen, after asking)"
	@echo "make test    all tests"
	@echo "make check   lint, types and import rules"
	@echo "make record  re-record the cassettes on the sandbox (HUB=1: on Oxen)"
	@echo "make verify  the doctor and the contract tests on the sandbox (HUB=1: on Oxen)"
	@echo "make docs    the documentation in site/ (docs-serve: while you write)"
	@echo "make bench   measure against peers (SUITE=name for one, JOBS=250,4000); make compare: what they do"
	@echo "make test-slow | test-matrix | test-examples | coverage   longer proofs"
	@echo "make test-fleet | test-scale              many machines: killed and cut off; with LangGraph and DBOS"
	@echo "make build | smoke                        wheel and sdist; each extra installed and used"

# $(call install,FOLDER,PACKAGES) makes a virtual environment: with uv where it is there, else with pip.
UV := $(shell command -v uv 2>/dev/null)
define install
	@test -n "$(PYTHON)" || { echo "Python 3.10 or newer is needed; set PYTHON=/path/to/python3"; exit 1; }
	@echo "Installing into $(1) (up to 200 packages; the first time takes about two minutes with pip) ..."
	@$(if $(UV),test -x $(1)/bin/python || uv venv --quiet --seed --python $(PYTHON) $(1),$(PYTHON) -m venv $(1))
	@$(if $(UV),,$(1)/bin/python -m pip install --quiet --upgrade "pip>=25.1")
	@$(if $(UV),uv pip install --quiet --python $(1)/bin/python,$(1)/bin/python -m pip install --quiet) $(2)
	@touch $(1)/.installed
endef

$(VENV)/.installed: pyproject.toml
	$(call install,$(VENV),--editable '.[all]' --group dev "$(OPENAI)")

$(VENV): $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/python examples/media_agent.py $(if $(HUB),--hub)

# Most of a test is waiting, so there are more workers than cores; WORKERS=0 for one process.
WORKERS ?= 4
test: $(VENV)/.installed
	$(BIN)/python -m pytest -m "not slow" --numprocesses $(WORKERS) --dist worksteal

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow --timeout=1800

# Those of several machines alone, which test-slow runs, too.
test-fleet: $(VENV)/.installed
	$(BIN)/python -m pytest tests/slow/test_ledger_proofs.py tests/slow/test_fleet_proofs.py -s --timeout=3600

SCALE := .venv-scale
$(SCALE)/.installed: examples/scale/requirements.txt pyproject.toml
	$(call install,$(SCALE),--editable '.[agents$(comma)postgres$(comma)sandbox]' -r examples/scale/requirements.txt)

comma := ,
test-scale: $(SCALE)/.installed
	$(SCALE)/bin/python -m pytest examples/scale -p no:cacheprovider -c /dev/null --rootdir examples/scale --confcutdir examples/scale

# Subprocesses and threads are measured too; each kind of test adds to the same figures. Python 3.11
# loses sight of generators that an error was thrown into: PYTHON=python3.13 VENV=.venv-3.13 does not.
coverage: $(VENV)/.installed
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -m "not slow" -q --numprocesses $(WORKERS) --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet --directory build/coverage
	$(BIN)/coverage report --show-missing --skip-covered

TOOLS := .venv-tools
$(TOOLS)/.installed: Makefile
	$(call install,$(TOOLS),uv packaging "tomli; python_version < '3.11'")

# ROWS=py3.10 for those rows only; TESTS=tests/unit for those tests only; JOBS=2 rows at a time.
test-matrix: $(TOOLS)/.installed
	$(TOOLS)/bin/python -m tests.compatibility.matrix --only "$(ROWS)" --jobs $(or $(JOBS),1) $(TESTS)

build: $(TOOLS)/.installed
	rm -rf dist
	for project in . distributions/*; do \
		$(TOOLS)/bin/uv build --quiet --no-python-downloads --python $(PYTHON) --out-dir dist $$project || exit 1; done

smoke: build
	$(TOOLS)/bin/python -m tests.compatibility.packages

check: lint types imports

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/basedpyright

imports: $(VENV)/.installed
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Examples that need more than the tests do, such as an embedding model.
EXAMPLES := .venv-examples
$(EXAMPLES)/.installed: examples/requirements.txt pyproject.toml
	$(call install,$(EXAMPLES),--editable '.[all]' --group dev -r examples/requirements.txt)

test-examples: $(EXAMPLES)/.installed
	$(EXAMPLES)/bin/python -m pytest tests/docs/test_examples.py

# What is true of a hub: the doctor's findings, then the recorded contract tests against it, whose cassettes
# are scrubbed and kept. HUB=1: Oxen's, with your key; SPEND=0.05 also buys one image, after asking.
verify: $(VENV)/.installed
ifeq ($(HUB),1)
	-$(BIN)/python -m oxen_inference doctor $(if $(SPEND),--spend $(SPEND))
	@printf "The recorded tests buy a few images on Oxen. Go on? [y/N] "; read answer; test "$$answer" = y
	OXEN_RECORD=hub $(BIN)/python -m pytest tests/cassettes --record-mode=rewrite
else
	$(BIN)/python -m pytest tests/e2e/test_doctor.py tests/cassettes tests/contract -q
endif

record: $(VENV)/.installed
	OXEN_RECORD=$(if $(HUB),hub,sandbox) $(BIN)/python -m pytest tests/cassettes --record-mode=rewrite

# Run the notebooks and keep what they show; the tests run them, too.
notebooks: $(VENV)/.installed
	$(BIN)/python -m tests.docs.notebooks

DOCS := .venv-docs
$(DOCS)/.installed: pyproject.toml
	$(call install,$(DOCS),--editable '.[all]' --group dev --group docs)

docs: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet

# Every page in a real browser: the console, links, the search, a phone. Needs chromium, or `playwright install chromium`.
test-site: docs
	$(DOCS)/bin/python -m pytest tests/docs/test_site.py -p no:cacheprovider

# The images of the documentation, made again on the sandbox.
screenshots: $(DOCS)/.installed
	$(DOCS)/bin/python -m tests.docs.screenshots

docs-serve: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs serve

BENCH := .venv-bench
$(BENCH)/.installed: benchmarks/requirements.txt pyproject.toml
	$(call install,$(BENCH),--editable '.[all]' -r benchmarks/requirements.txt)

bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks.run $(if $(JOBS),--jobs $(JOBS)) $(SUITE)

# What sharing a ledger costs: begins per second, polling requests of many processes.
bench-fleet: $(VENV)/.installed
	$(BIN)/python -m benchmarks.fleet

# What docs/comparison.md says about peers, read off once more.
compare: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks.behavior

clean:
	rm -rf $(VENV) $(TOOLS) $(DOCS) $(BENCH) $(EXAMPLES) $(SCALE) .matrix build dist site .pytest_cache .mypy_cache .ruff_cache demo-output
