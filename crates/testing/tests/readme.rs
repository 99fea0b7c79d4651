//! The example of the project's README is the one of the documentation, which is compiled as a test.

#[test]
fn the_example_of_the_readme_compiles() {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("\n```rust\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let documented: String = include_str!("../src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    let beginning = documented.find("use k3s_vm_testing").expect("the example of the documentation");
    assert!(documented[beginning..].starts_with(example), "{documented}\nis not\n{example}");
}
