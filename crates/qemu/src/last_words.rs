//! The most telling one of the last lines of a QEMU that ended. Pure.

/// The line without the program's name; "it wrote nothing" where there is none.
pub(crate) fn of(lines: &[String]) -> String {
    let with = |part: &str| lines.iter().rev().find(|line| line.contains(part));
    // The cause of a failed assertion is on the line before it.
    let line = with("failed to set MSR").or(with("qemu-system")).or(lines.last());
    let line = line.map_or("it wrote nothing", String::as_str);
    line.split_once("qemu-system-x86_64: ").map_or(line, |(_, message)| message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_telling_line_is_chosen() {
        for (text, expected) in [
            ("", "it wrote nothing"),
            ("[    0.1] Booting\nqemu-system-x86_64: -cpu: no such\n[    0.2] more", "-cpu: no such"),
            ("[    0.1] Kernel panic - not syncing: No init", "[    0.1] Kernel panic - not syncing: No init"),
            (
                "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x0\n\
                 qemu-system-x86_64: ../target/i386/kvm/kvm.c:2893: kvm_buf_set_msrs: Assertion `ret' failed.",
                "error: failed to set MSR 0x10a to 0x0",
            ),
        ] {
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            assert_eq!(of(&lines), expected);
        }
    }
}
