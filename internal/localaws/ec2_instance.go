package localaws

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// An instance is one EC2 instance, from RunInstances until EC2 forgets it. Server.mu guards it.
type instance struct {
	ID, Account, Region string
	State               string           // "pending", "running", "stopping", "stopped", "shutting-down", "terminated"
	ProfileARN          string           // of the instance profile, or empty
	Machine             *machine.Machine // nil until its first boot, and on a server without machines
	BootID              string           // of the present boot; empty while no system runs
	LaunchTime          time.Time        // of the latest start
	ImageID             string

	place         *ec2Place
	created       time.Time
	reservationID string
	launchIndex   int
	clientToken   string
	kind          *instanceType
	zone          availabilityZone
	subnetID      string
	vpcID         string
	keyName       string
	profileID     string

	rootDevice   string
	architecture string
	bootMode     string
	imageIMDS    string
	agent        bool // the image had the SSM agent inside

	userData         []byte
	shutdownBehavior string // "stop" or "terminate"
	keepAlive        bool   // DisableApiTermination
	keepRunning      bool   // DisableApiStop
	ebsOptimized     bool
	monitoring       bool
	credits          string // "standard" or "unlimited"; empty where it has no meaning
	tenancy          string
	hostID           string // the dedicated host that was asked for
	hostGroup        string // the resource group of hosts, by ARN
	reservedID       string // the capacity reservation that was asked for
	reservedGroup    string // the resource group of reservations, by ARN
	metadata         metadataOptions
	capacity         string // capacity reservation preference
	spotRequestID    string
	options          launchOptions
	association      profileAssociation
	instanceStore    map[string]string // mapped devices by virtual name: "ephemeral0" to "sdb"
	hardware
	kmsState string // why a volume's key can't be used

	reason       string // "User initiated (2026-11-23 13:28:01 GMT)"
	stateCode    string
	stateMessage string

	era    int // counts changes of state: what waits for an older one is void
	jobs   []func(ctx context.Context)
	busy   bool
	tokens imdsTokens
}

type metadataOptions struct {
	Tokens   string `xml:"httpTokens"`
	HopLimit int64  `xml:"httpPutResponseHopLimit"`
	Endpoint string `xml:"httpEndpoint"`
	IPv6     string `xml:"httpProtocolIpv6"`
	Tags     string `xml:"instanceMetadataTags"`
}

// stateCodes are the numbers that go with the states.
var stateCodes = map[string]int{
	"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80,
}

type instanceState struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

func stateOf(name string) instanceState { return instanceState{stateCodes[name], name} }

// volumes are the instance's volumes in order of their devices, the root first.
func (i *instance) volumes() []*volume {
	var all []*volume
	for _, v := range i.place.volumes {
		if v.instanceID == i.ID {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b *volume) int {
		if a.device == i.rootDevice || b.device == i.rootDevice {
			return strings.Compare(boolWord(b.device == i.rootDevice), boolWord(a.device == i.rootDevice))
		}
		return strings.Compare(a.device, b.device)
	})
	return all
}

func (i *instance) volumeAt(device string) *volume {
	for _, v := range i.place.volumes {
		if v.instanceID == i.ID && v.device == device {
			return v
		}
	}
	return nil
}

func (i *instance) rootVolume() *volume { return i.volumeAt(i.rootDevice) }

// primary is the interface with device index 0, nil once the instance is terminated.
func (i *instance) primary() *networkInterface {
	if all := i.place.interfacesOf(i.ID); len(all) > 0 {
		return all[0]
	}
	return nil
}

// reachesService says whether the agent on the instance can reach the Systems
// Manager endpoints: its groups let out TCP to port 443, and there is a route to
// the internet or an endpoint in the VPC for each service. Server.mu is held.
func (i *instance) reachesService() bool {
	n := i.primary()
	if n == nil {
		return false
	}
	everywhere, inside := false, false
	for _, id := range n.groupIDs {
		if g := i.place.groups[id]; g != nil {
			all, some := g.letsOut(443, i.place.vpcs[n.vpcID])
			everywhere, inside = everywhere || all, inside || some
		}
	}
	if everywhere && i.place.reachesInternet(n) {
		return true
	}
	return inside && i.place.endpointServes(n, "ssm") && i.place.endpointServes(n, "ssmmessages")
}

// findInstance finds an instance that EC2 already knows and still knows.
func (c *call) findInstance(id string) (*instance, error) {
	if !validID("i", id) {
		return nil, refuse("InvalidInstanceID.Malformed", "Invalid id: \"%s\"", id)
	}
	i := c.place().instances[id]
	if i == nil || c.tooNew(i.created, i.Account, c.server.delays.EC2Consistency) {
		return nil, refuse("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
	}
	return i, nil
}

// findInstances finds all of the ids, or refuses with all that it does not know.
func (c *call) findInstances(ids []string) ([]*instance, error) {
	if len(ids) == 0 {
		return nil, missing("InstanceId")
	}
	var found []*instance
	var unknown []string
	for _, id := range ids {
		i, err := c.findInstance(id)
		switch {
		case err == nil:
			found = append(found, i)
		case refusedWith(err, "InvalidInstanceID.NotFound"):
			unknown = append(unknown, id)
		default:
			return nil, err
		}
	}
	switch len(unknown) {
	case 0:
		return found, nil
	case 1:
		return nil, refuse("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", unknown[0])
	default:
		return nil, refuse("InvalidInstanceID.NotFound", "The instance IDs '%s' do not exist", strings.Join(unknown, ", "))
	}
}
