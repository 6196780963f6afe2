package datachannel

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const pathPrefix = "/v1/data-channel/"

// Options are what a Service needs to know. The zero value works.
type Options struct {
	// Verify checks the signature of a websocket upgrade that carries one. Upgrades without a signature are
	// taken, as the service takes them: the token in the first message is what counts. nil takes any.
	Verify func(r *http.Request) error
	Model  Model
	Log    *slog.Logger // nil is silence
}

// A Service is the Session Manager message gateway: an http.Handler for `/v1/data-channel/<session>`, and the sessions behind it.
type Service struct {
	verify func(r *http.Request) error
	log    *slog.Logger
	faults *Faults

	mu       sync.Mutex
	model    Model
	sessions map[string]*Session // until they are forgotten
	sockets  sync.WaitGroup      // handlers of upgrades
	clients  map[*clientSocket]bool
	closed   bool
}

// NewService makes a service without sessions.
func NewService(o Options) *Service {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		verify: o.Verify, log: o.Log, model: o.Model, faults: newFaults(nil), sessions: map[string]*Session{},
		clients: map[*clientSocket]bool{},
	}
}

func (s *Service) track(c *clientSocket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c] = true
	if s.closed {
		c.cut()
	}
}

func (s *Service) untrack(c *clientSocket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
}

// Faults are the impairments of all sessions that have none of their own.
func (s *Service) Faults() *Faults { return s.faults }

// SetModel changes the model of the sessions that are opened from now on.
func (s *Service) SetModel(m Model) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.model = m
}

// Model is the model of the sessions that are opened from now on.
func (s *Service) Model() Model {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.model
}

// Open starts a session: the agent's half of it runs from now on. It fails if there is a session of that id, or after Close.
func (s *Service) Open(c Config) (*Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("service is closed")
	}
	if s.sessions[c.ID] != nil {
		return nil, fmt.Errorf("session %s is there already", c.ID)
	}
	model := s.model
	if c.Model != nil {
		model = *c.Model
	}
	session := newSession(s, c, model.withDefaults())
	s.sessions[c.ID] = session
	session.start()
	return session, nil
}

// Session finds a session that has not been forgotten, ended ones included; nil if there is none.
func (s *Service) Session(id string) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// Live lists the sessions that have not ended.
func (s *Service) Live() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var live []*Session
	for _, session := range s.sessions {
		if session.ctx.Err() == nil {
			live = append(live, session)
		}
	}
	return live
}

// Close ends every session at once and waits until nothing of them runs.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	sessions := s.sessions
	s.sessions = map[string]*Session{}
	for client := range s.clients {
		client.cut()
	}
	s.mu.Unlock()
	for _, session := range sessions {
		session.abandon()
	}
	s.sockets.Wait()
}

// StreamURL is the address of a session's websocket. base is the service's own, as "ws://127.0.0.1:8080".
// The cell number has the characters + and / in it, as it does on AWS, so that a client which re-encodes it is found out.
func (s *Session) StreamURL(base string) string {
	return base + pathPrefix + s.config.ID + "?role=publish_subscribe&cell-number=" + s.cell
}

// Token makes a new token for one opening of the websocket; earlier ones are no longer good. It is empty once the session has ended.
func (s *Session) Token() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil || s.ending {
		return ""
	}
	raw := make([]byte, 150)
	_, _ = rand.Read(raw) // never fails
	s.token = base64.StdEncoding.EncodeToString(raw)
	s.tokenEnd = time.Now().Add(s.model.TokenTTL)
	return s.token
}

// redeem takes a token; it is good once.
func (s *Session) redeem(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ctx.Err() != nil || s.ending:
		return errors.New("session has ended")
	case token == "" || token != s.token:
		return errors.New("token is not valid")
	case time.Now().After(s.tokenEnd):
		return errors.New("token has expired")
	}
	s.token = ""
	return nil
}

func newCell() string {
	raw := make([]byte, 45)
	_, _ = rand.Read(raw) // never fails
	return "AAEAAe++//" + base64.StdEncoding.EncodeToString(raw)
}

// ended takes a session down once its client has heard of the end. The session stays known, as a thing of the past.
func (s *Service) ended(session *Session, e End) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets.Go(func() {
		session.linger()
		session.teardown(e)
	})
}
