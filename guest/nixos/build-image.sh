#!/bin/sh
# The builder of image.nix: paths, kernel, initial RAM disk and manifest -> the directory of a guest image.
#
# It needs coreutils, sed, xargs, mke2fs, fakeroot and qemu-img, but no root, mount, namespace or KVM: it runs inside and
# outside of Nix's sandbox.
set -eu

usage='Usage: build-image.sh --paths FILE --kernel FILE --initrd FILE --manifest FILE --label LABEL --size-mib N
                      --out DIRECTORY [--from DIRECTORY]

  --paths     A file with absolute paths, one a line; they and all below them are in the file system, as root'\''s
  --size-mib  The size of the root disk and of its file system
  --out       The directory that is made
  --from      Where the paths are on this machine, / unless said otherwise'

fail() {
    printf 'build-image.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

paths='' kernel='' initrd='' manifest='' label='' size='' out='' from=/
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 wants a value
$usage" 2
    case $1 in
        --paths) paths=$2 ;;
        --kernel) kernel=$2 ;;
        --initrd) initrd=$2 ;;
        --manifest) manifest=$2 ;;
        --label) label=$2 ;;
        --size-mib) size=$2 ;;
        --out) out=$2 ;;
        --from) from=$2 ;;
        *) fail "unknown option $1
$usage" 2 ;;
    esac
    shift 2
done
for value in "$paths" "$kernel" "$initrd" "$manifest" "$label" "$size" "$out"; do
    [ -n "$value" ] || fail "an option is missing
$usage" 2
done

work=$(mktemp -d)
# Directories of a store are read-only, so that their entries could not even be removed.
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
mkdir "$work/root"
mkdir -p "$out"

echo 'copying the closure'
paths=$(readlink -f "$paths")
(
    cd "$from"
    # A relative path, so that --parents makes the same directories below the root.
    sed 's,^/*,,' "$paths" |
        xargs -d '\n' cp --archive --no-preserve=ownership --reflink=auto --parents --target-directory="$work/root"
)
# Whatever the umask is, everybody may enter the guest's root.
chmod 755 "$work/root"

echo 'writing the file system'
truncate -s "${size}M" "$work/root.raw"
# The same tree must give the same bytes (e2fsprogs before 1.47.1 ignores SOURCE_DATE_EPOCH): the time in a store is 1.
uuid=6b33732d-766d-4e69-9f78-4f5300000000
# Under fakeroot, so that root owns the files. The filesystem has its full size, so nothing has to be grown at boot. Groups
# are marked as unwritten, so that the image stays sparse; no blocks are reserved for root, since everything runs as root;
# container images are many small files.
SOURCE_DATE_EPOCH=1 fakeroot -- mke2fs -q -F -t ext4 -L "$label" -U "$uuid" -m 0 -i 16384 -O ^resize_inode \
    -E "hash_seed=$uuid,lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0" \
    -d "$work/root" "$work/root.raw"

echo 'compressing the disk'
# Written in order, so that the bytes are the same.
qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd -m 4 "$work/root.raw" "$out/root.qcow2"

# Copies, so that the directory has no references to the store.
cp --no-preserve=mode,ownership "$kernel" "$out/kernel"
cp --no-preserve=mode,ownership "$initrd" "$out/initrd"

# Digests detect damage. The manifest is one JSON object, so its last line is the closing brace.
described() {
    printf '"%s":{"size":%s,"sha256":"%s"}' "$1" "$(stat -c %s "$out/$1")" "$(sha256sum "$out/$1" | cut -d ' ' -f 1)"
}
{
    sed '$s/[[:space:]]*}[[:space:]]*$//' "$manifest"
    printf ',"files":{%s,%s,%s}}\n' "$(described kernel)" "$(described initrd)" "$(described root.qcow2)"
} >"$out/manifest.json"
