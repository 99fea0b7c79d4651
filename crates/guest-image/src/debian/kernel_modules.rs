//! Kernel modules by name: which files a set of modules needs, in the order in which they can be loaded.
//!
//! Pure: it reads the text of `modules.dep` (modules.dep(5)).

use std::collections::BTreeMap;

use model::{Error, ErrorClass, Result};

/// The files (paths as `modules.dep` has them) that make `names` loadable one after the other with `insmod`: each
/// after everything it needs, none twice.
///
/// # Errors
/// Names the module that is not there: the kernel lacks it, or it is built in and need not be named.
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
        // modules.dep lists all that a module needs, nearest first: loading from the end is the right order.
        let dependencies = needs.get(path).map(Vec::as_slice).unwrap_or_default();
        for file in dependencies.iter().rev().chain([path]) {
            if !order.iter().any(|placed| placed == file) {
                order.push((*file).to_owned());
            }
        }
    }
    Ok(order)
}

/// The module's name as the kernel knows it: the file name up to the first dot, with underscores.
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
    fn a_module_that_is_not_there_is_named() {
        insta::assert_snapshot!(
            order(&["virtio_blk", "nvme"]).unwrap_err(),
            @"the guest's kernel has no module `nvme`: modules.dep of the kernel does not list it"
        );
    }
}
