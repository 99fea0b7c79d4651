"""Which program makes the forks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def find(ordered: str | os.PathLike[str] | None = None) -> str:
    """The program that is ordered, else that of K3S_VM, of the checkout around the working directory, of the PATH.

    What is named counts even where there is no such file, and then fails by name.
    """
    named = ordered or os.environ.get("K3S_VM")
    if named:
        return str(Path.cwd() / named)
    for directory in [Path.cwd(), *Path.cwd().parents]:
        launcher = directory / "bin" / "k3s-vm"
        if launcher.is_file() and os.access(launcher, os.X_OK):
            return str(launcher)
    found = shutil.which("k3s-vm")
    if found:
        return found
    raise FileNotFoundError(
        "the program k3s-vm was not found\n"
        f"  There is no bin/k3s-vm in {Path.cwd()} or above it, and none in the PATH.\n"
        "Next: export K3S_VM=/path/to/bin/k3s-vm    # or pytest --k3s-vm-program PATH"
    )
