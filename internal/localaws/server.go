package localaws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// The accounts that exist, and the credentials of the first one's user.
const (
	DefaultAccount = "123456789012" // the account of the user builder
	OtherAccount   = "210987654321" // a second account, for sharing and copies
)

// Options say what kind of AWS to start. The zero value is one without
// delays, in three regions, with its machines in the user's own folder among
// the temporary ones.
type Options struct {
	Addr         string       // to listen on; default 127.0.0.1:0
	Dir          string       // where machines live; default localaws-<uid> in the folder for temporary files; servers can share it
	Profile      Profile      // how fast; default Zero
	Delays       *Delays      // instead of the profile's
	Regions      []string     // default us-east-1, us-west-2, eu-west-1
	Log          *slog.Logger // default: nothing is logged
	NoMachines   bool         // instances have a state but no system inside: needs no Linux
	CallerPolicy string       // the user builder's policy document; default all is allowed
	OnCall       func(Call)   // told of every call once it is answered, one at a time
}

// A Server is one simulated AWS.
type Server struct {
	log        *slog.Logger
	clock      *clock
	delays     Delays
	regions    []string
	machines   *machine.Host // nil with Options.NoMachines
	operations map[string]map[string]operation

	http     *http.Server
	listener net.Listener
	ctx      context.Context //nolint:containedctx // the server's life: it ends when Close begins
	cancel   context.CancelFunc
	owned    sync.WaitGroup
	closing  sync.Once
	closeErr error

	calls   callLog
	changes changeLog
	faults  faultList

	mu  sync.Mutex // guards all below; handlers hold it
	iam *iamState
	kms *kmsState
	ec2 *ec2State
	ssm *ssmState
}

// Start starts an AWS that serves until Close. ctx bounds the start alone.
// Its error says what the machine lacks to run instances.
func Start(ctx context.Context, o Options) (*Server, error) {
	s := newServer(o)
	if err := s.open(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func newServer(o Options) *Server {
	s := &Server{
		log:     o.Log,
		clock:   newClock(),
		delays:  DelaysOf(o.Profile),
		regions: slices.Clone(o.Regions),
	}
	s.calls.tell = o.OnCall
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if o.Delays != nil {
		s.delays = *o.Delays
	}
	if s.delays.TerminatedVisible == 0 {
		s.delays.TerminatedVisible = terminatedVisible
	}
	if len(s.regions) == 0 {
		s.regions = []string{"us-east-1", "us-west-2", "eu-west-1"}
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// open makes the state, the machines' host and the listener.
func (s *Server) open(ctx context.Context, o Options) error {
	if err := s.openState(o); err != nil {
		return err
	}
	if err := s.openMachines(ctx, o); err != nil {
		return err
	}
	addr := o.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	var err error
	if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", addr); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.serve()
	return nil
}

func (s *Server) openState(o Options) error {
	var err error
	if s.iam, err = newIAMState(o.CallerPolicy, s.clock.Now()); err != nil {
		return fmt.Errorf("caller policy: %w", err)
	}
	s.kms = newKMSState()
	s.ec2 = newEC2State()
	s.ssm = newSSMState()
	s.operations = map[string]map[string]operation{
		"ec2": s.ec2Operations(),
		"iam": s.iamOperations(),
		"kms": s.kmsOperations(),
		"ssm": s.ssmOperations(),
		"sts": s.stsOperations(),
	}
	return nil
}

func (s *Server) openMachines(ctx context.Context, o Options) error {
	if o.NoMachines {
		return nil
	}
	dir := o.Dir
	if dir == "" {
		var err error
		if dir, err = machinesDir(); err != nil {
			return err
		}
	}
	var err error
	s.machines, err = machine.NewHost(ctx, dir)
	return err
}

func (s *Server) serve() {
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		ReadHeaderTimeout: 30 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.owned.Go(func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serve", "err", err)
		}
	})
}

// URL is where the server answers, for AWS_ENDPOINT_URL.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// goOwned runs f in a goroutine that Close waits for; f's context ends when
// Close begins. It may be called with Server.mu held. After Close nothing runs.
func (s *Server) goOwned(f func(ctx context.Context)) {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	if s.clock.stopped {
		return
	}
	s.owned.Go(func() { f(s.ctx) })
}

// Close stops everything: open calls, timers, goroutines, machines. It waits
// for all of them and removes what Start made.
func (s *Server) Close() error {
	s.closing.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Server) close() error {
	s.cancel()
	s.clock.stop()
	var errs []error
	if s.http != nil {
		errs = append(errs, s.http.Close())
	} else if s.listener != nil {
		errs = append(errs, s.listener.Close())
	}
	s.owned.Wait()
	if s.machines != nil {
		errs = append(errs, s.machines.Close())
	}
	return errors.Join(errs...)
}
