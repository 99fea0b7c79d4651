package server

import (
	"context"
	"fmt"
	"net"
	"time"
)

const (
	addressInterval = 50 * time.Millisecond
	addressPatience = 60 * time.Second
)

// nodeIP waits for the guest's address. systemd's network-online.target would wait for more than that, and later.
func nodeIP(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, addressPatience)
	defer cancel()
	for {
		interfaces, err := net.Interfaces()
		if err != nil {
			return "", err
		}
		for _, i := range interfaces {
			addresses, _ := i.Addrs()
			if ip := guestAddress(i, addresses); ip != "" {
				return ip, nil
			}
		}
		select {
		case <-time.After(addressInterval):
		case <-ctx.Done():
			return "", fmt.Errorf("no network interface got an IPv4 address within %v", addressPatience)
		}
	}
}

// guestAddress returns the IPv4 address of an interface that leads out of the guest. Those of the pod network have no hardware of
// their own to be found by, but have known names.
func guestAddress(i net.Interface, addresses []net.Addr) string {
	if i.Flags&net.FlagLoopback != 0 || i.Flags&net.FlagUp == 0 || i.Name == podBridge {
		return ""
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	return ""
}

// podBridge is the bridge of the CNI configuration.
const podBridge = "cni0"
