package localaws

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// An ec2Place is what one account has in one region. Resources are found by
// id; tags are kept beside them, by the resource's id, because a tag belongs
// to the account that set it and not to the resource.
type ec2Place struct {
	server          *Server
	account, region string

	instances       map[string]*instance
	vpcs            map[string]*vpc
	subnets         map[string]*subnet
	groups          map[string]*securityGroup
	routeTables     map[string]*routeTable
	gateways        map[string]*internetGateway
	natGateways     map[string]*natGateway
	endpoints       map[string]*vpcEndpoint
	addresses       map[string]*elasticIP
	interfaces      map[string]*networkInterface
	volumes         map[string]*volume
	keyPairs        map[string]*keyPair
	launchTemplates map[string]*launchTemplate
	fleets          map[string]*fleet
	spotRequests    map[string]*spotRequest
	hosts           map[string]*dedicatedHost
	placementGroups map[string]*placementGroup // by name
	reservations    map[string]*capacityReservation

	tags   map[string]map[string]string // resource id -> key -> value
	tokens map[string]remembered        // action and client token -> what the first call answered

	encryptByDefault bool
	defaultKMSKey    string // empty: alias/aws/ebs
	imageBlock       string // "" or "block-new-sharing"
}

// An ec2Region is what all accounts share in a region: images and snapshots,
// because either can be shared with, or belong to, another account.
type ec2Region struct {
	catalogue []offer
	images    map[string]*image
	snapshots map[string]*snapshot

	deregistered map[string]string // the owners of the images that there were, by id
}

func (s *Server) ec2Place(account, region string) *ec2Place {
	if s.ec2.places == nil {
		s.ec2.places = map[ec2PlaceKey]*ec2Place{}
	}
	key := ec2PlaceKey{account, region}
	p := s.ec2.places[key]
	if p == nil {
		p = newEC2Place(s, account, region)
		s.ec2.places[key] = p
		p.makeDefaultVPC()
	}
	return p
}

func newEC2Place(s *Server, account, region string) *ec2Place {
	return &ec2Place{
		server: s, account: account, region: region,
		instances:       map[string]*instance{},
		vpcs:            map[string]*vpc{},
		subnets:         map[string]*subnet{},
		groups:          map[string]*securityGroup{},
		routeTables:     map[string]*routeTable{},
		gateways:        map[string]*internetGateway{},
		natGateways:     map[string]*natGateway{},
		endpoints:       map[string]*vpcEndpoint{},
		addresses:       map[string]*elasticIP{},
		interfaces:      map[string]*networkInterface{},
		volumes:         map[string]*volume{},
		keyPairs:        map[string]*keyPair{},
		launchTemplates: map[string]*launchTemplate{},
		fleets:          map[string]*fleet{},
		spotRequests:    map[string]*spotRequest{},
		hosts:           map[string]*dedicatedHost{},
		placementGroups: map[string]*placementGroup{},
		reservations:    map[string]*capacityReservation{},
		tags:            map[string]map[string]string{},
		tokens:          map[string]remembered{},
	}
}

// place is where the call's resources are.
func (c *call) place() *ec2Place { return c.server.ec2Place(c.caller.account, c.region) }

// ec2Region is the region's images and snapshots, Amazon's catalogue included.
func (s *Server) ec2Region(region string) *ec2Region {
	if s.ec2.regions == nil {
		s.ec2.regions = map[string]*ec2Region{}
	}
	r := s.ec2.regions[region]
	if r == nil {
		r = &ec2Region{images: map[string]*image{}, snapshots: map[string]*snapshot{}, deregistered: map[string]string{}}
		s.ec2.regions[region] = r
		r.stock(region, s.clock.Now())
	}
	return r
}

func (c *call) images() *ec2Region { return c.server.ec2Region(c.region) }

// newID makes an id of today's form: a prefix and 17 hexadecimal digits, the first of them 0.
func newID(prefix string) string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return prefix + "-0" + hex.EncodeToString(b[:])
}

// fixedID makes an id that is the same in every run, from what it names.
func fixedID(prefix string, of ...string) string {
	sum := sha256.Sum256([]byte(prefix + "\x00" + strings.Join(of, "\x00")))
	return prefix + "-0" + hex.EncodeToString(sum[:8])
}

// validID says whether id has the form of an id with the prefix: 8 or 17
// lower-case hexadecimal digits after it.
func validID(prefix, id string) bool {
	digits, ok := strings.CutPrefix(id, prefix+"-")
	if !ok || len(digits) != 8 && len(digits) != 17 {
		return false
	}
	return strings.Trim(digits, "0123456789abcdef") == ""
}

// ec2Time is a time as EC2 writes it.
func ec2Time(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
