"""A pristine Kubernetes cluster for every test: forks of a k3s-vm project.

The fixtures are in `pytest_k3s_vm.plugin`; `fork` works without pytest.
"""

from ._cluster import Cluster, ForkError, fork

__all__ = ["Cluster", "ForkError", "fork"]
