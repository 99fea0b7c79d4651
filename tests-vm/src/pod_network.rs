//! Finds a pod's network namespace in the guest. The guest's own tools can run in it, so that no test depends on what is in
//! the pod's container.

/// A script that prints the pid of the first process in a network namespace of its own with an `eth0`, or nothing.
pub const FIND: &str = "own=$(readlink /proc/1/ns/net); for p in /proc/[0-9]*; do \
    n=$(readlink $p/ns/net 2>/dev/null) || continue; [ -n \"$n\" ] && [ \"$n\" != \"$own\" ] || continue; \
    if grep -q eth0: $p/net/dev 2>/dev/null; then echo ${p#/proc/}; break; fi; done";
