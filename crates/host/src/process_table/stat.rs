//! Parses `/proc/PID/stat` (proc(5)).

/// The fields that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Field 3: R, S, D, Z, T and so on.
    pub state: char,
    /// Field 5: the process group.
    pub group: i32,
    /// Field 22: start time in clock ticks since boot.
    pub start_ticks: u64,
}

impl Stat {
    /// Parses the line; `None` if it has another form.
    ///
    /// Field 2 is the program's name in parentheses. The name may contain blanks, newlines and parentheses and need not
    /// be UTF-8; the last closing parenthesis ends it.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let name_end = line.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&line[name_end + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The first word after the name is field 3.
        let field = |number: usize| fields.get(number - 3).copied();
        let mut state = field(3)?.chars();
        match (state.next(), state.next()) {
            (Some(state), None) => {
                Some(Stat { state, group: field(5)?.parse().ok()?, start_ticks: field(22)?.parse().ok()? })
            }
            _ => None,
        }
    }

    /// Whether the process has ended and only has to be reaped.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AFTER_NAME: &str = " S 1 4242 4242 0 -1 4194560 2 0 0 0 0 0 0 0 20 0 1 0 987654 2314240 400 0";

    #[test]
    fn reads_the_fields() {
        let line = format!("4243 (qemu-system-x86){AFTER_NAME}\n");
        let expected = Stat { state: 'S', group: 4242, start_ticks: 987_654 };
        assert_eq!(Stat::parse(line.as_bytes()), Some(expected));
    }

    #[test]
    fn refuses_what_is_cut_off() {
        for line in ["", "1", "1 (init", "1 (init)", "1 (init) S 0 1", "1 (init) SS 0 1 1 0"] {
            assert_eq!(Stat::parse(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn zombies_and_dead_processes_have_ended() {
        for (state, dead) in [('Z', true), ('X', true), ('S', false), ('T', false), ('D', false), ('R', false)] {
            assert_eq!(Stat { state, group: 1, start_ticks: 1 }.is_dead(), dead, "{state}");
        }
    }

    proptest! {
        #[test]
        fn no_name_confuses_it(name in proptest::collection::vec(any::<u8>(), 0..16)) {
            let mut line = b"4243 (".to_vec();
            line.extend(name);
            line.extend(b")");
            line.extend(AFTER_NAME.as_bytes());
            prop_assert_eq!(Stat::parse(&line).map(|stat| stat.start_ticks), Some(987_654));
        }
    }
}
