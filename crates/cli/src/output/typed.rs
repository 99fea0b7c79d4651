//! Commands as the user can type them: with the program as they call it, and the project and instance that they chose.

use host::command::quote;
use model::instance::InstanceName;

use crate::args::Globals;

/// The beginning of the commands that messages propose.
#[derive(Debug, Clone)]
pub(crate) struct CommandPrefix {
    program: String,
    project: String,
    name: String,
}

impl CommandPrefix {
    /// `program` is the command by which the user calls this program, `name` the instance of the verb.
    pub(crate) fn new(program: String, globals: &Globals, name: Option<&InstanceName>) -> Self {
        let project = globals.project.as_ref().map(|path| format!(" --project {}", quote(path.as_os_str())));
        let name = name.and_then(InstanceName::suffix).map(|name| format!(" --name {name}"));
        CommandPrefix { program, project: project.unwrap_or_default(), name: name.unwrap_or_default() }
    }

    /// `verb` with its arguments, for the chosen project and instance. A verb with `--name` keeps its own instance.
    pub(crate) fn command(&self, verb: &str) -> String {
        let name = if verb.contains(" --name ") { "" } else { &self.name };
        let space = if verb.is_empty() { "" } else { " " };
        format!("{}{}{name}{space}{verb}", self.program, self.project)
    }

    /// A next step, which the engine writes as `k3s-vm VERB`, as the user can type it. Other commands stay unchanged.
    pub(crate) fn step(&self, step: &str) -> String {
        match step.strip_prefix("k3s-vm") {
            Some(rest) if rest.is_empty() || rest.starts_with(' ') => self.command(rest.trim_start()),
            _ => step.to_owned(),
        }
    }
}

#[cfg(test)]
impl CommandPrefix {
    /// The prefix of a project's default instance, in its directory.
    pub(crate) fn plain(program: &str) -> Self {
        CommandPrefix { program: program.to_owned(), project: String::new(), name: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(project: Option<&str>, name: Option<&str>) -> CommandPrefix {
        let globals = Globals { project: project.map(Into::into), ..Globals::default() };
        let name = name.map(|name| InstanceName::with_suffix(name).unwrap());
        CommandPrefix::new("bin/k3s-vm".to_owned(), &globals, name.as_ref())
    }

    #[test]
    fn only_this_programs_name_is_replaced() {
        let prefix = CommandPrefix::plain("./bin/k3s-vm");
        assert_eq!(prefix.step("k3s-vm start"), "./bin/k3s-vm start");
        assert_eq!(prefix.step("k3s-vm"), "./bin/k3s-vm");
        assert_eq!(prefix.step("k3s-vm-web.service"), "k3s-vm-web.service");
        assert_eq!(prefix.step("apt-get install qemu-system-x86"), "apt-get install qemu-system-x86");
    }

    #[test]
    fn a_reset_that_was_proposed_for_one_instance_destroyed_another() {
        let reset = "k3s-vm reset    # a new disk";
        assert_eq!(chosen(None, Some("two")).step(reset), "bin/k3s-vm --name two reset    # a new disk");
        let elsewhere = chosen(Some("../my shop"), Some("two"));
        assert_eq!(elsewhere.step(reset), "bin/k3s-vm --project '../my shop' --name two reset    # a new disk");
        assert_eq!(elsewhere.step("k3s-vm stop --name three"), "bin/k3s-vm --project '../my shop' stop --name three");
    }
}
