# Everything from a fresh clone: each target makes its own environment first, and only when the lock changed.

BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test check test-slow test-vllm test-verl fuzz docs lock clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup:  ## .venv with everything that training and the tests need
	@sh scripts/setup.sh

demo: setup  ## watch the built-in model learn: ladder, training, before and after, report
	@$(BIN)/observe-r1 demo

test: setup  ## the test suite, under five minutes on two cores
	@$(BIN)/python -m pytest

check: setup  ## lint, format, types, import contracts, unused code
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/vulture
	@$(BIN)/pyright --pythonpath $(BIN)/python

test-slow: setup  ## the long tests, at most 45 minutes
	@$(BIN)/python -m pytest -m slow

test-vllm:  ## against the real vLLM on this CPU, in an environment of its own (4 GB)
	@bash scripts/vllm_env.sh .venv-vllm
	@.venv-vllm/bin/python -m pytest -m vllm tests/unit/rollout tests/end_to_end

test-verl:  ## against the real verl on this CPU, in an environment of its own (1.5 to 7 GB)
	@bash scripts/verl_env.sh .venv-verl
	@.venv-verl/bin/python -m pytest -m verl -W default tests/unit/integrations

fuzz: setup  ## a million hostile completions through the grader
	@$(BIN)/python -m pytest -m fuzz

docs: setup  ## the generated pages: puzzles, grading, metrics, methods
	@for script in scripts/make_*.py; do echo "$$script"; $(BIN)/python $$script; done

lock: setup  ## resolve requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --extra train --extra dev --universal --python-version 3.11 \
	  --no-annotate --no-header --no-emit-index-url --quiet --output-file requirements.lock

clean:  ## remove the environments and caches
	rm -rf .venv .venv-vllm .venv-verl .pytest_cache .ruff_cache .import_linter_cache .hypothesis
