module k3s-vm.dev/web

go 1.24
