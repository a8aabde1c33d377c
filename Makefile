# `make run` and `make test` set everything up themselves; they need git, make and Python >= 3.11.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
export PYTHONHASHSEED = 0

.PHONY: run test test-all check audit format mutants catalogue licences lock clean

run: $(VENV)/.run
	$(BIN)/churn run

test: $(VENV)/.test $(VENV)/.moto check
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "not slow"

test-all: $(VENV)/.test $(VENV)/.moto check
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/licences.py --check

audit: $(VENV)/.test
	$(BIN)/python .ci/audit

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Would a test notice if a line said something else? About ten minutes; the tool stays out of the venv's
# constraints, since nothing imports it. TMPDIR in memory: each mutant writes a small workspace.
mutants: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check mutmut==3.8.1
	rm -rf mutants
	TMPDIR=$$(test -d /dev/shm && echo /dev/shm || echo /tmp) $(BIN)/python -m mutmut run --max-children 2 > mutants.log
	$(BIN)/python -m mutmut results --all true | awk -F: '{split($$1, name, "[.]x"); print name[1] $$2}' | sort | uniq -c

catalogue: $(VENV)/.run
	$(BIN)/python docs/catalogue.py > docs/features.md

licences: $(VENV)/.test
	$(BIN)/python docs/licences.py > docs/licences.md

lock:
	constraints/compile.sh

clean:
	rm -rf $(VENV) params.yaml

$(VENV)/.run: constraints/run.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("churn needs Python 3.11 or newer; name one with PYTHON=") if sys.version_info < (3, 11) else None'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || (rm -rf $(VENV) && $(PYTHON) -m venv $(VENV))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	touch $@

$(VENV)/.test: $(VENV)/.run constraints/test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints/test.txt
	touch $@

# The S3 server that tests talk to, in an environment of its own (see constraints/compile.sh).
$(VENV)/.moto: $(VENV)/.run constraints/s3server.txt
	$(PYTHON) -m venv $(VENV)/moto
	$(VENV)/moto/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints/s3server.txt
	touch $@
