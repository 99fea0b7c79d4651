//! The help of the program, all of which is on one page, `docs/command-line.md`.

use std::fmt::Write;
use std::path::Path;

use super::*;

const PAGE: &str = "docs/command-line.md";
const HEAD: &str = "# The command line

The output of `k3s-vm VERB --help` for all verbs. Two groups of options are listed only once: the global options, which
every verb accepts before or after it, and the configuration options, which verbs that create or start a cluster accept.

This page is generated. After a change of the help: `INSTA_UPDATE=always cargo test -p k3s-vm help`.
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

/// The long help of a command in sections, by heading. The text before the first heading has an empty one.
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

/// A command and the visible commands below it.
fn visible(command: &clap::Command) -> Vec<clap::Command> {
    let below = command.get_subcommands().filter(|command| !command.is_hide_set()).flat_map(visible);
    std::iter::once(command.clone()).chain(below).collect()
}

/// The page. Panics if the shared sections of a verb differ from those of the program.
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
        assert!(sections.iter().any(|(heading, _)| heading == GLOBAL), "{name} accepts the global options");
        let mut own = Vec::new();
        for (heading, text) in &sections {
            if heading == GLOBAL || heading == CONFIGURATION {
                assert_eq!(text, of(heading), "{name}: shared options are the same for all verbs");
            } else {
                own.push(text.as_str());
            }
        }
        add(&format!("`{name}`"), &own.join("\n\n"));
        if index == 0 {
            add("Global options", of(GLOBAL));
            add("Configuration options", of(CONFIGURATION));
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
