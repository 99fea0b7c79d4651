"""Makes forks with `k3s-vm run --hold`, which destroys its fork when its standard input ends."""

from __future__ import annotations

import atexit
import collections
import json
import os
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any

from . import _program

# How many lines of the program's stderr an error shows.
_ERROR_LINES = 40
# Seconds between SIGTERM and SIGKILL.
_GRACE = 10.0
_VARIABLES = ("KUBECONFIG", "WEB_URL", "WEB_PORT", "API_URL", "API_PORT", "SSH_PORT", "K3S_VM_NAME")


class ForkError(Exception):
    """A fork could not be made or destroyed: what happened, the program's output, and the next command."""

    def __init__(self, what: str, said: str, following: str, exit_code: int | None = None) -> None:
        lines = [what, *(f"  | {line}" for line in said.splitlines())]
        # The program's own advice comes first.
        if exit_code is None or not any(line.lstrip().startswith("Next:") for line in said.splitlines()):
            lines.append(f"Next: {following}")
        super().__init__("\n".join(lines))
        self.exit_code = exit_code
        """The program's exit code, if it ended by itself: 6 is a taken port, 69 a missing requirement of the host."""
        self.said = said
        """The last lines of the program's stderr."""


class Cluster:
    """A fork that is ready. It is destroyed by `close`, at the end of a `with`, or when the process ends."""

    def __init__(self, process: _Process, greeting: dict[str, Any]) -> None:
        self._process = process
        self.environment: dict[str, str] = greeting.pop("environment")
        """The variables for programs that use the cluster: KUBECONFIG, WEB_URL and others."""
        self.report = greeting
        """The report of the start, as of `k3s-vm start -o json`."""

    @property
    def name(self) -> str:
        """The instance's name, for `k3s-vm --name NAME kubectl`."""
        return self.environment["K3S_VM_NAME"]

    @property
    def kubeconfig(self) -> Path:
        """The path of the kubeconfig, for the variable KUBECONFIG."""
        return Path(self.environment["KUBECONFIG"])

    @property
    def web_url(self) -> str:
        """The URL of the application."""
        return self.environment["WEB_URL"]

    @property
    def api_url(self) -> str:
        """The URL of the Kubernetes API."""
        return self.environment["API_URL"]

    @property
    def web_port(self) -> int:
        """The host's port of the application."""
        return int(self.environment["WEB_PORT"])

    @property
    def api_port(self) -> int:
        """The host's port of the API."""
        return int(self.environment["API_PORT"])

    @property
    def ssh_port(self) -> int:
        """The host's port of the guest's sshd."""
        return int(self.environment["SSH_PORT"])

    def close(self) -> None:
        """Destroys the fork; a second call does nothing. Raises ForkError when that fails."""
        self._process.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Cluster {self.name} {self.web_url}>"


def fork(
    *,
    program: str | os.PathLike[str] | None = None,
    project: str | os.PathLike[str] | None = None,
    from_snapshot: str | None = None,
    timeout: float = 900.0,
    close_timeout: float = 60.0,
) -> Cluster:
    """Makes a fork and waits until its cluster and application are ready.

    `program` is k3s-vm; by default that of the variable K3S_VM, else bin/k3s-vm in the working directory or above it, else
    k3s-vm in the PATH. `project` is the directory with `.k3s-vm/`, `from_snapshot` a name of `k3s-vm snapshot save`.
    Timeouts are in seconds. Raises FileNotFoundError if there is no program, and ForkError; then nothing is left behind.
    """
    words = [_program.find(program), "run", "--hold", "--output", "json"]
    # The program gets nine tenths of the time, so that its own error, which says what took so long, comes first.
    words += ["--timeout", f"{max(1, int(timeout * 900))}ms"]
    if project is not None:
        words += ["--project", os.fspath(project)]
    if from_snapshot is not None:
        words += ["--from", from_snapshot]
    process = _Process(words, close_timeout)
    try:
        return Cluster(process, process.greeting(timeout))
    except BaseException:
        # An interrupt must leave nothing behind, either.
        process.terminate()
        raise


class _Process:
    """The running program: its first line, its stderr and its end, each with a deadline."""

    def __init__(self, words: list[str], close_timeout: float) -> None:
        self._program = words[0]
        self._close_timeout = close_timeout
        self._closed = False
        self._said: collections.deque[str] = collections.deque(maxlen=_ERROR_LINES)
        self._lines: queue.Queue[str] = queue.Queue()
        try:
            self._child = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise ForkError(
                f"{self._program} cannot be started: {error.strerror}", "",
                "export K3S_VM=/path/to/bin/k3s-vm    # or pytest --k3s-vm-program PATH",
            ) from error
        _running.add(self)
        self._readers = [
            threading.Thread(target=self._read_stdout, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_stdout(self) -> None:
        # Further lines are discarded, so that a full pipe does not block the program.
        with self._child.stdout as stdout:
            self._lines.put(stdout.readline())
            for _ in stdout:
                pass

    def _read_stderr(self) -> None:
        with self._child.stderr as stderr:
            for line in stderr:
                self._said.append(line.rstrip())

    def greeting(self, timeout: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self.terminate()
            raise ForkError(
                f"the fork was not ready within {timeout:g} s", self._last_lines(),
                "k3s-vm start    # once: forks of a cluster that has been ready take seconds",
            ) from None
        if not line:
            raise self._ended()
        try:
            greeting = json.loads(line)
            missing = [name for name in _VARIABLES if name not in greeting["environment"]]
            if not missing:
                return greeting
            why = f"its environment has no {missing[0]}"
        except (ValueError, KeyError, TypeError):
            why = "that is not the JSON of a fork"
        self.terminate()
        raise ForkError(
            f"{self._program} did not tell where its fork is\n  It printed {line.rstrip()[:200]!r}: {why}",
            self._last_lines(), "k3s-vm --version    # is it the k3s-vm that you mean, and as new as this plugin?",
        )

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        ended_before = self._child.poll() is not None
        self._end_input()
        try:
            code = self._child.wait(self._close_timeout)
        except subprocess.TimeoutExpired:
            self.terminate()
            raise ForkError(
                f"k3s-vm did not end within {self._close_timeout:g} s after the fork was closed, and was killed",
                self._last_lines(), "k3s-vm list    # is it still there?",
            ) from None
        _running.discard(self)
        if code != 0 or ended_before:
            raise self._ended()

    def terminate(self) -> None:
        """Ends the program by SIGTERM, and by SIGKILL if it does not end in time."""
        self._closed = True
        self._end_input()
        self._child.terminate()
        try:
            self._child.wait(min(_GRACE, self._close_timeout))
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        _running.discard(self)

    def _end_input(self) -> None:
        try:
            self._child.stdin.close()
        except OSError:
            pass

    def _ended(self) -> ForkError:
        try:
            code = self._child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.terminate()
            code = self._child.returncode
        self._closed = True
        _running.discard(self)
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        return ForkError(
            f"k3s-vm ended, and with it the fork: {how}", self._last_lines(),
            "k3s-vm start    # shows whether the project's cluster starts at all", code,
        )

    def _last_lines(self) -> str:
        # Not for ever: another process may hold the pipe open.
        self._readers[1].join(1.0)
        return "\n".join(list(self._said))


_running: set[_Process] = set()


@atexit.register
def _close_all() -> None:
    # All inputs first, so that the forks are destroyed at the same time.
    processes = list(_running)
    for process in processes:
        process._end_input()
    for process in processes:
        try:
            process.close()
        except ForkError:
            pass
