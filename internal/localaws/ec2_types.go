package localaws

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The table of instance types has what AWS publishes of each, a line a type,
// tab-separated under the names of its first line.
//
//go:embed ec2_types.tsv
var instanceTypesTable string

// An instanceType is one line of the table.
type instanceType struct {
	name   string
	fields map[string]string
}

func (t *instanceType) text(field string) string   { return t.fields[field] }
func (t *instanceType) yes(field string) bool      { return t.fields[field] == "1" }
func (t *instanceType) list(field string) []string { return splitList(t.fields[field]) }
func (t *instanceType) number(field string) int64  { return int64(t.decimal(field)) }
func (t *instanceType) family() string             { f, _, _ := strings.Cut(t.name, "."); return f }
func (t *instanceType) nitro() bool                { return t.fields["hypervisor"] != "xen" }
func (t *instanceType) architectures() []string    { return t.list("architectures") }
func (t *instanceType) runs(architecture string) bool {
	return slices.Contains(t.architectures(), architecture)
}

func (t *instanceType) decimal(field string) float64 {
	f, err := strconv.ParseFloat(t.fields[field], 64)
	if err != nil {
		return 0
	}
	return f
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// instanceTypes reads the table, once.
var instanceTypes = sync.OnceValue(func() map[string]*instanceType {
	lines := strings.Split(strings.TrimSpace(instanceTypesTable), "\n")
	names := strings.Split(lines[0], "\t")
	all := map[string]*instanceType{}
	for _, line := range lines[1:] {
		t := &instanceType{fields: map[string]string{}}
		for i, value := range strings.Split(line, "\t") {
			t.fields[names[i]] = value
		}
		t.name = t.fields["type"]
		all[t.name] = t
	}
	return all
})

// offeredIn says whether a zone has the type: an old zone has no machines of the newer kind, a new one none of the older.
func (t *instanceType) offeredIn(zone availabilityZone) bool {
	switch zone.name {
	case "us-east-1e":
		return !t.nitro()
	case "us-west-2d":
		return t.nitro()
	}
	return true
}

// The units that the table leaves to arithmetic.
func throughput(megabits float64) float64 { return megabits / 8 }

type instanceTypeDescription struct {
	Name             string        `xml:"instanceType"`
	Current          bool          `xml:"currentGeneration"`
	FreeTier         bool          `xml:"freeTierEligible"`
	Usage            set[string]   `xml:"supportedUsageClasses"`
	RootDevices      set[string]   `xml:"supportedRootDeviceTypes"`
	Virtualization   set[string]   `xml:"supportedVirtualizationTypes"`
	BareMetal        bool          `xml:"bareMetal"`
	Hypervisor       string        `xml:"hypervisor,omitempty"`
	Processor        processorInfo `xml:"processorInfo"`
	VCPU             vcpuInfo      `xml:"vCpuInfo"`
	Memory           memoryInfo    `xml:"memoryInfo"`
	StorageSupported bool          `xml:"instanceStorageSupported"`
	Storage          *storageInfo  `xml:"instanceStorageInfo"`
	EBS              ebsInfo       `xml:"ebsInfo"`
	Network          networkInfo   `xml:"networkInfo"`
	GPU              *gpuInfo      `xml:"gpuInfo"`
	Placement        set[string]   `xml:"placementGroupInfo>supportedStrategies"`
	Hibernation      bool          `xml:"hibernationSupported"`
	Burstable        bool          `xml:"burstablePerformanceSupported"`
	DedicatedHosts   bool          `xml:"dedicatedHostsSupported"`
	AutoRecovery     bool          `xml:"autoRecoverySupported"`
	BootModes        set[string]   `xml:"supportedBootModes"`
	Enclaves         string        `xml:"nitroEnclavesSupport,omitempty"`
}

type processorInfo struct {
	Architectures set[string] `xml:"supportedArchitectures"`
	Clock         float64     `xml:"sustainedClockSpeedInGhz,omitempty"`
	Manufacturer  string      `xml:"manufacturer"`
}

type vcpuInfo struct {
	VCPUs   int64 `xml:"defaultVCpus"`
	Cores   int64 `xml:"defaultCores,omitempty"`
	Threads int64 `xml:"defaultThreadsPerCore,omitempty"`
}

type memoryInfo struct {
	MiB int64 `xml:"sizeInMiB"`
}

type storageInfo struct {
	TotalGB    int64            `xml:"totalSizeInGB"`
	Disks      set[storageDisk] `xml:"disks"`
	NVMe       string           `xml:"nvmeSupport"`
	Encryption string           `xml:"encryptionSupport,omitempty"`
}

type storageDisk struct {
	GB    int64  `xml:"sizeInGB"`
	Count int64  `xml:"count"`
	Type  string `xml:"type"`
}

type ebsInfo struct {
	Optimized   string            `xml:"ebsOptimizedSupport"`
	Encryption  string            `xml:"encryptionSupport"`
	Info        *ebsOptimizedInfo `xml:"ebsOptimizedInfo"`
	NVMe        string            `xml:"nvmeSupport"`
	Attachments int64             `xml:"maximumEbsAttachments,omitempty"`
}

type ebsOptimizedInfo struct {
	Baseline     int64   `xml:"baselineBandwidthInMbps"`
	BaselineMBps float64 `xml:"baselineThroughputInMBps"`
	BaselineIOPS int64   `xml:"baselineIops"`
	Maximum      int64   `xml:"maximumBandwidthInMbps"`
	MaximumMBps  float64 `xml:"maximumThroughputInMBps"`
	MaximumIOPS  int64   `xml:"maximumIops"`
}

type networkInfo struct {
	Performance string           `xml:"networkPerformance"`
	Interfaces  int64            `xml:"maximumNetworkInterfaces"`
	MaxCards    int64            `xml:"maximumNetworkCards"`
	DefaultCard int64            `xml:"defaultNetworkCardIndex"`
	Cards       set[networkCard] `xml:"networkCards"`
	IPv4        int64            `xml:"ipv4AddressesPerInterface"`
	IPv6        int64            `xml:"ipv6AddressesPerInterface"`
	IPv6OK      bool             `xml:"ipv6Supported"`
	ENA         string           `xml:"enaSupport"`
	EFA         bool             `xml:"efaSupported"`
	Encryption  bool             `xml:"encryptionInTransitSupported"`
}

type networkCard struct {
	Index       int64  `xml:"networkCardIndex"`
	Performance string `xml:"networkPerformance"`
	Interfaces  int64  `xml:"maximumNetworkInterfaces"`
}

type gpuInfo struct {
	GPUs  set[gpuDevice] `xml:"gpus"`
	Total int64          `xml:"totalGpuMemoryInMiB"`
}

type gpuDevice struct {
	Name         string     `xml:"name"`
	Manufacturer string     `xml:"manufacturer"`
	Count        int64      `xml:"count"`
	Memory       memoryInfo `xml:"memoryInfo"`
}

func describeInstanceType(t *instanceType) instanceTypeDescription {
	return instanceTypeDescription{
		Name: t.name, Current: t.yes("current"), FreeTier: t.yes("freetier"), Usage: setOf(t.list("usage")),
		RootDevices: setOf(t.list("root")), Virtualization: setOf(t.list("virtualization")),
		BareMetal: t.yes("baremetal"), Hypervisor: t.text("hypervisor"),
		Processor: processorInfo{setOf(t.architectures()), t.decimal("clock"), t.text("manufacturer")},
		VCPU:      vcpuInfo{t.number("vcpus"), t.number("cores"), t.number("threads")},
		Memory:    memoryInfo{t.number("memory")}, StorageSupported: t.text("storage") != "", Storage: t.storage(),
		EBS: t.ebs(), Network: t.network(), GPU: t.gpu(), Placement: setOf([]string{"partition", "spread"}),
		Hibernation: t.yes("hibernation"), Burstable: t.yes("burstable"), DedicatedHosts: !t.yes("burstable"),
		AutoRecovery: !t.yes("baremetal"), BootModes: setOf(t.list("boot")), Enclaves: t.text("enclaves"),
	}
}

func (t *instanceType) storage() *storageInfo {
	parts := strings.Split(t.text("storage"), ":")
	if len(parts) != 5 {
		return nil
	}
	disk := instanceType{fields: map[string]string{"total": parts[0], "count": parts[1], "size": parts[2]}}
	return &storageInfo{
		TotalGB: disk.number("total"), NVMe: parts[4],
		Disks: setOf([]storageDisk{{disk.number("size"), disk.number("count"), parts[3]}}),
	}
}

func (t *instanceType) ebs() ebsInfo {
	e := ebsInfo{Optimized: t.text("ebsoptimized"), Encryption: t.text("ebsencryption"), NVMe: t.text("ebsnvme"), Attachments: t.number("ebsattachments")}
	if t.text("bw") != "" {
		e.Info = &ebsOptimizedInfo{
			t.number("bw"), throughput(t.decimal("bw")), t.number("iops"),
			t.number("maxbw"), throughput(t.decimal("maxbw")), t.number("maxiops"),
		}
	}
	return e
}

func (t *instanceType) network() networkInfo {
	n := networkInfo{
		Performance: t.text("network"), Interfaces: t.number("interfaces"), MaxCards: 1,
		IPv4: t.number("ipv4"), IPv6: t.number("ipv6"), IPv6OK: t.yes("ipv6ok"), ENA: t.text("ena"),
	}
	n.Cards = setOf([]networkCard{{0, n.Performance, n.Interfaces}})
	return n
}

func (t *instanceType) gpu() *gpuInfo {
	parts := strings.Split(t.text("gpu"), ":")
	if len(parts) != 4 {
		return nil
	}
	g := instanceType{fields: map[string]string{"count": parts[0], "memory": parts[3]}}
	count, memory := g.number("count"), g.number("memory")
	return &gpuInfo{setOf([]gpuDevice{{parts[2], parts[1], count, memoryInfo{memory}}}), count * memory}
}

// spotPrice is dollars an hour in the zone of that number, in millionths as AWS writes it.
func (t *instanceType) spotPrice(zone int) string {
	millionths := (t.number("vcpus")*40 + t.number("memory")/1024*45) * int64(100+2*zone)
	return strconv.FormatFloat(float64(millionths)/1e6, 'f', 6, 64)
}
