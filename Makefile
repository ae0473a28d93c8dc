# make setup | demo | test | test-lowest | test-slurm | test-gpu | study-small | lint | bench | docs | lock | clean; each sets up what it needs first.
#   ENV=/path     where the environment goes (about 6 GB; default .venv)
#   TORCH=cu126   another build of torch than in requirements.lock: cpu, cu126, … (docs/install.md)
#   CORES=8       how many cores to use (default: all)

SHELL := /bin/bash
ENV ?= .venv
# nproc prints OMP_NUM_THREADS if that is set, as on many clusters
CORES ?= $(shell env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc 2> /dev/null || echo 2)
# tests run in parallel, so torch must not start a thread per core in each
TESTS := OMP_NUM_THREADS=1 python -m pytest
export ENV TORCH PYTHON
# programs of the environment come first; after `make setup ENV=…` .venv is a link to it
IN_ENV := export PATH="$(CURDIR)/.venv/bin:$$PATH"; unset PYTHONPATH PYTHONHOME;

.PHONY: help setup demo study-small test test-slow test-lowest test-slurm test-gpu lint format bench docs lock clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

setup:
	@bash envs/setup.sh

demo: setup
	$(IN_ENV) snakemake --cores $(CORES) --quiet rules
	@echo; echo "The report: $(CURDIR)/results/demo/report.html"

# repeats a part of docs/study and compares it with what is printed there; at most 20 minutes on two cores
study-small: setup
	$(IN_ENV) snakemake --cores $(CORES) --quiet rules --configfile config/study/study.yaml config/study/repeat.yaml
	$(IN_ENV) python docs/study/pages.py repeat results/study_small

test: setup
	$(IN_ENV) $(TESTS) -n $(CORES) --dist loadfile -m "not slow"

test-slow: setup
	$(IN_ENV) $(TESTS) -n $(CORES) --dist loadfile -m "slow and not slurm"

# with the lowest versions that pyproject.toml allows, in an environment of its own; without Snakemake, which needs newer ones
LOWEST := .lowest
LOWEST_TESTS := tests/data/test_store.py tests/statistics/test_resampling.py tests/training/test_heads.py tests/training/test_together.py \
	tests/training/test_graphs.py tests/training/test_optim.py
test-lowest: setup
	$(IN_ENV) uv venv --quiet --clear $(LOWEST) && uv pip compile --quiet --resolution lowest-direct --python $(LOWEST)/bin/python \
		--extra medical pyproject.toml --output-file $(LOWEST)/lowest.txt && \
	uv pip install --quiet --python $(LOWEST)/bin/python -r $(LOWEST)/lowest.txt pytest hypothesis && \
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest $(LOWEST_TESTS)

# a private Slurm cluster on this machine; `sudo tests/slurm/cluster.sh install` installs what it needs
test-slurm: setup
	$(IN_ENV) $(TESTS) -m slurm

# on one GPU, at most ten minutes; prints what it measured
test-gpu: setup
	$(IN_ENV) $(TESTS) -m gpu -rA

lint: setup
	$(IN_ENV) ruff check .
	$(IN_ENV) ruff format --check .
	$(IN_ENV) snakefmt --check Snakefile workflow
	$(IN_ENV) snakemake --lint

format: setup
	$(IN_ENV) ruff check --fix .
	$(IN_ENV) ruff format .
	$(IN_ENV) snakefmt Snakefile workflow

bench: setup
	$(IN_ENV) python benchmarks/run.py

# static pages in site/, from docs/ and docstrings; mkdocs gets an environment of its own
docs: setup
	$(IN_ENV) uv tool run --from mkdocs --with 'mkdocstrings[python]' mkdocs build --strict

# newest versions of all packages, with hashes and without index addresses; run the tests before you keep them
lock: setup
	$(IN_ENV) uv pip compile --upgrade --universal --generate-hashes --python-version 3.11 --fork-strategy fewest \
	    --no-emit-index-url --custom-compile-command "make lock" --output-file requirements.lock requirements.in

# keeps results; `rm -r results` removes them
clean:
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -r {} +
	rm -rf .pytest_cache .ruff_cache .hypothesis .snakemake/log .snakemake/slurm_logs
