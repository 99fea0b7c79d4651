#!/bin/sh
# Run by mmdebstrap when all packages are configured; the argument is the tree.
set -eu
tree=$1

# Plain modules: decompression costs more in an emulated CPU than reading does. The compressed ones are Debian's;
# depmod notes the new names.
chroot "$tree" find /usr/lib/modules -name '*.ko.xz' -exec busybox unxz {} +
for kernel in "$tree"/usr/lib/modules/*; do
	chroot "$tree" depmod "${kernel##*/}"
done

# A key that every guest in the world shared would prove nothing; the host gives each instance its own.
rm -f "$tree"/etc/ssh/ssh_host_*

# Made at build time because the guest would do it at its first boot.
chroot "$tree" systemd-sysusers
chroot "$tree" ldconfig

rm -rf "$tree"/boot/initrd.img* "$tree"/var/cache/* "$tree"/var/log/* "$tree"/var/lib/apt/lists/* "$tree"/usr/lib/udev/hwdb.bin
