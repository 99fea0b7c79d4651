"""The pytest options and fixtures."""

from __future__ import annotations

from typing import Iterator

import pytest

from ._cluster import Cluster, ForkError, fork


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("k3s-vm", "forks of a k3s-vm cluster")
    group.addoption("--k3s-vm-program", metavar="PATH", help="the program k3s-vm; by default $K3S_VM, bin/k3s-vm, PATH")
    group.addoption("--k3s-vm-project", metavar="DIR", help="the directory with .k3s-vm/; by default the nearest from the working directory up")
    group.addoption("--k3s-vm-from", metavar="SNAPSHOT", help="the snapshot from which forks are made")
    group.addoption(
        "--k3s-vm-timeout", metavar="SECONDS", type=float, default=900.0,
        help="the deadline for a fork to be ready (default: %(default)s)",
    )


@pytest.fixture
def k3s_vm(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A pristine cluster for this test alone."""
    yield from _fork(request.config)


@pytest.fixture(scope="session")
def k3s_vm_session(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One cluster for all tests that only read."""
    yield from _fork(request.config)


def _fork(config: pytest.Config) -> Iterator[Cluster]:
    try:
        cluster = fork(
            program=config.getoption("--k3s-vm-program"),
            project=config.getoption("--k3s-vm-project"),
            from_snapshot=config.getoption("--k3s-vm-from"),
            timeout=config.getoption("--k3s-vm-timeout"),
        )
    except (ForkError, FileNotFoundError) as error:
        # The message helps, a trace through this plugin does not.
        pytest.fail(str(error), pytrace=False)
    yield cluster
    try:
        cluster.close()
    except ForkError as error:
        pytest.fail(str(error), pytrace=False)
