//! The modules of a crate, which of them uses which, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::source::{ModulePath, Source};

/// The files of one crate, each with the files that it uses and the names that it uses of them.
///
/// The root (`lib.rs` or `main.rs`) is not among them: it declares the modules and re-exports their items.
#[derive(Debug, Default)]
pub(super) struct ModuleTree(BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>);

impl ModuleTree {
    /// Reads files by their paths below the crate's `src`.
    ///
    /// # Errors
    /// A file is not Rust.
    pub(super) fn read(files: &[(PathBuf, String)]) -> Result<Self> {
        let mut sources = BTreeMap::new();
        let mut test_modules = BTreeSet::new();
        for (file, text) in files {
            let module = module_path(file);
            let source = Source::read(text, &module);
            let source = source.map_err(|error| anyhow!("{error}")).with_context(|| file.display().to_string())?;
            test_modules.extend(source.test_modules.iter().cloned());
            sources.insert(module, (file, source.paths));
        }
        sources.retain(|module, _| {
            let is_in_tests = (1..=module.len()).any(|length| test_modules.contains(&module[..length]));
            // `#[path]` gives a module of tests another file name.
            let is_tests = module.last().is_some_and(|name| name.ends_with("_tests"));
            !module.is_empty() && !is_in_tests && !is_tests
        });
        let mut tree = ModuleTree::default();
        for (file, paths) in sources.values() {
            let uses = tree.0.entry(file.to_path_buf()).or_default();
            for path in paths {
                let owner = (1..=path.len()).rev().find_map(|length| Some((length, sources.get(&path[..length])?.0)));
                if let Some((length, owner)) = owner.filter(|(_, owner)| owner != file) {
                    let name = path.get(length).or(path.last()).cloned().unwrap_or_default();
                    uses.entry(owner.clone()).or_default().insert(name);
                }
            }
        }
        Ok(tree)
    }

    /// The sets of files of which each one uses, by way of others of the set, all the others.
    pub(super) fn circles(&self) -> Vec<BTreeSet<&Path>> {
        let reachable: BTreeMap<&Path, BTreeSet<&Path>> =
            self.0.keys().map(|file| (file.as_path(), self.reachable(file))).collect();
        let circle_of = |file: &&'_ Path| {
            let reached = &reachable[file];
            reached.iter().copied().filter(|other| reachable[other].contains(file)).collect::<BTreeSet<&Path>>()
        };
        let circles: BTreeSet<_> = reachable.keys().map(circle_of).filter(|circle| !circle.is_empty()).collect();
        circles.into_iter().collect()
    }

    /// What a file uses, and what that uses, and so on.
    fn reachable(&self, file: &Path) -> BTreeSet<&Path> {
        let (mut reached, mut open) = (BTreeSet::new(), vec![file]);
        while let Some(file) = open.pop() {
            let used = self.0.get(file).into_iter().flat_map(BTreeMap::keys).map(PathBuf::as_path);
            open.extend(used.filter(|used| reached.insert(*used)).collect::<Vec<_>>());
        }
        reached
    }

    /// The circle as lines: which file uses what of which other one.
    pub(super) fn describe(&self, circle: &BTreeSet<&Path>) -> String {
        let mut text = format!("{} files use each other in a circle", circle.len());
        for file in circle {
            for (used, names) in self.0[*file].iter().filter(|(used, _)| circle.contains(used.as_path())) {
                let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                let _ = write!(text, "\n  {} -> {}: {names}", file.display(), used.display());
            }
        }
        text
    }
}

/// The module that a file is, by its path below `src`.
fn module_path(file: &Path) -> ModulePath {
    let stem = file.with_extension("");
    let mut segments: ModulePath = stem.iter().map(|segment| segment.to_string_lossy().into_owned()).collect();
    let is_root = segments.len() == 1 && ["lib", "main"].contains(&segments[0].as_str());
    segments.pop_if(|last| is_root || last == "mod");
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|(file, text)| (file.into(), (*text).to_owned())).collect();
        let tree = ModuleTree::read(&files).unwrap();
        tree.circles().iter().map(|circle| tree.describe(circle)).collect()
    }

    #[test]
    fn a_tree_of_layers_has_no_circle() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::run;"),
            ("a.rs", "mod c; mod d; pub use c::Shared; use crate::b::g;"),
            ("a/c.rs", "pub struct Shared; use crate::b;"),
            ("a/d.rs", "use super::c::Shared; fn f() { std::fs::read(\"super::x\"); }"),
            ("b/mod.rs", "pub fn g() { self::h() } fn h() {}"),
        ];
        assert_eq!(circles(&files), [""; 0]);
    }

    #[test]
    fn a_parent_and_its_child_are_a_circle() {
        let files = [
            ("a.rs", "mod c; pub struct Shared; pub fn run() { c::f(); c::g() }"),
            ("a/c.rs", "use super::Shared; pub fn f() -> Shared {} pub fn g() {}"),
        ];
        insta::assert_snapshot!(circles(&files).join("\n"), @r"
        2 files use each other in a circle
          a/c.rs -> a.rs: Shared
          a.rs -> a/c.rs: f, g
        ");
    }

    #[test]
    fn a_circle_over_three_files_is_found_and_two_circles_are_separate() {
        let files = [
            ("main.rs", "mod a; mod b; mod c; mod d; mod e;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "fn f() { crate::c::g() }"),
            ("c.rs", "use super::{a, d::D}; pub fn g() { a::h() }"),
            ("d.rs", "use crate::e::*;"),
            ("e.rs", "use crate::d::D;"),
        ];
        insta::assert_snapshot!(circles(&files).join("\n"), @r"
        3 files use each other in a circle
          a.rs -> b.rs: B
          b.rs -> c.rs: g
          c.rs -> a.rs: a, h
        2 files use each other in a circle
          d.rs -> e.rs: e
          e.rs -> d.rs: D
        ");
    }

    #[test]
    fn files_of_tests_may_use_what_they_test() {
        let files = [
            ("a.rs", "#[cfg(test)] mod checks; #[cfg(test)] use checks::X; pub fn f() {}"),
            ("a/checks.rs", "use super::f; mod more; fn g() { more::h() }"),
            ("a/checks/more.rs", "use super::g;"),
        ];
        assert_eq!(circles(&files), [""; 0]);
    }

    #[test]
    fn a_file_that_is_not_rust_is_named() {
        let error = ModuleTree::read(&[("a.rs".into(), "fn f( {".into())]).unwrap_err();
        assert!(format!("{error:#}").starts_with("a.rs: "), "{error:#}");
    }
}
