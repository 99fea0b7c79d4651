#!/bin/sh
# Run by mmdebstrap when all packages are configured; the argument is the tree.
set -eu
tree=$1

# Debian's modules are compressed. Decompressing costs more on an emulated CPU than reading; depmod records the new names.
chroot "$tree" find /usr/lib/modules -name '*.ko.xz' -exec busybox unxz {} +
for kernel in "$tree"/usr/lib/modules/*; do
	chroot "$tree" depmod "${kernel##*/}"
done

# Not a key that all guests share: the host gives each instance its own.
rm -f "$tree"/etc/ssh/ssh_host_*

# At build time, so that the guest need not do it at its first boot.
chroot "$tree" systemd-sysusers
chroot "$tree" ldconfig

rm -rf "$tree"/boot/initrd.img* "$tree"/var/cache/* "$tree"/var/log/* "$tree"/var/lib/apt/lists/* "$tree"/usr/lib/udev/hwdb.bin
