# make demo             a whole small study on synthetic data, from raw files to the report
# make test             the tests, but for those of whole studies and other long work
# make test-slow        those
# make test-slurm       the profile on a real SLURM, brought up on this machine (Debian, root: it installs the packages)
# make image            the software as an Apptainer image, for --sdm apptainer
# make test-faults      what happens when something breaks: docs/reliability.md
# make lint             ruff, mypy, snakefmt, snakemake --lint
# make nih NIH=folder   the same study on real images (NIH ChestX-ray14)
# make gpu-check        this GPU: every fast path beside the plain one, images a second
# make teachers         adds the libraries of image encoders: transformers, timm, open_clip, onnxruntime
# make browser          what the tests of the report in a browser need: Playwright, axe, Debian's Chromium (root)
# make unlock           after a run was killed, before the same command again
# make docs             the documentation as a site, in site/, with tools of its own (no other part of the environment)
# make validity         coverage of the intervals and error rates of the tests, written to docs/validity.md
# make bench            speed beside a plain baseline, written to benchmarks/results.json

PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES) --rerun-incomplete --logger steps --show-failed-logs
# Small networks on small images: two jobs of one thread are quicker than one job of two.
SMALL := --set-threads $(addsuffix =1,analyse_bias assess_student distill evaluate extract_features finetune probe \
	transfer_direct transfer_finetune transfer_probe)
# One line for every twenty packages instead of five for each.
PIP_PROGRESS := awk '/^Collecting/ && ++n % 20 == 0 { print "  " n " packages fetched" } \
	/^Installing collected/ { print "  " n " packages fetched; unpacking them" } { fflush() }'
SHELL := bash
export PATH := $(CURDIR)/$(BIN):$(PATH)

NIH_STUDY = --configfile config/nih.yaml --config 'folders={"nih": "$(abspath $(NIH))", "resources": "resources/nih"}'

.PHONY: test-faults demo nih unlock test test-slow test-slurm lint gpu-check validity bench environment teachers browser image docs

demo: environment
	@$(SNAKEMAKE) $(SMALL) --configfile config/demo.yaml
	@$(BIN)/cxrfmkd summary results/demo

nih: environment
	@test -n "$(NIH)" || { echo "Say where the images are: make nih NIH=folder (Data_Entry_2017_v2020.csv and images/ in it)"; exit 2; }
	@$(BIN)/cxrfmkd cost --brief $(NIH_STUDY)
	@$(SNAKEMAKE) $(SMALL) $(NIH_STUDY)
	@$(BIN)/cxrfmkd summary results/nih

unlock: environment
	@$(BIN)/snakemake --unlock --quiet all

test: environment
	$(BIN)/pytest -n auto --dist loadgroup -m "not slow"

test-slow: environment
	$(BIN)/pytest -n auto --dist loadgroup -m slow

test-slurm: environment
	PYTHONPATH=tests $(BIN)/python tests/slurm/packages.py
	$(BIN)/pytest tests/slurm -n 6 --dist worksteal --durations 10 -rs

test-faults: environment
	$(BIN)/pytest tests/faults -n auto

lint: environment
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

image: containers/cxr-fmkd.sif

containers/cxr-fmkd.sif: containers/apptainer.def requirements.lock
	apptainer build --force $@ $<

gpu-check: environment
	$(BIN)/cxrfmkd gpu-check

validity: environment
	$(BIN)/python validity/run.py

bench: environment
	$(BIN)/python benchmarks/run.py

environment: .venv/complete

.venv/complete: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 2; }
	@echo "Installing the environment into .venv: about 7 GB, three minutes or more"
	@$(PYTHON) -m venv .venv
	@set -o pipefail; $(BIN)/python -m pip install --progress-bar off --no-compile --no-deps --require-hashes --requirement requirements.lock | $(PIP_PROGRESS)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

teachers: .venv/teachers

docs: .venv-docs/complete
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet
	@echo "The site: site/index.html"

.venv-docs/complete: requirements-docs.lock
	@$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --no-compile --no-deps --require-hashes --requirement $<
	touch $@

browser: .venv/browser
	$(BIN)/python tests/debian.py chromium

.venv/teachers .venv/browser: .venv/%: requirements-%.lock .venv/complete
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --require-hashes --requirement $<
	touch $@
