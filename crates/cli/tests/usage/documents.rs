//! The documents say what the program does: exit codes, keys of the configuration, tests of errors.

use std::fs;
use std::path::{Path, PathBuf};

use model::ErrorClass;
use model::config::key::KEYS;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_readme_has_every_exit_code() {
    let readme = read("README.md");
    for class in ErrorClass::ALL {
        let row = format!("| {} | ", class.exit_code());
        assert!(readme.lines().any(|line| line.starts_with(&row)), "no row for {}", class.name());
    }
}

/// Every key is in the first cell of a row, and its default in the second.
#[test]
fn the_page_on_the_configuration_has_every_key_with_its_default() {
    let page = read("docs/configuration.md");
    let rows: Vec<Vec<&str>> = page.lines().map(|line| line.trim_matches('|').split(" |").collect()).collect();
    for key in KEYS.iter().filter(|key| key.name != "version") {
        let row = rows.iter().find(|row| row[0].contains(&format!("`{}`", key.name)) && row.len() > 2);
        let stated = row.unwrap_or_else(|| panic!("{} is not documented", key.name))[1].trim();
        let default = key.default.unwrap_or_default();
        // WEB_PORT is in another file.
        let is_default = stated == default || stated == format!("`[\"{default}\"]`") || key.name == "ports.web";
        assert!(is_default, "{}: the default is {default:?}, not {stated:?}", key.name);
    }
}

/// Links from the documents for users to files of the repository, and to headings in them.
#[test]
fn links_of_the_documents_lead_somewhere() {
    let mut documents = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned(), "CHANGELOG.md".to_owned()];
    for entry in fs::read_dir(repository().join("docs")).unwrap().flatten() {
        documents.push(format!("docs/{}", entry.file_name().to_str().unwrap()));
    }
    for document in documents {
        let text = read(&document);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let linked = match file {
                "" => document.clone(),
                file => Path::new(&document).with_file_name(file).to_str().unwrap().to_owned(),
            };
            let found = if heading.is_empty() {
                repository().join(&linked).exists()
            } else {
                read(&linked).lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading)
            };
            assert!(found, "{document}: {target} leads nowhere");
        }
    }
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
}

/// Every row of the table of errors ends with the name of the test that shows its message.
#[test]
fn every_error_of_the_table_has_its_test() {
    let table = read("docs/errors.md");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ") && line.contains("`")).collect();
    assert!(rows.len() > 40, "the table has {} rows", rows.len());
    let sources = sources();
    for row in rows {
        let tests = last_cell(row);
        for test in tests.split(", ").map(|name| name.trim_matches('`')) {
            assert!(sources.contains(&format!("fn {test}(")), "no test `{test}` of: {row}");
        }
    }
}

/// Every claim about who can do what ends with its tests, or says that it has none and why.
#[test]
fn every_claim_about_security_has_its_test_or_says_that_it_has_none() {
    let (document, sources) = (read("docs/security.md"), sources());
    let (_, claims) = document.split_once("\n## A manifest\n").expect("who is trusted stands before what is claimed");
    let rows = claims.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| --- "));
    let rows: Vec<&str> = rows.filter(|row| last_cell(row) != "test").collect();
    assert!(rows.len() > 25, "the tables have {} rows", rows.len());
    for row in rows {
        let tests = last_cell(row);
        if tests.strip_prefix("none: ").is_some_and(|reason| !reason.is_empty()) {
            continue;
        }
        for test in tests.split("`, `").map(|name| name.trim_matches('`')) {
            let found = match test.strip_prefix('"').and_then(|step| step.strip_suffix('"')) {
                Some(step) => sources.contains(&format!("\"{step}\"")),
                None => sources.contains(&format!("fn {test}(")),
            };
            assert!(found, "no test `{test}` of: {row}");
        }
    }
}

/// What stands in the last column of a row.
fn last_cell(row: &str) -> &str {
    row.trim_end().trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default()
}

/// All Rust sources, in one text.
fn sources() -> String {
    let mut sources = String::new();
    collect(&repository().join("crates"), &mut sources);
    collect(&repository().join("tests-vm"), &mut sources);
    sources
}

fn collect(directory: &Path, sources: &mut String) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
