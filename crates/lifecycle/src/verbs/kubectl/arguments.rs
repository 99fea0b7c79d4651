//! What kubectl's arguments need on the host: files that they name, ports and editors. It checks whether the files exist.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Files of the host in arguments for the guest's kubectl, which does not see them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HostFiles {
    /// There are none.
    None,
    /// There is one, which can be its standard input.
    AsInput {
        /// The arguments with `-` in its place.
        arguments: Vec<OsString>,
        /// The file.
        file: PathBuf,
    },
    /// The guest's kubectl cannot do it, for this reason.
    OutOfReach(String),
}

/// Verbs that need the host, and what they do there.
const VERBS_OF_THE_HOST: [(&str, &str); 4] =
    [("port-forward", "listen"), ("proxy", "listen"), ("cp", "read and write files"), ("edit", "open an editor")];

/// Global options of kubectl that take the next word, which is therefore not the verb (`kubectl options`).
const GLOBAL_WITH_VALUE: [&str; 12] = [
    "-n",
    "--namespace",
    "--context",
    "--cluster",
    "--user",
    "-s",
    "--server",
    "--token",
    "--as",
    "--as-group",
    "--request-timeout",
    "-v",
];

/// Options that name a file or directory, and cannot read standard input instead.
const OTHER_FILES: [(&str, &str); 4] =
    [("-k", "--kustomize"), ("", "--from-file"), ("", "--from-env-file"), ("", "--patch-file")];

/// The value of an option.
struct Value {
    /// The index of the word that holds it.
    word: usize,
    /// What precedes it in that word, for values that are replaced (those of `-f`).
    before: &'static [u8],
    /// The value.
    path: PathBuf,
}

/// Why only a kubectl on the host can do this, if so.
pub(super) fn needs_host(arguments: &[OsString]) -> Option<String> {
    match host_files(arguments) {
        HostFiles::OutOfReach(reason) => Some(reason),
        HostFiles::None | HostFiles::AsInput { .. } => None,
    }
}

/// Finds files of the host. What does not exist here is left to kubectl: it may be a file in the VM, or a URL.
pub(super) fn host_files(arguments: &[OsString]) -> HostFiles {
    // After `--` comes a command for a container.
    let own = arguments.iter().position(|word| word == "--").map_or(arguments, |end| &arguments[..end]);
    let verb = verb(own).unwrap_or_default();
    if let Some((verb, what)) = VERBS_OF_THE_HOST.iter().find(|(name, _)| verb == *name) {
        return HostFiles::OutOfReach(format!("`kubectl {verb}` has to {what} on this host"));
    }
    for (short, long) in OTHER_FILES {
        // `--from-file=key=path` names the key, too.
        let path = |value: &Value| match value.path.as_os_str().as_bytes().iter().position(|byte| *byte == b'=') {
            Some(equals) => PathBuf::from(OsStr::from_bytes(&value.path.as_os_str().as_bytes()[equals + 1..])),
            None => value.path.clone(),
        };
        if let Some(path) = values(own, short, long).iter().map(path).find(|path| path.exists()) {
            return HostFiles::OutOfReach(format!("{} is on this host", path.display()));
        }
    }
    // `logs -f` means "follow".
    let manifests = if verb == "logs" { Vec::new() } else { values(own, "-f", "--filename") };
    let manifests: Vec<Value> = manifests.into_iter().filter(|value| value.path.exists()).collect();
    match manifests.as_slice() {
        [] => HostFiles::None,
        [value] if value.path.is_file() => {
            let mut arguments = arguments.to_vec();
            arguments[value.word] = OsString::from_vec([value.before, b"-"].concat());
            HostFiles::AsInput { arguments, file: value.path.clone() }
        }
        [directory] => HostFiles::OutOfReach(format!("{} is a directory on this host", directory.path.display())),
        several => {
            let names: Vec<String> = several.iter().map(|value| value.path.display().to_string()).collect();
            HostFiles::OutOfReach(format!("{} are on this host", names.join(" and ")))
        }
    }
}

/// The first word that is neither an option nor the value of one.
fn verb(words: &[OsString]) -> Option<&OsStr> {
    let mut words = words.iter();
    loop {
        let word = words.next()?;
        if GLOBAL_WITH_VALUE.iter().any(|option| word == option) {
            words.next();
        } else if !word.as_bytes().starts_with(b"-") {
            return Some(word);
        }
    }
}

/// The values of an option, in all forms that kubectl takes: `-f X`, `-fX`, `-f=X`, `--filename X`, `--filename=X`.
fn values(words: &[OsString], short: &'static str, long: &'static str) -> Vec<Value> {
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let bytes = word.as_bytes();
        if (word == short && !short.is_empty()) || word == long {
            let next = words.get(index + 1);
            found.extend(next.map(|next| Value { word: index + 1, before: b"", path: Path::new(next).to_path_buf() }));
        } else if let Some(value) = bytes.strip_prefix(long.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) {
            found.push(Value { word: index, before: b"--filename=", path: path(value) });
        } else if !short.is_empty()
            && !bytes.starts_with(b"--")
            && let Some(value) = bytes.strip_prefix(short.as_bytes())
        {
            found.push(Value { word: index, before: b"-f=", path: path(value.strip_prefix(b"=").unwrap_or(value)) });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with `web.yaml`, `db.yaml` and the directory `manifests`; `DIR` in a word stands for it.
    fn read(line: &str) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let dir = directory.path().display().to_string();
        for file in ["web.yaml", "db.yaml"] {
            std::fs::write(directory.path().join(file), "").expect("written");
        }
        std::fs::create_dir(directory.path().join("manifests")).expect("made");
        let words: Vec<OsString> = line.split(' ').map(|word| word.replace("DIR", &dir).into()).collect();
        let text = match host_files(&words) {
            HostFiles::None => "as it is".to_owned(),
            HostFiles::AsInput { arguments, file } => {
                let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
                format!("{} < {}", words.join(" "), file.display())
            }
            HostFiles::OutOfReach(reason) => reason,
        };
        text.replace(&dir, "DIR")
    }

    #[test]
    fn one_file_becomes_the_input_and_more_cannot_reach_the_vm() {
        for (line, expected) in [
            ("get pods", "as it is"),
            ("apply -f DIR/web.yaml", "apply -f - < DIR/web.yaml"),
            ("-n shop apply -fDIR/web.yaml --dry-run", "-n shop apply -f=- --dry-run < DIR/web.yaml"),
            ("apply -f=DIR/web.yaml", "apply -f=- < DIR/web.yaml"),
            ("apply --filename DIR/web.yaml", "apply --filename - < DIR/web.yaml"),
            ("apply --filename=DIR/web.yaml", "apply --filename=- < DIR/web.yaml"),
            ("apply -f -", "as it is"),
            ("apply -f https://example.org/web.yaml", "as it is"),
            ("apply -f DIR/missing.yaml", "as it is"),
            ("apply -f DIR/manifests", "DIR/manifests is a directory on this host"),
            ("apply -f DIR/web.yaml -f DIR/db.yaml", "DIR/web.yaml and DIR/db.yaml are on this host"),
            ("apply -k DIR/manifests", "DIR/manifests is on this host"),
            ("create configmap x --from-file=DIR/web.yaml", "DIR/web.yaml is on this host"),
            ("create configmap x --from-file=key=DIR/web.yaml", "DIR/web.yaml is on this host"),
            ("logs -f DIR/web.yaml", "as it is"),
            ("-n shop logs -f DIR/manifests", "as it is"),
            ("exec deploy/web -- tail -f DIR/web.yaml", "as it is"),
            ("port-forward svc/web 8080:80", "`kubectl port-forward` has to listen on this host"),
            ("-n shop --context=x proxy", "`kubectl proxy` has to listen on this host"),
            ("get deploy proxy", "as it is"),
            ("cp web-0:/a DIR/a", "`kubectl cp` has to read and write files on this host"),
            ("edit deploy web", "`kubectl edit` has to open an editor on this host"),
            ("-n", "as it is"),
            ("apply -f", "as it is"),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }
}
