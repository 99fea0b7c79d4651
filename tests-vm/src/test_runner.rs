//! Runs the tests of the integrations for other languages in a project.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::project::{ExampleProject, repository};
use crate::steps::Steps;

/// A test runner of another language, and its test files.
#[derive(Debug)]
pub struct Runner {
    name: &'static str,
    words: &'static [&'static str],
    files: Vec<PathBuf>,
}

impl Runner {
    /// pytest with the plugin's tests on a real cluster and the README's example.
    ///
    /// # Panics
    /// When the README has no example.
    pub fn pytest(project: &ExampleProject) -> Self {
        project.write("test_readme.py", &readme_example("python"));
        let words = &["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_k3s_vm.plugin"];
        let real = repository().join("integrations/pytest/tests/test_real_cluster.py");
        Runner { name: "pytest", words, files: vec![real, project.path("test_readme.py")] }
    }

    /// Node's test runner with the module's tests on a real cluster and the README's example.
    ///
    /// # Panics
    /// When the README has no example, or the module cannot be linked.
    pub fn node(project: &ExampleProject) -> Self {
        project.write("readme.test.mjs", &readme_example("js"));
        std::fs::create_dir(project.path("node_modules")).expect("a directory");
        let module = repository().join("integrations/node");
        std::os::unix::fs::symlink(&module, project.path("node_modules/k3s-vm-testing")).expect("a link");
        let real = module.join("test/real-cluster.test.js");
        // One file at a time: each makes forks, which would share few processors.
        let words = &["node", "--test", "--test-concurrency=1"];
        Runner { name: "node", words, files: vec![real, project.path("readme.test.mjs")] }
    }

    /// Runs it as a step, which is skipped where the runner is not installed.
    pub fn run(&self, steps: &mut Steps, project: &ExampleProject) {
        let step = format!("the_tests_of_{}_pass_and_leave_nothing", self.name);
        let version = self.command(project).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            return steps.skip(&step, &format!("{} is not installed", self.name));
        }
        steps.run(&step, || {
            let status = self.command(project).args(&self.files).status().expect("it runs");
            assert!(status.success(), "{status}");
            assert_eq!(project.instances(), Vec::<PathBuf>::new());
        });
    }

    fn command(&self, project: &ExampleProject) -> Command {
        let mut command = Command::new(self.words[0]);
        command
            .args(&self.words[1..])
            .current_dir(project.path(""))
            .env("K3S_VM", repository().join("bin/k3s-vm"))
            .env("PYTHONPATH", repository().join("integrations/pytest"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// The README's example in that language.
fn readme_example(language: &str) -> String {
    let text = std::fs::read_to_string(repository().join("README.md")).expect("the README");
    let (_, rest) = text.split_once(&format!("\n```{language}\n")).expect("an example");
    rest.split_once("```").expect("its end").0.to_owned()
}
