package amazonlinux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/multistep"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// stepProvision hands the instance to Packer, which runs the provisioners.
type stepProvision struct {
	done      bool // all provisioners have succeeded
	cancelled bool // provisioners on a dead instance had to be
}

const (
	// provisionersEnd is how long cancelled provisioners may take to end.
	provisionersEnd = 10 * time.Second

	// deathGrace is how long those on a dead instance may take to find out by themselves. Packer's own hook
	// stays cancelled once it is, and then runs no error-cleanup-provisioner.
	deathGrace = 4 * time.Second
)

func (s *stepProvision) Run(ctx context.Context, bag multistep.StateBag) multistep.StepAction {
	err := s.provision(ctx, bag, packersdk.HookProvision)
	s.done = err == nil
	if s.done || errors.As(err, new(*deathError)) {
		return conclude(bag, phase("provision", err))
	}
	// Packer prints what its provisioners say; so the error goes on as it is.
	bag.Put(stateError, err)
	return multistep.ActionHalt
}

// Cleanup runs the error-cleanup-provisioner, if a provisioner failed and the template has one. It is not for what fails
// after them: by then the instance is stopped, and Packer would try for minutes to reach it.
func (s *stepProvision) Cleanup(bag multistep.StateBag) {
	err := errorOf(bag)
	if s.done || err == nil || errors.Is(err, context.Canceled) {
		return
	}
	cancelled := s.cancelled
	failed := s.provision(context.Background(), bag, packersdk.HookCleanupProvision)
	switch {
	case failed != nil && cancelled:
		buildOf(bag).ui.Error("error-cleanup-provisioner: not run: Packer runs none after provisioners that had to be cancelled, here on a dead instance")
	case failed != nil:
		buildOf(bag).ui.Error(fmt.Sprintf("error-cleanup-provisioner: %v", failed))
	}
}

// provision runs Packer's hook. Once cancelled, or without an instance, it waits for the provisioners'
// end, so that none is at work on an instance that goes away; but not for ever.
func (s *stepProvision) provision(ctx context.Context, bag multistep.StateBag, name string) error {
	hook, ok := bag.Get(stateHook).(packersdk.Hook)
	if !ok || hook == nil {
		return nil
	}
	b := buildOf(bag)
	comm, _ := bag.Get(stateCommunicator).(packersdk.Communicator)
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	ended, dead := make(chan error, 1), b.dead.listen()
	go func() { ended <- hook.Run(running, name, b.ui, comm, bag.Get(stateGeneratedData)) }()
	select {
	case err := <-ended:
		return provisioned(ctx, err, dead)
	case err := <-dead:
		if !endSoon(ctx, ended) {
			s.cancelled = true
			cancel()
			awaitProvisioners(ended)
		}
		return cmp.Or(ctx.Err(), err)
	case <-ctx.Done():
		awaitProvisioners(ended)
		return ctx.Err()
	}
}

// endSoon gives provisioners the time to end by themselves.
func endSoon(ctx context.Context, ended <-chan error) bool {
	timer := time.NewTimer(deathGrace)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// awaitProvisioners waits for the end of provisioners that were cancelled.
func awaitProvisioners(ended <-chan error) {
	select {
	case <-ended:
	case <-time.After(provisionersEnd):
		slog.Warn("provisioners still at work after they were cancelled", "waited", provisionersEnd)
	}
}

// provisioned is what comes of provisioners that have ended by themselves: one that has failed on a dead
// instance has only told what it could not do there.
func provisioned(ctx context.Context, err error, dead <-chan error) error {
	if ctx.Err() != nil || err == nil {
		return ctx.Err()
	}
	select {
	case why := <-dead:
		return why
	default:
		return err
	}
}

// generatedKeys are the values beyond Packer's own that templates can use as
// build.NAME, under the names of amazon-ebs.
var generatedKeys = []string{
	"BuildRegion",
	"SourceAMI",
	"SourceAMICreationDate",
	"SourceAMIName",
	"SourceAMIOwner",
	"SourceAMIOwnerName",
}

// generatedData is what provisioners and templates read as build.ID,
// build.Host and so on. The connection's type is told as it is, so that a tool
// that must dial by itself (Ansible without its proxy) sees that it can't and
// goes through Packer. No web server is offered; the three values that say so
// are those that provisioners know.
func generatedData(b *build) map[string]any {
	info := b.plan.info()
	c := &b.config.Comm
	kind := c.Type
	if kind == communicatorSSH && !b.config.ownCredentials() {
		kind = communicatorSSM
	}
	return map[string]any{
		"BuildRegion":           info.BuildRegion,
		"SourceAMI":             info.SourceAMI,
		"SourceAMICreationDate": info.SourceAMICreationDate,
		"SourceAMIName":         info.SourceAMIName,
		"SourceAMIOwner":        info.SourceAMIOwner,
		"SourceAMIOwnerName":    info.SourceAMIOwnerName,

		"ID":                b.instance.id,
		"PackerRunUUID":     os.Getenv("PACKER_RUN_UUID"),
		"PackerHTTPIP":      "ERR_HTTP_IP_NOT_IMPLEMENTED_BY_BUILDER",
		"PackerHTTPPort":    "ERR_HTTP_PORT_NOT_IMPLEMENTED_BY_BUILDER",
		"PackerHTTPAddr":    "ERR_HTTP_ADDR_NOT_IMPLEMENTED_BY_BUILDER",
		"Host":              b.instance.privateIP,
		"Port":              c.SSHPort,
		"User":              c.SSHUsername,
		"Password":          c.SSHPassword,
		"ConnType":          kind,
		"SSHPublicKey":      string(c.SSHPublicKey),
		"SSHPrivateKey":     string(c.SSHPrivateKey),
		"SSHPrivateKeyFile": c.SSHPrivateKeyFile,
		"SSHAgentAuth":      c.SSHAgentAuth,
		"WinRMPassword":     "",
	}
}
