//! Point 2: the guest agent runs programs, reads files, sets the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use qemu::agent::{GuestCommand, GuestScript};

use super::guest::{CALL, LiveGuest};
use crate::expect::expect_ok;

/// A step that is measurable and too small to disturb a cluster.
const AHEAD: Duration = Duration::from_secs(90);

/// Arguments, environment, input, both outputs and the exit code.
pub(super) fn runs_programs(guest: &mut LiveGuest<'_>) {
    let script = GuestScript::new("read word; echo \"$word $VARIABLE $1\"; echo wrong >&2; exit 42");
    let command = GuestCommand::shell(script, ["$(touch /run/pwned); 'as it is'"])
        .environment(["VARIABLE=of the host"])
        .input(b"input\n");
    let output = expect_ok(guest.agent().exec(&command, CALL));
    assert_eq!(
        (output.code, output.stdout.as_slice(), output.stderr.as_slice()),
        (42, &b"input of the host $(touch /run/pwned); 'as it is'\n"[..], &b"wrong\n"[..])
    );
    // Without a shell, by the path that the shell finds.
    let path = guest.shell("command -v uname").trim().to_owned();
    assert!(path.starts_with('/'), "uname is {path:?}");
    let release = expect_ok(guest.agent().run(&GuestCommand::new(&path, ["-r"]), CALL));
    assert_eq!(release, guest.file("/proc/sys/kernel/osrelease"));
}

/// A file is read whole, byte for byte; a missing one is reported as such.
pub(super) fn reads_files(guest: &mut LiveGuest<'_>) {
    let sum = guest.shell("head -c 1500000 /dev/urandom >/run/contract-test && sha256sum </run/contract-test");
    let content = expect_ok(guest.agent().read_file("/run/contract-test", 2 << 20, CALL)).expect("the file");
    assert_eq!(content.len(), 1_500_000);
    assert!(sum.starts_with(&host::digest::Sha256::of(&content).to_string()), "the bytes differ from the guest's");
    guest.shell("rm /run/contract-test");
    assert_eq!(expect_ok(guest.agent().read_file("/run/contract-test", 1, CALL)), None);
}

/// `date` shows the new time.
pub(super) fn sets_the_clock(guest: &mut LiveGuest<'_>) {
    expect_ok(guest.agent().set_time(SystemTime::now() + AHEAD, CALL));
    let guest_time: u64 = guest.shell("date +%s").trim().parse().expect("seconds");
    let host = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let ahead = guest_time.abs_diff(host);
    assert!((AHEAD.as_secs() - 30..=AHEAD.as_secs() + 2).contains(&ahead) && guest_time > host, "it is {ahead} s away");
}
