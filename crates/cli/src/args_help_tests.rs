//! How the help of the program reads: one page, `docs/command-line.md`, has all of it, and what verbs share once.

use std::fmt::Write;
use std::path::Path;

use super::*;

const PAGE: &str = "docs/command-line.md";
const HEAD: &str = "# The command line

What `k3s-vm VERB --help` says, for all verbs. The global options, which every verb takes before or after it, and the
flags of the configuration, which the verbs that make or start a cluster take, stand here once.

This page is made from the program. After a change of its help: `INSTA_UPDATE=always cargo test -p k3s-vm help`.
";
const GLOBAL: &str = "Global options:";
const CONFIGURATION: &str = "Configuration (any key: --set KEY=VALUE):";

#[test]
fn first_lines_of_help_are_imperative_without_a_full_stop() {
    for verb in CommandLine::command().get_subcommands() {
        let about = verb.get_about().unwrap_or_else(|| panic!("{} has no help", verb.get_name())).to_string();
        assert!(!about.ends_with('.'), "{about}");
        assert!(!about.split(' ').next().unwrap().ends_with('s'), "{about}: third person");
    }
}

/// The long help of a command in sections with their headings, the text before the first heading among them; line ends
/// trimmed.
fn sections(command: &mut clap::Command) -> Vec<(String, String)> {
    let mut sections = vec![(String::new(), String::new())];
    for line in command.render_long_help().to_string().lines().map(str::trim_end) {
        if line.ends_with(':') && !line.starts_with(' ') {
            sections.push((line.to_owned(), String::new()));
        }
        let section = sections.last_mut().unwrap();
        let _ = writeln!(section.1, "{line}");
    }
    sections.into_iter().map(|(heading, text)| (heading, text.trim().to_owned())).collect()
}

/// A command that users see, and those below it, by their full names.
fn visible(command: &clap::Command) -> Vec<clap::Command> {
    let below = command.get_subcommands().filter(|command| !command.is_hide_set()).flat_map(visible);
    std::iter::once(command.clone()).chain(below).collect()
}

/// The page; a verb whose shared sections are not those of the program is an error.
fn page() -> String {
    let mut program = CommandLine::command().term_width(100);
    program.build();
    let shared = sections(&mut program);
    let of =
        |heading: &str| &shared.iter().find(|(known, _)| known == heading).unwrap_or_else(|| panic!("{heading}")).1;
    let mut page = HEAD.to_owned();
    let mut add = |heading: &str, text: &str| write!(page, "\n## {heading}\n\n```text\n{text}\n```\n").unwrap();
    let commands = visible(&program);
    for (index, mut command) in commands.into_iter().enumerate() {
        let name = command.get_bin_name().unwrap_or("k3s-vm").to_owned();
        let sections = sections(&mut command);
        assert!(sections.iter().any(|(heading, _)| heading == GLOBAL), "{name} takes the global options");
        let mut own = Vec::new();
        for (heading, text) in &sections {
            if heading == GLOBAL || heading == CONFIGURATION {
                assert_eq!(text, of(heading), "{name}: what verbs share is the same for all");
            } else {
                own.push(text.as_str());
            }
        }
        add(&format!("`{name}`"), &own.join("\n\n"));
        if index == 0 {
            add("Global options", of(GLOBAL));
            add("Flags of the configuration", of(CONFIGURATION));
        }
    }
    page
}

#[test]
fn the_page_of_the_command_line_is_the_help_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE);
    let page = page();
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, &page).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = published.lines().zip(page.lines()).find(|(one, other)| one != other);
    assert!(
        published == page,
        "{PAGE} is not the help of the program (first difference: {differs:?}): \
         run INSTA_UPDATE=always cargo test -p k3s-vm help"
    );
}

#[test]
fn every_exit_code_is_documented() {
    for class in model::ErrorClass::ALL {
        let code = class.exit_code().to_string();
        assert!(EXIT_CODES.split_whitespace().any(|word| word == code), "{class:?} exits with {code}");
    }
}
