//! The files of kernel modules and of their dependencies, in the order in which they can be loaded. Pure.
//!
//! It reads the text of `modules.dep` (modules.dep(5)).

use std::collections::BTreeMap;

use model::{Error, ErrorClass, Result};

/// The files of the modules `names` and of all that they depend on, in the order for `insmod`: each after its
/// dependencies, none twice. Paths are those of `modules.dep`.
///
/// # Errors
/// A Failed error that names a module that `modules.dep` does not list; it may be built into the kernel.
pub(crate) fn load_order(modules_dep: &str, names: &[String]) -> Result<Vec<String>> {
    let mut needs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut paths: BTreeMap<String, &str> = BTreeMap::new();
    for line in modules_dep.lines() {
        let Some((path, dependencies)) = line.split_once(':') else { continue };
        needs.insert(path, dependencies.split_whitespace().collect());
        paths.insert(module_name(path), path);
    }
    let mut order = Vec::new();
    for name in names {
        let path = paths.get(&name.replace('-', "_")).ok_or_else(|| {
            Error::new(ErrorClass::Failed, format!("the guest's kernel has no module `{name}`"))
                .because("modules.dep of the kernel does not list it")
        })?;
        // modules.dep lists direct dependencies first, so they are loaded from the end.
        let dependencies = needs.get(path).map(Vec::as_slice).unwrap_or_default();
        for file in dependencies.iter().rev().chain([path]) {
            if !order.iter().any(|placed| placed == file) {
                order.push((*file).to_owned());
            }
        }
    }
    Ok(order)
}

/// The module's name in the kernel: the file name up to the first dot, with underscores.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/net/core/failover.ko:
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko
kernel/drivers/block/virtio_blk.ko:
kernel/arch/x86/crypto/aes-x.ko.xz: kernel/crypto/a.ko
";

    fn order(names: &[&str]) -> Result<Vec<String>> {
        load_order(DEP, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn each_module_comes_after_what_it_needs_and_none_twice() {
        assert_eq!(
            order(&["virtio_blk", "virtio_net", "net_failover"]).unwrap(),
            [
                "kernel/drivers/block/virtio_blk.ko",
                "kernel/net/core/failover.ko",
                "kernel/drivers/net/net_failover.ko",
                "kernel/drivers/net/virtio_net.ko"
            ]
        );
    }

    #[test]
    fn dashes_and_underscores_are_the_same_and_suffixes_do_not_count() {
        assert_eq!(order(&["aes_x"]).unwrap(), ["kernel/crypto/a.ko", "kernel/arch/x86/crypto/aes-x.ko.xz"]);
        assert_eq!(order(&["virtio-blk"]).unwrap(), ["kernel/drivers/block/virtio_blk.ko"]);
    }

    #[test]
    fn a_missing_module_is_named() {
        insta::assert_snapshot!(
            order(&["virtio_blk", "nvme"]).unwrap_err(),
            @"the guest's kernel has no module `nvme`: modules.dep of the kernel does not list it"
        );
    }
}
