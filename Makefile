# Each target makes what it needs. A machine with Python 3.11+ and make is enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 3

.PHONY: demo test check bench soak fuzz test-all test-tools clean help

help:
	@echo "make demo    a live server: edited, refused, undone, stopped and resumed before your eyes"
	@echo "make test    the test suite"
	@echo "make check   ruff, mypy, pyright, import-linter"
	@echo "make bench   figures beside the peers     make soak   the long runs     make fuzz   atheris on the telnet parser"
	@echo "make test-all   the suite on every supported Python found here"

# uv when it is there, plain venv and pip otherwise: both end in the same folder.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What a user has, which is enough to see it.
$(VENV)/.installed: pyproject.toml setup.py
	@if command -v uv >/dev/null 2>&1; then \
	    uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	    VIRTUAL_ENV=$(VENV) uv pip install --quiet -e .; \
	else \
	    $(PYTHON) -m venv $(VENV) && $(PIP) -e .; \
	fi
	@touch $@

# What a developer has besides.
$(VENV)/.ready: $(VENV)/.installed
	@if command -v uv >/dev/null 2>&1; then \
	    VIRTUAL_ENV=$(VENV) uv pip install --quiet --group dev; \
	else \
	    $(PIP) --upgrade 'pip>=25.1' && $(PIP) --group dev; \
	fi
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/midair demo

test: $(VENV)/.ready
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	PYTHONPATH=.layout $(BIN)/lint-imports

bench: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	$(BIN)/python benchmarks/run.py

# Runs that take longer than anybody waits for a test: more edits, more kills, more cuts.
soak: $(VENV)/.ready
	MIDAIR_SOAK=1 $(BIN)/python -m pytest -q -m soak --timeout 3600

# The telnet parser under atheris for a minute: MIDAIR_FUZZ_SECONDS=600 make fuzz for ten.
fuzz: $(VENV)/.ready
	MIDAIR_FUZZ_SECONDS=$${MIDAIR_FUZZ_SECONDS:-60} $(BIN)/python -m pytest -q -s tests/services/telnet/test_telnet_fuzz.py --timeout 7200

# The clients that tests talk through. Where one cannot be had, its tests skip and say so.
TOOLS := telnet netcat-openbsd putty-tools openssh-client tmux screen vim nano irssi ii weechat-headless ngircd chromium procps
test-tools:
	@missing=; for tool in $(TOOLS); do dpkg -s $$tool >/dev/null 2>&1 || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

# The suite on each Python 3.11+ found here; only those are claimed.
test-all:
	@for v in 3.11 3.12 3.13 3.14; do \
	    command -v python$$v >/dev/null 2>&1 || continue; \
	    echo "--- python$$v"; \
	    $(MAKE) --no-print-directory test VENV=.venvs/$$v PYTHON=python$$v || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
