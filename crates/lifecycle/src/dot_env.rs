//! Reading `.env` files: what is no text is refused, since nothing could be said of it, and nothing be put into it.

use std::path::Path;

use host::command::quote;
use host::files;
use model::dotenv::{Document, NoText};
use model::{Fault, FaultClass, Result};

/// The document, or nothing where there is none.
///
/// # Errors
/// A Config fault with the command that converts it, where it is no text; a fault that names the path.
pub(crate) fn read(path: &Path) -> Result<Option<Document>> {
    Ok(read_bytes(path)?.map(|bytes| Document::parse(&bytes)))
}

/// Its bytes.
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

fn refusal(path: &Path, why: NoText) -> Fault {
    let fault = Fault::new(FaultClass::Config, format!("{} cannot be read as text", path.display())).because(why);
    let quoted = quote(path.as_os_str());
    match why.encoding() {
        // Through the file itself, so that its mode, its links and its mount stay.
        Some(name) => fault.next(format!(
            "iconv -f {name} -t UTF-8 {quoted} > {quoted}.utf8 && cat {quoted}.utf8 > {quoted} && rm {quoted}.utf8"
        )),
        None => fault.next(format!("save {} as UTF-8", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ascii_were_put_into_a_file_of_utf16_and_now_the_command_that_converts_it_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(".env");
        let text = "A=1\r\nNAME=grün\r\n";
        let bytes: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        std::fs::write(&file, &bytes).expect("written");
        let fault = read(&file).expect_err("a refusal");
        assert_eq!(fault.class(), FaultClass::Config);
        let shown = format!("{fault}\n{}", fault.next_steps().join("\n"));
        insta::assert_snapshot!(shown.replace(&folder.path().display().to_string(), "WEB"), @r"
        WEB/.env cannot be read as text: it is UTF-16, as some editors and shells of Windows save it
        iconv -f UTF-16 -t UTF-8 WEB/.env > WEB/.env.utf8 && cat WEB/.env.utf8 > WEB/.env && rm WEB/.env.utf8
        ");
        // The command does what it promises.
        host::command::Command::new("sh").args(["-c", &fault.next_steps()[0]]).run().expect("iconv");
        assert_eq!(std::fs::read_to_string(&file).expect("the file"), text);
        let document = read(&file).expect("text").expect("a file");
        assert_eq!(document.get("NAME").as_deref(), Some("grün"));
        assert!(!folder.path().join(".env.utf8").exists());
    }

    #[test]
    fn bytes_that_are_no_utf8_are_kept_and_a_nul_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(".env");
        assert_eq!(read(&file).expect("no fault"), None);
        std::fs::write(&file, b"NAME=gr\xfcn\n").expect("written");
        assert_eq!(read_bytes(&file).expect("no fault").as_deref(), Some(&b"NAME=gr\xfcn\n"[..]));
        std::fs::write(&file, b"A=1\nB=\0\n").expect("written");
        let fault = read(&file).expect_err("a refusal");
        assert_eq!(fault.why(), ["line 2 has a NUL, which no text has"]);
    }
}
