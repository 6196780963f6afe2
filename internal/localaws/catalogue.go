package localaws

import (
	"strings"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// amazonAccount owns Amazon Linux's images; its alias is "amazon".
const amazonAccount = "137112412989"

// A publicParameter is one of AWS's own SSM parameters.
type publicParameter struct {
	value        string
	version      int64
	lastModified time.Time
}

// An offer is one of Amazon's images: what tells it from its sisters.
type offer struct {
	release      machine.Release
	version      string // "2.0.20260427.1", "2023.11.20260427.1"
	published    time.Time
	deprecated   time.Time
	kernel       string // "4.14", "5.10", "6.1", ...
	architecture string
	storage      string // AL2: "gp2" or "ebs", which is magnetic; AL2023 has gp3 only
	minimal      bool   // no SSM agent inside
}

// name is the image's name, after the rules of its release.
func (o offer) name() string {
	minimal := ""
	if o.minimal {
		minimal = "-minimal"
	}
	if o.release == machine.AL2023 {
		return "al2023-ami" + minimal + "-" + o.version + "-kernel-" + o.kernel + "-" + o.architecture
	}
	return "amzn2-ami" + minimal + o.kernelWord() + "-hvm-" + o.version + "-" + o.architecture + "-" + o.storage
}

// kernelWord is how AL2 names its newer kernel; the older one goes without.
func (o offer) kernelWord() string {
	if o.kernel == "4.14" {
		return ""
	}
	return "-kernel-" + o.kernel
}

func (o offer) description() string {
	minimal := ""
	if o.minimal {
		minimal = "Minimal "
	}
	if o.release == machine.AL2023 {
		return "Amazon Linux 2023 AMI " + o.version + " " + o.architecture + " " + minimal + "HVM kernel-" + o.kernel
	}
	words := []string{"Amazon Linux 2"}
	if o.architecture == "arm64" {
		words = append(words, "LTS Arm64")
	}
	if o.kernel != "4.14" {
		words = append(words, "Kernel", o.kernel)
	}
	return strings.Join(words, " ") + " AMI " + o.version + " " + o.architecture + " " + minimal + "HVM " + o.storage
}

// base is the release whose machine the image starts as.
func (o offer) base() machine.Release {
	switch {
	case o.minimal && o.release == machine.AL2023:
		return machine.AL2023Minimal
	case o.minimal:
		return machine.AL2Minimal
	default:
		return o.release
	}
}

// parameters are the names, below /aws/service/ami-amazon-linux-latest/, that
// point at the newest image of this kind.
func (o offer) parameters() []string {
	minimal := ""
	if o.minimal {
		minimal = "-minimal"
	}
	if o.release == machine.AL2023 {
		names := []string{"al2023-ami" + minimal + "-kernel-" + o.kernel + "-" + o.architecture}
		if o.kernel == "6.1" {
			names = append(names, "al2023-ami"+minimal+"-kernel-default-"+o.architecture)
		}
		return names
	}
	tail := "-hvm-" + o.architecture + "-" + o.storage
	names := []string{"amzn2-ami" + minimal + "-kernel-" + o.kernel + tail}
	if o.kernel == "4.14" {
		return append(names, "amzn2-ami"+minimal+tail)
	}
	return append(names, "amzn2-ami"+minimal+"-kernel-default"+tail)
}

// al2Ends is when Amazon Linux 2 left support, and its images with it.
var al2Ends = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)

// al2Versions are releases of Amazon Linux 2, the last one first. There are no more to come.
var al2Versions = []string{"2.0.20260622.0", "2.0.20260427.1", "2.0.20260120.1", "2.0.20250707.0"}

// al2Offers has the combinations that Amazon publishes.
func al2Offers() []offer {
	var all []offer
	for _, version := range al2Versions {
		published := dateIn(version).Add(26 * time.Hour)
		for _, kernel := range []string{"4.14", "5.10"} {
			for _, minimal := range []bool{false, true} {
				for _, kind := range al2Kinds(kernel, minimal) {
					all = append(all, offer{
						release: machine.AL2, version: version, published: published, deprecated: al2Ends,
						kernel: kernel, architecture: kind[0], storage: kind[1], minimal: minimal,
					})
				}
			}
		}
	}
	return all
}

// al2Kinds has architecture and storage of the images of one kernel: the full
// ones come on both kinds of storage for x86_64; of the minimal ones those of
// the older kernel are on ebs and those of the newer on gp2.
func al2Kinds(kernel string, minimal bool) [][2]string {
	switch {
	case !minimal:
		return [][2]string{{"x86_64", "gp2"}, {"x86_64", "ebs"}, {"arm64", "gp2"}}
	case kernel == "4.14":
		return [][2]string{{"x86_64", "ebs"}, {"arm64", "ebs"}}
	default:
		return [][2]string{{"x86_64", "gp2"}, {"arm64", "gp2"}}
	}
}

// al2023Ages are how old, in weeks, the offered releases of Amazon Linux 2023
// are. Amazon publishes a new one every week or two, each image deprecated
// 90 days on, so that a fixed list would be all deprecated before long.
var al2023Ages = []int{1, 3, 5, 14, 27}

func al2023Offers(now time.Time) []offer {
	var all []offer
	for _, weeks := range al2023Ages {
		day := now.AddDate(0, 0, -7*weeks-int(now.Weekday()+6)%7).Truncate(24 * time.Hour)
		quarter := (day.Year()-2026)*4 + (int(day.Month())-4)/3
		version := "2023." + number(11+quarter) + "." + day.Format("20060102") + "." + number(weeks%2)
		published := day.Add(30 * time.Hour)
		for _, kernel := range []string{"6.1", "6.12", "6.18"} {
			for _, architecture := range []string{"x86_64", "arm64"} {
				for _, minimal := range []bool{false, true} {
					all = append(all, offer{
						release: machine.AL2023, version: version, published: published, deprecated: published.AddDate(0, 0, 90),
						kernel: kernel, architecture: architecture, storage: "gp3", minimal: minimal,
					})
				}
			}
		}
	}
	return all
}

// dateIn reads the day out of a version of Amazon Linux 2.
func dateIn(version string) time.Time {
	day, err := time.Parse("20060102", strings.Split(version, ".")[2])
	if err != nil {
		panic("localaws: version " + version)
	}
	return day
}

// image makes the offer's image and its snapshot in a region.
func (o offer) image(region string) (*image, *snapshot) {
	name := o.name()
	snap := &snapshot{
		id: fixedID("snap", region, name), owner: amazonAccount, region: region, volumeID: "vol-ffffffff", sizeGiB: 8,
		started: o.published.Add(-20 * time.Minute), state: "completed", public: true,
		disk: disk{release: o.base(), architecture: o.architecture},
	}
	mapping := blockDevice{
		DeviceName: "/dev/xvda",
		EBS:        &blockEBS{SnapshotID: &snap.id, VolumeSize: new(int64(8)), VolumeType: new("gp2"), DeleteOnTermination: new(true), Encrypted: new(false)},
	}
	switch {
	case o.release == machine.AL2023:
		mapping.EBS.VolumeType, mapping.EBS.IOPS, mapping.EBS.Throughput = new("gp3"), new(int64(3000)), new(int64(125))
	case o.storage == "ebs":
		mapping.EBS.VolumeType = new("standard")
	}
	if o.release == machine.AL2 && o.minimal {
		mapping.EBS.VolumeSize, snap.sizeGiB = new(int64(2)), 2
	}
	img := &image{
		id: fixedID("ami", region, name), owner: amazonAccount, region: region, name: name, description: o.description(),
		architecture: o.architecture, state: "available", created: o.published, deprecated: o.deprecated,
		rootDevice: "/dev/xvda", devices: []blockDevice{mapping}, public: true, agent: !o.minimal,
	}
	if o.release == machine.AL2023 {
		img.imdsSupport = "v2.0"
		img.bootMode = "uefi-preferred"
	}
	if o.architecture == "arm64" {
		img.bootMode = "uefi"
	}
	return img, snap
}

func offersAt(now time.Time) []offer { return append(al2Offers(), al2023Offers(now)...) }

// stock fills a region with Amazon's images.
func (r *ec2Region) stock(region string, now time.Time) {
	for _, o := range offersAt(now) {
		img, snap := o.image(region)
		r.images[img.id], r.snapshots[snap.id] = img, snap
		r.catalogue = append(r.catalogue, o)
	}
}

// publicParameters are the region's public SSM parameters by name: each points
// at the newest image of its kind in the catalogue, deprecated or not.
func (s *Server) publicParameters(region string) map[string]publicParameter {
	all := map[string]publicParameter{}
	for _, o := range s.ec2Region(region).catalogue {
		for _, name := range o.parameters() {
			name = "/aws/service/ami-amazon-linux-latest/" + name
			known := all[name]
			if known.lastModified.Before(o.published) {
				known.value, known.lastModified = fixedID("ami", region, o.name()), o.published.Add(3*time.Hour)
			}
			known.version++
			all[name] = known
		}
	}
	return all
}
