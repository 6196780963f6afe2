package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/taccoform/packer-plugin-ssm/internal/bench/cloud"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
)

// A world is what the bench measures in: a cloud with one instance, the two clients, and what they transfer.
type world struct {
	options options
	cloud   *cloud.Cloud
	dir     string // scratch, on this side
	plugin  string // AWS's client
	keyFile string // that the machine's own sshd takes
	public  []byte // its public half, a line

	ours *ours // both connected at the round trip of most rows
	peer *peer

	fixtures []fixture
	number   int // of transfers so far, for names
	rows     []*row
	notes    []string
	paused   pauses
}

// roundTrip is what most rows are measured at.
const roundTrip = 40 * time.Millisecond

// Where the instance keeps what is transferred.
const (
	remoteDir      = "/var/tmp/bench"
	remoteFixtures = remoteDir + "/fixtures"
)

// delays are those of Run Command, short but there. The API's own is the round trip.
func delays() *localaws.Delays {
	return &localaws.Delays{
		CommandVisible: 100 * time.Millisecond, CommandDelivery: 150 * time.Millisecond, CommandResult: 50 * time.Millisecond,
		TerminatedVisible: time.Hour,
	}
}

// model is the service's limit and the agent's pace.
func model() datachannel.Model {
	return datachannel.Model{MessagesPerSecond: modelRate, Pump: true, StartPublication: true}
}

const modelRate = 1000 // messages a second and session

// newWorld starts everything and puts the fixtures on the instance, with neither limit nor round trip.
func newWorld(ctx context.Context, root string, o options) (*world, error) {
	w := &world{options: o, plugin: os.Getenv("SESSION_MANAGER_PLUGIN")}
	if w.plugin == "" {
		w.plugin = filepath.Join(root, ".cache", "bin", "session-manager-plugin")
	}
	if _, err := os.Stat(w.plugin); err != nil {
		return nil, fmt.Errorf("AWS's client: %w; make tools builds it", err)
	}
	var err error
	if w.dir, err = os.MkdirTemp("", "ssm-bench-"); err != nil {
		return nil, err
	}
	if w.cloud, err = cloud.Start(ctx, localaws.Options{Delays: delays()}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.dir))
	}
	if err := w.prepare(ctx); err != nil {
		return nil, errors.Join(err, w.close(ctx))
	}
	return w, nil
}

func (w *world) prepare(ctx context.Context) error {
	if err := w.makeKey(); err != nil {
		return err
	}
	if _, err := w.cloud.Run(ctx, fmt.Sprintf("install -d -o %s %s %s", user, remoteDir, remoteFixtures)); err != nil {
		return err
	}
	if err := w.makeFixtures(); err != nil {
		return err
	}
	if err := w.placeFixtures(ctx); err != nil {
		return err
	}
	w.cloud.Server.SetChannelModel(model())
	w.cloud.SetRoundTrip(roundTrip)
	return nil
}

// makeKey makes the key that the peer logs in with.
func (w *world) makeKey() error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return err
	}
	sshPublic, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	w.public = ssh.MarshalAuthorizedKey(sshPublic)
	w.keyFile = filepath.Join(w.dir, "key")
	return os.WriteFile(w.keyFile, pem.EncodeToMemory(block), 0o600)
}

// placeKey lets the key in at the machine's own sshd, as a user without a key on the instance would do it.
func (w *world) placeKey(ctx context.Context) error {
	_, err := w.cloud.Run(ctx, fmt.Sprintf(`home=$(getent passwd %[1]s | cut -d: -f6)
install -d -o %[1]s -m 700 "$home/.ssh"
printf '%%s' '%[2]s' >"$home/.ssh/authorized_keys"
chown %[1]s "$home/.ssh/authorized_keys"; chmod 600 "$home/.ssh/authorized_keys"`, user, w.public))
	return err
}

func (w *world) removeKey(ctx context.Context) error {
	_, err := w.cloud.Run(ctx, fmt.Sprintf(`rm -f "$(getent passwd %s | cut -d: -f6)/.ssh/authorized_keys"`, user))
	return err
}

// sizes are those of the files, of the one that grows with the round trip or the sessions, and of the tree.
func (o options) sizes() (files []int64, growth, tree int64) {
	if o.quick {
		return []int64{mib / 8, mib / 4, mib, 2 * mib}, mib / 2, mib
	}
	return []int64{mib / 4, mib, 16 * mib, 64 * mib}, 4 * mib, 64 * mib
}

func sizeName(n int64) string {
	if n < mib {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n/mib)
}

func (w *world) makeFixtures() error {
	files, growth, tree := w.options.sizes()
	for _, size := range append(files, growth) {
		f, err := makeFile(w.dir, sizeName(size)+" incompressible", size)
		if err != nil {
			return err
		}
		w.fixtures = append(w.fixtures, f)
	}
	f, err := makeTree(w.dir, sizeName(tree)+" source tree", tree)
	w.fixtures = append(w.fixtures, f)
	return err
}

func (w *world) placeFixtures(ctx context.Context) (err error) {
	say("placing %d fixtures on %s", len(w.fixtures), w.cloud.Instance)
	o, err := startOurs(w.cloud)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close(ctx)) }()
	if err := o.connect(w.cloud.Instance, "", 0); err != nil {
		return err
	}
	for _, f := range w.fixtures {
		if err := o.upload(ctx, f, w.remote(f)); err != nil {
			return err
		}
		if err := w.checkRemote(ctx, f, w.remote(f)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) remote(f fixture) string { return remoteFixtures + "/" + filepath.Base(f.path) }

// connect makes both clients ready, unless they are.
func (w *world) connect(ctx context.Context) error {
	if w.ours == nil {
		o, err := w.connectOurs(ctx, 0)
		if err != nil {
			return err
		}
		w.ours = o
	}
	if w.peer == nil {
		return w.connectPeer(ctx)
	}
	return nil
}

// connectOurs starts our client and connects it; sessions 0 is its default.
func (w *world) connectOurs(ctx context.Context, sessions int) (*ours, error) {
	o, err := startOurs(w.cloud)
	if err != nil {
		return nil, err
	}
	if err := o.connect(w.cloud.Instance, "", sessions); err != nil {
		return nil, errors.Join(err, o.close(ctx))
	}
	return o, nil
}

func (w *world) connectPeer(ctx context.Context) error {
	if err := w.placeKey(ctx); err != nil {
		return err
	}
	var err error
	for range tries {
		if w.peer, err = startPeer(ctx, w.cloud, w.plugin, w.keyFile, w.dir); err == nil || ctx.Err() != nil {
			return err
		}
		w.note("AWS's client did not start: %v", err)
	}
	return err
}

func (w *world) disconnect(ctx context.Context) error {
	var err error
	if w.ours != nil {
		err = w.ours.close(ctx)
	}
	if w.peer != nil {
		err = errors.Join(err, w.peer.close(ctx))
	}
	w.ours, w.peer = nil, nil
	return err
}

func (w *world) close(ctx context.Context) error {
	err := w.disconnect(ctx)
	return errors.Join(err, w.cloud.Close(ctx), os.RemoveAll(w.dir))
}

// note keeps what the reader of the results has to know.
func (w *world) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
	say(format, args...)
}

func (w *world) printNotes(to io.Writer) {
	for _, note := range w.notes {
		fmt.Fprintln(to, "note:", note)
	}
}

// say tells the user how far it is; the results alone go to standard output.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
