//! The guest's scripts for container images.

use std::process::Command;

use super::*;

fn images(names: &[&str]) -> Vec<(String, String)> {
    names.iter().map(|name| ((*name).to_owned(), "sha256:1".to_owned())).collect()
}

/// Runs a script as the guest would, with a `ctr` that knows one image and swallows imports.
fn run(script: GuestScript, arguments: &[String], bin: &Path) -> i32 {
    let ctr = bin.join("ctr");
    std::fs::write(&ctr, "#!/bin/sh\ncase \"$4\" in ls) echo docker.io/local/web:dev;; *) cat >/dev/null;; esac\n")
        .unwrap();
    // Not the host's disks.
    std::fs::write(bin.join("sync"), "#!/bin/sh\n").unwrap();
    for program in [ctr, bin.join("sync")] {
        std::fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script.text(), "sh"]).args(arguments).env("PATH", path).stdin(std::process::Stdio::null());
    command.status().unwrap().code().unwrap()
}

#[test]
fn an_image_counts_as_there_when_it_is_recorded_and_not_removed_since() {
    let directory = tempfile::tempdir().unwrap();
    let record = directory.path().join("a record").display().to_string();
    let arguments = |name: &str| vec![record.clone(), "sha256:1".to_owned(), name.to_owned()];
    let (web, other) = (arguments("docker.io/local/web:dev"), arguments("docker.io/local/other:dev"));
    assert_eq!(run(PRESENCE, &web, directory.path()), 1, "nothing is recorded");
    std::fs::write(&record, "sha256:1").unwrap();
    assert_eq!(run(PRESENCE, &web, directory.path()), 0);
    assert_eq!(run(PRESENCE, &other, directory.path()), 1, "it was removed in the guest");
    assert_eq!(run(PRESENCE, &[web.clone(), other].concat(), directory.path()), 1);
    std::fs::write(&record, "sha256:2").unwrap();
    assert_eq!(run(PRESENCE, &web, directory.path()), 1, "it has another content");
}

#[test]
fn a_digest_that_was_pasted_into_a_script_ran_as_root() {
    let directory = tempfile::tempdir().unwrap();
    let pwned = directory.path().join("pwned");
    let attack = format!("'; touch {0}; $(touch {0}) `touch {0}` \"", pwned.display());
    let records = directory.path().join("records");
    let record = records.join("web").display().to_string();
    let arguments = [records.display().to_string(), record.clone(), attack.clone()];
    assert_eq!(run(IMPORT, &arguments, directory.path()), 0);
    assert_eq!(std::fs::read_to_string(&record).unwrap(), attack);
    assert_eq!(run(PRESENCE, &[record, attack.clone(), attack], directory.path()), 1);
    assert!(!pwned.exists(), "what was an argument ran");
}

#[test]
fn the_arguments_are_records_digests_and_names() {
    insta::assert_snapshot!(presence_arguments(&images(&["docker.io/local/web:dev"])).join("\n"), @r"
    /var/lib/k3s-vm/imported-images/docker.io%local%web:dev
    sha256:1
    docker.io/local/web:dev
    ");
    let mut several = images(&["docker.io/local/web:dev"]);
    several.push(("docker.io/local/several-platforms:1".to_owned(), String::new()));
    insta::assert_snapshot!(import_arguments(&several).join("\n"), @r"
    /var/lib/k3s-vm/imported-images
    /var/lib/k3s-vm/imported-images/docker.io%local%web:dev
    sha256:1
    ");
}

#[test]
fn archives_of_different_images_do_not_collide() {
    assert_eq!(archive_file_name("docker.io/local/web:dev"), Path::new("docker.io-local-web-dev.tar"));
}

#[test]
fn parallel_runs_built_one_image_into_the_same_files_at_once() {
    let project = testkit::TempProject::new(model::port::Port::literal(30080));
    // A second build that finds the directory there fails.
    let build = "mkdir busy; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo content > program; rmdir busy";
    let image = format!(
        "[[images]]\nname = \"web\"\nbuild = \"{build}\"\nfiles = {{ \"/web\" = \"program\" }}\nentrypoint = [\"/web\"]\n"
    );
    project.write(".k3s-vm/config.toml", &image);
    let loaded = Project::load(project.paths(), &model::config::Overrides::default()).unwrap();
    let applied = AppliedInputs { manifests: String::new(), images: Vec::new(), sources: None };
    std::thread::scope(|scope| {
        let builds: Vec<_> = ["one", "two", "three"]
            .into_iter()
            .map(|name| {
                let paths = project.paths().instance(&model::instance::InstanceName::with_suffix(name).unwrap());
                let (loaded, applied) = (&loaded, &applied);
                scope.spawn(move || are_as_applied(loaded, &paths, applied, &model::event::Silent))
            })
            .collect();
        for build in builds {
            assert!(!build.join().unwrap().unwrap(), "it was not applied");
        }
    });
}
