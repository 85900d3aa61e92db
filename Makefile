# Two commands set everything up on a fresh machine:
#   make report   run the notebooks in order into reports/<profile>/ (PROFILE=tiny)
#   make test     the tests that CI runs
# and for those who change the code:
#   make check    lint, formatting and every test, the long series included
#   make lab      JupyterLab on the notebooks

PYTHON ?= python3
PROFILE ?= tiny
VENV := .venv
RUN := $(VENV)/bin/python -m
READY := $(VENV)/.ready
# The tests of a file share what they build, so a file stays with one process; the longest go first.
PYTEST := $(RUN) pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: report test check lab clean

report: $(READY)
	$(RUN) evoxtral report --profile $(PROFILE)

test: $(READY)
	$(PYTEST) -m "not check"

check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(PYTEST)

lab: $(READY)
	$(VENV)/bin/jupyter lab notebooks

clean:
	rm -rf $(VENV) runs reports/smoke reports/tiny

# The stamp is newer than what it was made from, so a second run installs nothing.
$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else "Evoxtral needs Python 3.11 or newer: run make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check --no-compile --requirement requirements.txt
	$(RUN) compileall -qq -j 0 $(VENV)/lib || true  # pip takes one core; files for later Pythons fail
	$(RUN) pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@
