# Every target sets itself up; all you need is Python >= 3.11, git and make.
PYTHON ?= python3
PROVIDER ?= lightsms
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/development.lock

.PHONY: help setup demo clients test chaos storm bench lint check audit format docs catalogue picture lock clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

# The stamp holds the lock file's own text: a changed lock installs again, nothing else does.
$(VENV)/.stamp: $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "campaigns needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 setup" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(VENV)/.stamp  ## make .venv with the pinned dependencies and this project

demo: setup  ## run the main job once, on embedded servers and a simulated PROVIDER (lightsms); KEEP=1 keeps its dashboard
	@$(BIN)/campaigns demo --provider $(PROVIDER) $(if $(KEEP),--keep)

clients: setup  ## install real clients of a provider for the tests that run them (npm for one of them)
	@sh .ci/clients $(BIN)/python

# Three at a time, also on two cores: tests with real processes mostly wait. Each has its own servers.
test: setup  ## run the tests on real PostgreSQL and Redis, with a short storm
	CHAOS_RECIPIENTS=1000 CHAOS_GARBAGE=1000 $(BIN)/python -m pytest -n 4 --maxschedchunk 1 -m "not chaos or short"

chaos: setup  ## break everything on purpose: every scenario with 5,000 recipients
	$(BIN)/python -m pytest tests/chaos -m chaos -s

storm: setup  ## ours and the usual Celery code under the same storm, as a table
	$(BIN)/python -m benchmarks.storm

# The peers are installed into .venv; arq, which needs another redis-py, into its own environment.
$(VENV)/.stamp-bench: requirements/bench.lock requirements/bench-arq.lock $(VENV)/.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.lock
	@test -x $(VENV)/arq/bin/python || $(BIN)/python -m venv $(VENV)/arq
	$(VENV)/arq/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench-arq.lock
	@touch $@

bench: $(VENV)/.stamp-bench  ## ours, the floor, the naive way and the peers as a table; BENCH="--only ours,floor" says which
	@$(BIN)/python -m benchmarks.run $(BENCH)

lint: setup  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: test lint  ## tests and lint

audit: setup  ## ask the OSV database about every pinned package; without the network a warning
	@$(BIN)/python .ci/audit.py requirements/*.lock

format: setup  ## put the code in its one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup  ## write docs/settings.md, docs/limits.md and docs/ops/metrics.md from the code
	PYTHONPATH=. $(BIN)/python docs/generate.py

# Sorted and without places, so that two people who add sentences seldom meet.
catalogue: setup  ## bring the dashboard's new sentences into its catalogues, to be translated there
	@$(BIN)/pybabel -q extract --no-location --sort-output --omit-header -k N_ -F pyproject.toml -o $(VENV)/dashboard.pot .
	@for language in worker/web/locale/*/; do $(BIN)/pybabel -q update --no-fuzzy-matching --ignore-obsolete --omit-header -w 120 \
		-D dashboard -d worker/web/locale -l $$(basename $$language) -i $(VENV)/dashboard.pot || exit 1; done

picture: setup  ## draw docs/demo.svg from a demo, and docs/pictures (dashboard; needs chromium) from a scene, run for it
	$(BIN)/python docs/picture.py
	$(BIN)/python -m pytest -q -n 0 tests/browser/pictures.py

lock:  ## write the lock files anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml -o requirements/production.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml --extra embedded --extra otel --group dev -o requirements/development.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml --extra otel -c requirements/development.lock -o requirements/otel.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --group build -c requirements/development.lock -o requirements/build.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --group bench -c requirements/development.lock -o requirements/bench.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --group bench-arq -o requirements/bench-arq.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --group clients -c requirements/bench.lock -o requirements/clients.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --group generator -o requirements/generator.lock
	! command -v npm >/dev/null || npm install --prefix requirements/clients --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund

clean:  ## remove what can be made again (not .campaigns, which holds data)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
