package localaws

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// imdsTokens are an instance's session tokens for its metadata, and when they end.
type imdsTokens map[string]time.Time

const (
	imdsTokenHeader = "X-aws-ec2-metadata-token"             //nolint:gosec // the name of a header
	imdsTTLHeader   = "X-aws-ec2-metadata-token-ttl-seconds" //nolint:gosec // the name of a header
	imdsMaxTTL      = 21600                                  // seconds
)

// serveMetadata is the instance metadata service as the instance sees it.
func (i *instance) serveMetadata(w http.ResponseWriter, r *http.Request) {
	s := i.place.server
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Server", "EC2ws")
	w.Header().Set("Connection", "close")
	switch {
	case i.metadata.Endpoint == "disabled":
		http.Error(w, "403 - Forbidden", http.StatusForbidden)
	case r.URL.Path == "/latest/api/token":
		i.giveToken(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "405 - Method Not Allowed", http.StatusMethodNotAllowed)
	case !i.mayRead(r):
		http.Error(w, "401 - Unauthorized", http.StatusUnauthorized)
	default:
		i.answerMetadata(w, r)
	}
}

func (i *instance) giveToken(w http.ResponseWriter, r *http.Request) {
	ttl, err := strconv.Atoi(r.Header.Get(imdsTTLHeader))
	switch {
	case r.Method != http.MethodPut:
		http.Error(w, "405 - Method Not Allowed", http.StatusMethodNotAllowed)
		return
	case r.Header.Get("X-Forwarded-For") != "":
		http.Error(w, "403 - Forbidden", http.StatusForbidden)
		return
	case err != nil || ttl < 1 || ttl > imdsMaxTTL:
		http.Error(w, "400 - Bad Request", http.StatusBadRequest)
		return
	}
	var b [40]byte
	_, _ = rand.Read(b[:])
	token := base64.URLEncoding.EncodeToString(b[:])
	now := i.place.server.clock.Now()
	maps.DeleteFunc(i.tokens, func(_ string, ends time.Time) bool { return now.After(ends) })
	if i.tokens == nil {
		i.tokens = imdsTokens{}
	}
	i.tokens[token] = now.Add(time.Duration(ttl) * time.Second)
	w.Header().Set(imdsTTLHeader, strconv.Itoa(ttl))
	_, _ = w.Write([]byte(token))
}

// mayRead: with a token it must be a good one; without, only where tokens are optional.
func (i *instance) mayRead(r *http.Request) bool {
	token := r.Header.Get(imdsTokenHeader)
	if token == "" {
		return i.metadata.Tokens != "required"
	}
	ends, known := i.tokens[token]
	return known && i.place.server.clock.Now().Before(ends)
}

func (i *instance) answerMetadata(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(r.URL.Path, "/")
	version, rest, _ := strings.Cut(path, "/")
	if path == "" {
		_, _ = w.Write([]byte("1.0\n2007-01-19\n2021-07-15\n2024-04-11\nlatest"))
		return
	}
	if version != "latest" && !isDigits(strings.ReplaceAll(version, "-", "")) {
		http.Error(w, "404 - Not Found", http.StatusNotFound)
		return
	}
	if rest == "user-data" && len(i.userData) > 0 {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(i.userData)
		return
	}
	body, found := i.metadataTree().find(rest)
	if !found {
		http.Error(w, "404 - Not Found", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte(body))
}

// metadataLeaves are the values by their paths; what stands between is listed from them.
type metadataLeaves map[string]string

// find answers a path: its value, or the names below it, folders with a slash.
func (m metadataLeaves) find(path string) (string, bool) {
	path = strings.Trim(path, "/")
	if v, ok := m[path]; ok {
		return v, true
	}
	names := map[string]bool{}
	for leaf := range m {
		below, ok := strings.CutPrefix(leaf, path+"/")
		if path == "" {
			below, ok = leaf, true
		}
		if !ok {
			continue
		}
		name, _, folder := strings.Cut(below, "/")
		if folder {
			name += "/"
		}
		names[name] = true
	}
	if len(names) == 0 {
		return "", false
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), "\n"), true
}

func (i *instance) metadataTree() metadataLeaves {
	p := i.place
	m := metadataLeaves{}
	set := func(path, value string) {
		if value != "" {
			m["meta-data/"+path] = value
		}
	}
	set("ami-id", i.ImageID)
	set("ami-launch-index", number(i.launchIndex))
	set("ami-manifest-path", "(unknown)")
	set("block-device-mapping/ami", i.rootDevice)
	set("block-device-mapping/root", i.rootDevice)
	for name, device := range i.instanceStore {
		set("block-device-mapping/"+name, device)
	}
	set("hostname", "")
	set("instance-action", "none")
	set("instance-id", i.ID)
	set("instance-life-cycle", "on-demand")
	if i.spotRequestID != "" {
		set("instance-life-cycle", "spot")
	}
	set("instance-type", i.kind.name)
	set("placement/availability-zone", i.zone.name)
	set("placement/availability-zone-id", i.zone.id)
	set("placement/region", i.Region)
	set("profile", "default-hvm")
	set("reservation-id", i.reservationID)
	set("services/domain", "amazonaws.com")
	set("services/partition", "aws")
	set("system", "nitro")
	if k := p.keyPairs[i.keyName]; k != nil {
		set("public-keys/0/openssh-key", k.publicKey+" "+k.name)
	}
	if i.metadata.Tags == "enabled" {
		for k, v := range p.tags[i.ID] {
			set("tags/instance/"+k, v)
		}
	}
	i.networkMetadata(set)
	i.roleMetadata(set)
	m["dynamic/instance-identity/document"] = i.identityDocument()
	return m
}

func (i *instance) networkMetadata(set func(path, value string)) {
	p, n := i.place, i.primary()
	if n == nil {
		return
	}
	names := nonEmpty(p.groupNames(n.groupIDs).Items, func(g groupName) string { return g.Name })
	set("local-ipv4", n.privateIP.String())
	set("local-hostname", p.privateName(n.privateIP))
	set("hostname", p.privateName(n.privateIP))
	set("mac", n.mac)
	set("public-ipv4", n.publicIP)
	set("public-hostname", p.publicName(n))
	set("security-groups", strings.Join(names, "\n"))
	mac := "network/interfaces/macs/" + n.mac + "/"
	set(mac+"device-number", number(n.deviceIndex))
	set(mac+"interface-id", n.id)
	set(mac+"local-hostname", p.privateName(n.privateIP))
	set(mac+"local-ipv4s", n.privateIP.String())
	set(mac+"mac", n.mac)
	set(mac+"owner-id", i.Account)
	set(mac+"public-ipv4s", n.publicIP)
	set(mac+"public-hostname", p.publicName(n))
	set(mac+"security-group-ids", strings.Join(n.groupIDs, "\n"))
	set(mac+"security-groups", strings.Join(names, "\n"))
	set(mac+"subnet-id", n.subnetID)
	set(mac+"vpc-id", n.vpcID)
	if sub, v := p.subnets[n.subnetID], p.vpcs[n.vpcID]; sub != nil && v != nil {
		set(mac+"subnet-ipv4-cidr-block", sub.cidr.String())
		set(mac+"vpc-ipv4-cidr-block", v.cidr.String())
		set(mac+"vpc-ipv4-cidr-blocks", v.cidr.String())
	}
}

// imdsCredentialsLife is how long the credentials of an instance's role hold.
const imdsCredentialsLife = 6 * time.Hour

// roleMetadata offers the role's credentials, fresh ones at each reading.
func (i *instance) roleMetadata(set func(path, value string)) {
	s := i.place.server
	profile := s.instanceProfile(i.Account, i.ProfileARN)
	if i.ProfileARN == "" || profile == nil {
		return
	}
	now := s.clock.Now()
	c := &call{server: s, service: "sts", region: i.Region, now: now}
	keys := c.issue(principal{
		account: i.Account, role: profile.role.name, userID: profile.role.id + ":" + i.ID,
		arn: "arn:aws:sts::" + i.Account + ":assumed-role/" + profile.role.name + "/" + i.ID,
	}, imdsCredentialsLife)
	updated := now.Format(time.RFC3339)
	set("iam/info", asJSON(map[string]string{
		"Code": "Success", "LastUpdated": updated, "InstanceProfileArn": profile.arn, "InstanceProfileId": profile.id,
	}))
	set("iam/security-credentials/"+profile.role.name, asJSON(map[string]string{
		"Code": "Success", "LastUpdated": updated, "Type": "AWS-HMAC", "AccessKeyId": keys.AccessKeyID,
		"SecretAccessKey": keys.SecretAccessKey, "Token": keys.SessionToken, "Expiration": keys.Expiration.Format(time.RFC3339),
	}))
}

func (i *instance) identityDocument() string {
	address := ""
	if n := i.primary(); n != nil {
		address = n.privateIP.String()
	}
	return asJSON(map[string]any{
		"accountId": i.Account, "architecture": i.architecture, "availabilityZone": i.zone.name, "billingProducts": nil,
		"devpayProductCodes": nil, "marketplaceProductCodes": nil, "imageId": i.ImageID, "instanceId": i.ID,
		"instanceType": i.kind.name, "kernelId": nil, "pendingTime": i.LaunchTime.Format(time.RFC3339), "privateIp": address,
		"ramdiskId": nil, "region": i.Region, "version": "2017-09-30",
	})
}

func asJSON(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return ""
	}
	return string(text)
}
