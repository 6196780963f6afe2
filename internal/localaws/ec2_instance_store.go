package localaws

import (
	"slices"
	"strconv"
	"strings"
)

// instanceStore is the device of each instance store volume that the image and
// the request map, by its virtual name. A type without such volumes has none,
// and those on NVMe need no mapping: the guest finds them, and the metadata does not tell.
func (l *launchPlan) instanceStore() map[string]string {
	parts := strings.Split(l.kind.text("storage"), ":") // GiB in all, volumes, GiB of each, kind, NVMe
	devices, err := mergeDevices(l.image.devices, l.data.Devices)
	if err != nil || len(parts) < 5 || parts[4] != "unsupported" {
		return nil
	}
	count, err := strconv.Atoi(parts[1])
	if err != nil {
		return nil
	}
	mapped := map[string]string{}
	for n := range count {
		name := "ephemeral" + strconv.Itoa(n)
		if i := slices.IndexFunc(devices, func(d blockDevice) bool { return d.VirtualName == name }); i >= 0 {
			mapped[name] = strings.TrimPrefix(devices[i].DeviceName, "/dev/")
		}
	}
	return mapped
}
