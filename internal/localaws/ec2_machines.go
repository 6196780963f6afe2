package localaws

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// bootMachine starts the machine, made first if there is none, and returns the id of the boot.
func (i *instance) bootMachine(ctx context.Context) (string, error) {
	s := i.place.server
	if s.machines == nil {
		return uuid.NewString(), nil
	}
	s.mu.Lock()
	m := i.Machine
	s.mu.Unlock()
	if m == nil {
		var err error
		if m, err = i.makeMachine(ctx); err != nil {
			return "", err
		}
	}
	if m.Running() {
		return m.BootID(), nil
	}
	if err := m.Boot(ctx); err != nil {
		return "", fmt.Errorf("boot machine: %w", err)
	}
	return m.BootID(), nil
}

func (i *instance) makeMachine(ctx context.Context) (*machine.Machine, error) {
	s := i.place.server
	s.mu.Lock()
	spec, from, err := i.machineSpec()
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	base, err := s.machines.Base(ctx, from.release, from.architecture)
	if err != nil {
		return nil, fmt.Errorf("base layer: %w", err)
	}
	spec.Layers = append([]machine.LayerID{base}, from.layers...)
	m, err := s.machines.Create(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("create machine: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i.Machine = m
	return m, nil
}

// machineSpec describes the machine, and the disk it starts from. Server.mu is held.
func (i *instance) machineSpec() (machine.Spec, disk, error) {
	s := i.place.server
	root, n := i.rootVolume(), i.primary()
	if root == nil || n == nil {
		return machine.Spec{}, disk{}, errors.New("instance has no root volume or no interface")
	}
	if root.disk.release == "" {
		return machine.Spec{}, disk{}, errors.New("the root volume holds no system")
	}
	spec := machine.Spec{
		ID: i.ID, Hostname: i.place.privateName(n.privateIP), PrivateIP: n.privateIP,
		Metadata: http.HandlerFunc(i.serveMetadata), UserData: i.userData,
		OnHalt: func(how machine.How) {
			s.mu.Lock()
			defer s.mu.Unlock()
			i.cameDown(how)
		},
	}
	if k := i.place.keyPairs[i.keyName]; k != nil {
		spec.PublicKeys = []string{k.publicKey + " " + k.name}
	}
	return spec, root.disk, nil
}

// cameDown is what EC2 does when the system inside ends by itself. Server.mu is held.
func (i *instance) cameDown(how machine.How) {
	i.down()
	switch {
	case i.State != "running":
	case how != machine.PoweredOff:
		i.boot()
	case i.shutdownBehavior == "terminate":
		i.terminate("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown", "")
	default:
		i.stop("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown", "", true)
	}
}

func (i *instance) haltMachine(ctx context.Context, graceful bool) error {
	m := i.machine()
	if m == nil || !m.Running() {
		return nil
	}
	return m.Halt(ctx, graceful)
}

// machine is the instance's machine, for those who don't hold Server.mu.
func (i *instance) machine() *machine.Machine {
	s := i.place.server
	s.mu.Lock()
	defer s.mu.Unlock()
	return i.Machine
}

// destroyMachine ends the machine with its disk; when the root volume outlives
// the instance, what was written is kept as a layer.
func (i *instance) destroyMachine(ctx context.Context) (machine.LayerID, error) {
	s := i.place.server
	m := i.machine()
	if m == nil {
		return "", nil
	}
	s.mu.Lock()
	root := i.rootVolume()
	keep := root != nil && !root.deleteOnTermination
	s.mu.Unlock()
	var kept machine.LayerID
	var err error
	if keep {
		err = m.Halt(ctx, true)
		if err == nil {
			kept, err = m.Capture(ctx)
		}
	}
	return kept, errors.Join(err, m.Destroy(ctx))
}

// capture freezes what the root volume holds now and gives it to those of the
// snapshots that are of it. done runs afterwards with Server.mu held.
func (i *instance) capture(snaps []*snapshot, done func(error)) {
	s := i.place.server
	i.job(func(ctx context.Context) {
		var layer machine.LayerID
		var err error
		if m := i.machine(); m != nil {
			layer, err = m.Capture(ctx)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		root := i.rootVolume()
		for _, snap := range snaps {
			if layer != "" && root != nil && snap.volumeID == root.id {
				snap.disk.layers = append(snap.disk.layers[:len(snap.disk.layers):len(snap.disk.layers)], layer)
			}
		}
		done(err)
	})
}
