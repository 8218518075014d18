# Needs python3 (3.11 to 3.13), python3-venv, git and make. Everything is installed into .venv, from locks with hashes.

.DEFAULT_GOAL := help
.SHELLFLAGS := -euc
.NOTPARALLEL:

PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 4
APT := timeout 300 apt-get -qq --option Acquire::Retries=1

# uv: trust what the machine trusts, and use the machine's Python.
export UV_SYSTEM_CERTS := 1
export UV_PYTHON_DOWNLOADS := never

# Some images forbid Python to keep what it compiled. A hub's process then compiles two thousand modules at each start:
# 3 s of CPU, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

# The stamp carries a digest of all that decides what .venv holds, so that a changed lock, a moved checkout or another
# Python makes it anew, and nothing else does.
DIGEST := $(shell { pwd; $(PYTHON) -V; cat requirements/*.txt pyproject.toml Makefile; } 2>&1 | sha256sum | cut -c 1-16)
STAMP := .venv/made-from-$(DIGEST)

# What the check runs on Postgres: all that asks the database, without what asks for it over HTTP alone.
STORES = tests/faults $(filter-out $(foreach each,http attack openapi,tests/broker/test_$(each)%),$(wildcard tests/broker/test_*.py))
# A connection of a hub that a test abandons is closed by the collector, and psycopg says so, in some later test.
ON_POSTGRES = $(BIN)/pytest -n $(WORKERS) --postgres -W default::pytest.PytestUnraisableExceptionWarning

define stage
@printf '\n== %s\n' '$(1)'
endef

.PHONY: help setup demo test check postgres topology proxy browser format lock screenshots bench clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup: $(STAMP) ## Make .venv from the locks (every other target does it first)

demo: $(STAMP) ## Start a hub with simulated agencies, exchange bulletins, check everything; ONCE=1 stops after the checks
	@$(BIN)/lintas-broker demo

test: $(STAMP) ## Run the whole test suite
	@$(BIN)/pytest -n $(WORKERS)

topology: $(STAMP) ## Play a hub of two replicas on Postgres behind a TLS proxy, with a replica killed on the way
	@$(BIN)/python -m tests.topology

# The two things that no lock can bring: installed where that may be done. Elsewhere their tests say that they did not
# run; CI asks for a browser (LINTAS_BROWSER=required), without which its tests fail.
proxy: PACKAGE := haproxy
browser: PACKAGE := chromium
proxy browser:
	@PATH="$$PATH:/usr/sbin" command -v $(PACKAGE) >/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null && export DEBIAN_FRONTEND=noninteractive && \
		echo 'Installing $(PACKAGE)' && { $(APT) install --no-install-recommends $(PACKAGE) || \
		{ $(APT) update && $(APT) install --no-install-recommends $(PACKAGE); }; } >/dev/null 2>&1; } || \
		echo '$(PACKAGE) cannot be installed from here (on Debian: apt install $(PACKAGE)); its tests will not run' >&2

check: proxy browser $(STAMP) ## Check format, lint, types, import contracts, tests on both databases, branch coverage: what CI runs
	$(call stage,format)
	@$(BIN)/ruff format --check
	$(call stage,lint)
	@$(BIN)/ruff check
	$(call stage,types)
	@$(BIN)/mypy
	$(call stage,import contracts)
	@$(BIN)/lint-imports --no-cache
	$(call stage,tests of store and faults on Postgres)
	@$(ON_POSTGRES) $(STORES)
	$(call stage,tests on SQLite with branch coverage)
	@$(BIN)/pytest -n $(WORKERS) --cov --cov-report=term-missing:skip-covered

postgres: $(STAMP) ## Run whatever has a database on a real Postgres: twice as much as the check does
	@$(ON_POSTGRES)

format: $(STAMP) ## Format the code and apply the safe fixes of the linter
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

# Compiled in the order in which one constrains the next.
lock: $(STAMP) ## Lock the newest allowed version of every requirement, with hashes
	@for name in run build dev uv; do \
		$(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --upgrade --generate-hashes \
			--no-emit-index-url --no-annotate --no-header requirements/$$name.in --output-file requirements/$$name.txt; \
	done

screenshots: browser $(STAMP) ## Take the pictures of the console in docs/console anew
	@$(BIN)/python -m tests.screenshots

bench: $(STAMP) ## Measure publishing and pulling on this machine
	@$(BIN)/python -m bench

clean: ## Remove .venv and everything that tools left behind
	rm -rf .venv build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is the sure way and uv the fast one: where uv cannot reach what pip is set up for, pip installs the same files.
# The old .venv is cleared, never mended: what is installed is what the locks say, nothing left over.
$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo 'Lintas needs Python 3.11, 3.12 or 3.13. Name one: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'This Python cannot make virtual environments. On Debian: apt install python3-venv' >&2; exit 1; }
	@echo 'Making .venv from requirements/dev.txt'
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip install --quiet --no-config --python $(BIN)/python --require-hashes -r requirements/dev.txt || { \
		echo 'uv could not install; trying pip' >&2; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --editable .
	@touch $@
