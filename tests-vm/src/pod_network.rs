//! A pod of the guest as the network sees it: a process in a network of its own. The guest's own tools run there, so that it
//! matters neither what is in the pod's container nor which images there are.

/// Prints the pid of the first process that has a network of its own with a card, or nothing.
pub const FIND: &str = "own=$(readlink /proc/1/ns/net); for p in /proc/[0-9]*; do \
    n=$(readlink $p/ns/net 2>/dev/null) || continue; [ -n \"$n\" ] && [ \"$n\" != \"$own\" ] || continue; \
    if grep -q eth0: $p/net/dev 2>/dev/null; then echo ${p#/proc/}; break; fi; done";
