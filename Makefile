# make quickstart   the whole stack on this machine: fine-tune, host, serve, ask. Needs Python 3.11+ and make, no more
# make test         every test            make lint    ruff and mypy
# make bench        what the API costs, and how much of the engine the stack keeps, beside peers
# make lock         pin the requirements  make clean   remove what these made
#
# PYTHON=… picks an interpreter; without it, the first suitable one on PATH is taken. AIOBOTOCORE=… is one that has
# aiobotocore, for `make bench` to measure beside (it wants an older botocore).

.DEFAULT_GOAL := quickstart
.PHONY: quickstart test lint bench lock clean
.DELETE_ON_ERROR:

SUITABLE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$p -c '$(SUITABLE)' >/dev/null 2>&1 && echo $$p && break; done)
# Byte code is made when a module is first imported, whatever the caller's environment says: installing takes a third
# of the time, and without byte code torch and transformers are compiled anew by every process (19 s instead of 5).
export PYTHONDONTWRITEBYTECODE =
PIP = -m pip install --no-compile --quiet --disable-pip-version-check --no-input --progress-bar off
LOCKED = $(PIP) --require-hashes --no-deps -r
# torch stays out of the locked files: which build is right depends on the platform and the accelerator, and so do
# its hash and what it brings along. The version is the one pyproject.toml pins.
TORCH = torch==2.13.0

# Threads that spin while they wait slow training down tenfold on a machine that does something else as well.
quickstart: .venv/.quickstart
	@OMP_WAIT_POLICY=PASSIVE .venv/bin/genai-stack quickstart

test: .venv/.test .venv-clients/.ready .wheels/.ready
	.venv/bin/python -m pytest -n 2 --dist loadfile

lint: .venv/.test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv/.test .venv-litellm/.ready
	.venv/bin/python -m benchmarks.doors
	.venv/bin/python -m benchmarks.start
	.venv/bin/python -m benchmarks.overhead
	.venv/bin/python -m benchmarks.litellm .venv-litellm/bin/python
	.venv/bin/python -m benchmarks.sagemaker $(AIOBOTOCORE)
	.venv/bin/python -m benchmarks.shedding
	.venv/bin/python -m benchmarks.throughput
	.venv/bin/python -m benchmarks.training

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "genai-stack needs Python 3.11 to 3.14 with venv on PATH, or PYTHON=… told to make" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.quickstart .venv/.test: .venv/.%: requirements/%.txt pyproject.toml | .venv/bin/python
	@echo "installing the $* environment into .venv"
	@.venv/bin/python $(LOCKED) requirements/$*.txt
	@.venv/bin/python $(PIP) $(TORCH)
	@.venv/bin/python $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# The outside clients live apart: litellm wants an older huggingface-hub than the engine's tools do.
.venv-clients/.ready: requirements/clients.txt | .venv/bin/python
	@echo "installing the clients' environment into .venv-clients"
	@.venv/bin/python -m venv .venv-clients
	@.venv-clients/bin/python $(LOCKED) requirements/clients.txt
	@touch $@

# The peer that `make bench` measures beside.
.venv-litellm/.ready: requirements/litellm.in | .venv/bin/python
	@echo "installing the LiteLLM proxy into .venv-litellm"
	@.venv/bin/python -m venv .venv-litellm
	@.venv-litellm/bin/python $(PIP) -r requirements/litellm.in
	@touch $@

# What travels to an account beside the package. With it here, cdk synth and the tests need no network.
.wheels/.ready: requirements/lambda.txt requirements/api.txt $(wildcard requirements/container/*.txt) .venv/.test
	@.venv/bin/python -c 'from cdk.constructs.bundles import fetch_all; fetch_all()'
	@touch $@

# Pins that still fit stay; `make lock UPGRADE=--upgrade` moves all of them.
COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-package torch --no-header --no-annotate $(UPGRADE)

lock: | .venv/bin/python
	.venv/bin/python -m venv .venv-lock
	.venv-lock/bin/python $(PIP) uv
	$(COMPILE) --all-extras pyproject.toml requirements/build.in -o requirements/test.txt
	$(COMPILE) --extra local --extra train -c requirements/test.txt pyproject.toml requirements/build.in -o requirements/quickstart.txt
	$(COMPILE) requirements/clients.in -o requirements/clients.txt
	for part in lambda api container/all container/train container/evaluate; do \
		$(COMPILE) --no-deps -c requirements/test.txt requirements/$$part.in -o requirements/$$part.txt || exit 1; done

clean:
	rm -rf .venv .venv-clients .venv-litellm .venv-lock .wheels cdk.out .genai-stack dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -prune -exec rm -rf {} +
