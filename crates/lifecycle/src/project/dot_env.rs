//! Reading `.env` files. A file that is not text is refused, since variables can be neither read from it nor set in it.

use std::path::Path;

use host::command::quote;
use host::files;
use model::dotenv::{Document, NoText};
use model::{Error, ErrorClass, Result};

/// Reads and parses the file at `path`; `None` where there is none.
///
/// # Errors
/// A Config error with the command that converts the file, where it is not text; an error that names the path.
pub(crate) fn read(path: &Path) -> Result<Option<Document>> {
    Ok(read_bytes(path)?.map(|bytes| Document::parse(&bytes)))
}

/// Reads the bytes of the file at `path`; `None` where there is none.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    let Some(bytes) = files::read_optional(path)? else { return Ok(None) };
    match Document::no_text(&bytes) {
        None => Ok(Some(bytes)),
        Some(why) => Err(refusal(path, why)),
    }
}

fn refusal(path: &Path, why: NoText) -> Error {
    let error = Error::new(ErrorClass::Config, format!("{} cannot be read as text", path.display())).because(why);
    let quoted = quote(path.as_os_str());
    match why.encoding() {
        // Writes into the file itself, so that its mode, its links and its mount stay.
        Some(name) => error.next(format!(
            "iconv -f {name} -t UTF-8 {quoted} > {quoted}.utf8 && cat {quoted}.utf8 > {quoted} && rm {quoted}.utf8"
        )),
        None => error.next(format!("save {} as UTF-8", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ascii_were_put_into_a_file_of_utf16_and_now_the_error_has_the_command_that_converts_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join(".env");
        let text = "A=1\r\nNAME=grün\r\n";
        let bytes: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        std::fs::write(&file, &bytes).expect("written");
        let error = read(&file).expect_err("a refusal");
        assert_eq!(error.class(), ErrorClass::Config);
        let shown = format!("{error}\n{}", error.next_steps().join("\n"));
        insta::assert_snapshot!(shown.replace(&directory.path().display().to_string(), "WEB"), @r"
        WEB/.env cannot be read as text: it is UTF-16, as some editors and shells of Windows save it
        iconv -f UTF-16 -t UTF-8 WEB/.env > WEB/.env.utf8 && cat WEB/.env.utf8 > WEB/.env && rm WEB/.env.utf8
        ");
        // The command does what it promises.
        host::command::Command::new("sh").args(["-c", &error.next_steps()[0]]).run().expect("iconv");
        assert_eq!(std::fs::read_to_string(&file).expect("the file"), text);
        let document = read(&file).expect("text").expect("a file");
        assert_eq!(document.get("NAME").as_deref(), Some("grün"));
        assert!(!directory.path().join(".env.utf8").exists());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_read_as_they_are_and_a_nul_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join(".env");
        assert_eq!(read(&file).expect("no error"), None);
        std::fs::write(&file, b"NAME=gr\xfcn\n").expect("written");
        assert_eq!(read_bytes(&file).expect("no error").as_deref(), Some(&b"NAME=gr\xfcn\n"[..]));
        std::fs::write(&file, b"A=1\nB=\0\n").expect("written");
        let error = read(&file).expect_err("a refusal");
        assert_eq!(error.why(), ["line 2 has a NUL byte"]);
    }
}
