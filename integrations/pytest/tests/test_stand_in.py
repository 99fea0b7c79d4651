"""The plugin with a stand-in for k3s-vm, which can fail in several ways."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PACKAGE
from pytest_k3s_vm import ForkError, fork

STAND_IN = PACKAGE.parent / "stand-in" / "k3s-vm"
LAST_LINES = "  | [1/2] Checking the host … 0.0 s: all tools are there"


def make(project: Path, failure=None, **options):
    return fork(program=STAND_IN, project=project, from_snapshot=failure, **{"timeout": 120, "close_timeout": 120, **options})


def runs(project: Path) -> bool:
    try:
        os.kill(int((project / "pid").read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def error_of(project: Path, failure: str, **options) -> str:
    with pytest.raises(ForkError) as caught:
        make(project, failure, **options).close()
    return str(caught.value).replace(str(STAND_IN.parent), "/bin")


def test_a_cluster_says_how_to_reach_it_and_is_destroyed_with_its_block(tmp_path):
    with make(tmp_path) as cluster:
        assert cluster.name == "run-1"
        assert (cluster.web_url, cluster.web_port) == ("http://127.0.0.1:20001", 20001)
        assert (cluster.api_url, cluster.api_port, cluster.ssh_port) == ("https://127.0.0.1:20000", 20000, 20002)
        assert cluster.kubeconfig.read_text() == "a kubeconfig\n"
        assert cluster.environment["KUBECONFIG_PRIMARY"] == "e30="
        assert cluster.report == {"instance": "k3s-vm-run-1", "ready": True}
        assert runs(tmp_path)
    assert not runs(tmp_path)
    assert (tmp_path / "ended").read_text() == "by the end of its input\n"
    cluster.close()


def test_an_error_has_the_output_of_the_program_and_its_advice_once(tmp_path):
    assert error_of(tmp_path, "dies").splitlines() == [
        "k3s-vm ended, and with it the fork: exit code 6",
        LAST_LINES,
        "  | Error: port 20001 is taken",
        "  | Next: k3s-vm list    # the instances of this project",
    ]
    assert error_of(tmp_path, "dies-silently").splitlines() == [
        "k3s-vm ended, and with it the fork: signal 9",
        LAST_LINES,
        "Next: k3s-vm start    # shows whether the project's cluster starts at all",
    ]


@pytest.mark.parametrize(
    "failure, printed",
    [
        ("babbles", "'Ready!': that is not the JSON of a fork"),
        ("forgets", "'{\"instance\": \"k3s-vm-run-1\"}': that is not the JSON of a fork"),
    ],
)
def test_an_unknown_first_line_is_shown_and_the_program_ended(tmp_path, failure, printed):
    assert error_of(tmp_path, failure).splitlines() == [
        "/bin/k3s-vm did not tell where its fork is",
        f"  It printed {printed}",
        LAST_LINES,
        "Next: k3s-vm --version    # is it the k3s-vm that you mean, and as new as this plugin?",
    ]


def test_a_fork_that_is_never_ready_is_ended_at_the_deadline(tmp_path):
    lines = error_of(tmp_path, "is-never-ready", timeout=0.3).splitlines()
    assert lines[0] == "the fork was not ready within 0.3 s"
    assert lines[-1].startswith("Next: k3s-vm start")
    assert not (tmp_path / "pid").exists() or not runs(tmp_path)


@pytest.mark.parametrize("failure, code, said", [("dies-later", 5, "QEMU was killed"), ("fails-to-clean-up", 1, "not destroyed")])
def test_a_later_failure_is_reported_by_close(tmp_path, failure, code, said):
    text = error_of(tmp_path, failure)
    assert text.startswith(f"k3s-vm ended, and with it the fork: exit code {code}\n")
    assert said in text


def test_a_program_that_ignores_the_end_of_its_input_is_killed_after_a_deadline(tmp_path):
    text = error_of(tmp_path, "is-deaf", close_timeout=0.3)
    assert text.startswith("k3s-vm did not end within 0.3 s after the fork was closed, and was killed\n")
    assert not runs(tmp_path)


def test_much_output_does_not_block_the_program(tmp_path):
    make(tmp_path, "talks").close()
    assert (tmp_path / "ended").exists()


def test_a_missing_program_is_named():
    with pytest.raises(ForkError, match="/no/such/k3s-vm cannot be started: No such file or directory\nNext: export"):
        fork(program="/no/such/k3s-vm")


def test_without_a_program_the_error_says_how_to_name_one(tmp_path, monkeypatch):
    monkeypatch.delenv("K3S_VM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="Next: export K3S_VM="):
        fork()


def test_the_nearest_program_is_used(tmp_path, monkeypatch):
    from pytest_k3s_vm import _program

    launcher = tmp_path / "bin" / "k3s-vm"
    launcher.parent.mkdir()
    launcher.write_text("")
    launcher.chmod(0o755)
    inner = tmp_path / "tests" / "deep"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    monkeypatch.delenv("K3S_VM", raising=False)
    assert _program.find() == str(launcher)
    monkeypatch.setenv("K3S_VM", "/by/variable")
    assert _program.find() == "/by/variable"
    assert _program.find("/given") == "/given"


@pytest.mark.parametrize("end", ["sys.exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_the_fork_is_destroyed_when_the_process_ends(tmp_path, end):
    script = (
        "import os, signal, sys\nfrom pytest_k3s_vm import fork\n"
        f"cluster = fork(program={str(STAND_IN)!r}, project={str(tmp_path)!r})\n"
        f"print('forked', flush=True)\n{end}\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    child = subprocess.run([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, timeout=120, check=False)
    assert child.stdout == b"forked\n"
    assert child.returncode in (0, -signal.SIGKILL)
    # The program may still be destroying its fork.
    pid = int((tmp_path / "pid").read_text())
    subprocess.run(["tail", f"--pid={pid}", "-f", "/dev/null"], timeout=120, check=True)
    assert (tmp_path / "ended").exists()


@pytest.fixture
def inner(pytester, monkeypatch):
    """Runs pytest on a file, as a user does."""
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE))

    def run(text: str, *options: str):
        pytester.makepyfile(text)
        words = ["-p", "pytest_k3s_vm.plugin", "--k3s-vm-program", STAND_IN, "--k3s-vm-project", pytester.path, *options]
        return pytester.runpytest_subprocess(*words)

    return run


def test_fixtures_fork_for_each_test_or_once(inner, pytester):
    result = inner(
        """
        seen = []
        def test_one(k3s_vm, k3s_vm_session): seen.append((k3s_vm, k3s_vm_session))
        def test_two(k3s_vm, k3s_vm_session):
            assert k3s_vm.web_url == "http://127.0.0.1:20001"
            assert k3s_vm is not seen[0][0] and k3s_vm_session is seen[0][1]
        """
    )
    result.assert_outcomes(passed=2)
    assert (pytester.path / "ended").exists()


def test_options_reach_the_program(inner, pytester):
    inner("def test_it(k3s_vm): pass", "--k3s-vm-from", "talks", "--k3s-vm-timeout", "10").assert_outcomes(passed=1)
    arguments = (pytester.path / "arguments").read_text()
    assert arguments == f"run --hold --output json --timeout 9000ms --project {pytester.path} --from talks\n"


def test_a_failed_fork_is_reported_without_a_trace_through_the_plugin(inner):
    result = inner("def test_it(k3s_vm): pass", "--k3s-vm-from", "dies")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*k3s-vm ended, and with it the fork: exit code 6", "*Error: port 20001 is taken"])
    result.stdout.no_fnmatch_line("*_cluster.py*")


def test_a_fork_that_cannot_be_destroyed_is_an_error_of_its_test(inner):
    result = inner("def test_it(k3s_vm): pass", "--k3s-vm-from", "fails-to-clean-up")
    result.assert_outcomes(passed=1, errors=1)
