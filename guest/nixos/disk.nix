# The root disk's label: the image has it, the guest's /etc/fstab names it. At most 16 bytes (ext4(5)).
{
  label = "k3s-vm-root";
}
