//go:build linux

package machine

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// metadataAddress is where EC2 instances find their metadata.
var metadataAddress = netip.MustParseAddr("169.254.169.254")

// configureNetwork brings the loopback interface up and gives it addrs besides 127.0.0.1. There is no other interface
// and no default route: whatever wants to leave the machine learns at once that the network is unreachable.
func configureNetwork(addrs ...netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := bringUp(fd, "lo"); err != nil {
		return err
	}
	for i, addr := range addrs {
		if err := addAddress(fd, fmt.Sprintf("lo:%d", i+1), addr); err != nil {
			return fmt.Errorf("address %s: %w", addr, err)
		}
	}
	return nil
}

func bringUp(fd int, name string) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return nil
}

func addAddress(fd int, label string, addr netip.Addr) error {
	for _, set := range []struct {
		request uint
		value   []byte
	}{
		{unix.SIOCSIFADDR, addr.AsSlice()},
		{unix.SIOCSIFNETMASK, []byte{255, 255, 255, 255}},
	} {
		ifr, err := unix.NewIfreq(label)
		if err != nil {
			return err
		}
		if err := ifr.SetInet4Addr(set.value); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, set.request, ifr); err != nil {
			return err
		}
	}
	return nil
}
