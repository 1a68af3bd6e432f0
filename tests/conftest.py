"""Where the fixtures come from."""

pytest_plugins = [
    "tests.fixtures.database",
    "tests.fixtures.embedded",
    "tests.fixtures.jobs",
    "tests.fixtures.worker",
]
