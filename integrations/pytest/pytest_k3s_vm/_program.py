"""Finds the program k3s-vm."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def find(given: str | os.PathLike[str] | None = None) -> str:
    """The given program, else that of K3S_VM, else bin/k3s-vm in the working directory or above it, else one in the PATH.

    A program that is given or in K3S_VM is not checked: starting it fails with its name.
    """
    named = given or os.environ.get("K3S_VM")
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
