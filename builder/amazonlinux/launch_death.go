package amazonlinux

import (
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/communicator"
)

// A deathError is an instance that ended while the build needed it.
type deathError struct {
	id, state    string
	code, reason string // EC2's state reason, "" where it gives none
}

// Error tells what EC2 tells, and what to do about it.
func (e *deathError) Error() string {
	if e.reason == "" {
		return fmt.Sprintf("instance %s is %s, and EC2 gives no reason; did something in the guest shut it down, or somebody terminate it?", e.id, e.state)
	}
	text := fmt.Sprintf("instance %s is %s: %s", e.id, e.state, e.reason)
	for _, r := range deathRemedies {
		if strings.HasPrefix(e.code, r.code) {
			return text + "; " + r.remedy
		}
	}
	return text
}

// Unwrap says that waiting for the instance is pointless.
func (e *deathError) Unwrap() error { return communicator.ErrPermanent }

// outOfCapacity tells that EC2 took the launch and then had no room for it.
func (e *deathError) outOfCapacity() bool { return e.code == noCapacityLater }

const noCapacityLater = "Server.InsufficientInstanceCapacity"

// deathRemedies are what to do about EC2's state reasons, by how their codes begin.
var deathRemedies = []struct{ code, remedy string }{
	{"Client.InvalidKMSKey", "a volume's KMS key can't be used: enable it, or cancel its deletion, or name another by kms_key_id or root_volume.kms_key_id"},
	{"Client.InternalError", "mostly that is an encrypted volume whose KMS key the caller may not use: its key policy must allow the caller " +
		"kms:CreateGrant, kms:Decrypt, kms:DescribeKey and kms:GenerateDataKeyWithoutPlaintext, and the key must be enabled"},
	{"Client.VolumeLimitExceeded", "the account's quota of EBS storage is used up: delete volumes, raise the quota for the volume type, or take a smaller root_volume.size"},
	{"Client.InvalidSnapshot", "a snapshot of the source image is gone or not shared with this account: choose another source image"},
	{"Client.UserInitiatedShutdown", "somebody, or a clean-up job of the account, terminated it: look for TerminateInstances in CloudTrail"},
	{"Client.InstanceInitiatedShutdown", "something in the guest shut it down: a provisioner, user_data, or the timer of instance_ttl; " +
		"a provisioner must not power the instance off, unless that is the last thing it does, " +
		`in a build with shutdown_behavior = "stop" and disable_stop_instance = true`},
	{"Server.SpotInstance", "AWS took the spot instance back: build again, or give more spot_instance_types, or build on-demand"},
	{noCapacityLater, "AWS ran out of that type there: give more instance_types, or subnets of other zones"},
	{"Server.ScheduledStop", "AWS stopped it for an event of its own: build again"},
	{"Server.InternalError", "that is AWS's own trouble: build again; where it stays, try another instance_type or zone"},
}

func death(seen *types.Instance) error {
	e := &deathError{id: aws.ToString(seen.InstanceId), state: string(seen.State.Name)}
	if r := seen.StateReason; r != nil {
		e.code, e.reason = aws.ToString(r.Code), aws.ToString(r.Message)
		if !strings.HasPrefix(e.reason, e.code) { // most messages begin with it
			e.reason = strings.TrimSpace(e.code + " " + e.reason)
		}
	}
	return e
}

// A deathbed is where the connection tells of an instance's death to who runs provisioners, which
// else try again for minutes. The zero value is for one with nobody to listen.
type deathbed struct {
	mu   sync.Mutex
	told chan error // guarded by mu: nil without a listener
}

// listen returns where the next death is told.
func (d *deathbed) listen() <-chan error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = make(chan error, 1)
	return d.told
}

func (d *deathbed) tell(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case d.told <- err:
	default: // told already, or nobody listens
	}
}

// forGood tells whether provisioners have nothing to wait for. With shutdown_behavior = "stop" the last
// one of them may have stopped the instance on purpose, and end well.
func (e *deathError) forGood(c *Config) bool {
	stopped := e.state == string(types.InstanceStateNameStopping) || e.state == string(types.InstanceStateNameStopped)
	return !stopped || c.ShutdownBehavior != stopInstead
}
