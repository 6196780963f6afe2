package localaws

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// maxBody is more than any call of these services may be.
const maxBody = 4 << 20

// serveHTTP answers one request: a websocket of Session Manager or an API call.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	defer s.owned.Done()
	if strings.HasPrefix(r.URL.Path, "/v1/data-channel/") {
		s.serveDataChannel(w, r)
		return
	}
	s.serveCall(w, r)
}

// begin counts a request among what Close waits for; false once Close has begun.
func (s *Server) begin() bool {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	if s.clock.stopped {
		return false
	}
	s.owned.Add(1)
	return true
}

// serveCall takes one API call from its signature to its answer.
func (s *Server) serveCall(w http.ResponseWriter, r *http.Request) {
	started := s.clock.now()
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	c := &call{
		ctx:       r.Context(),
		server:    s,
		service:   serviceOf(r, raw),
		requestID: uuid.NewString(),
		now:       s.clock.Now(),
	}
	err = s.answer(c, r, raw)
	entry := s.logCall(c, started, err)
	if errors.Is(err, errDropped) || s.ctx.Err() != nil {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	s.write(w, c, err)
	s.log.Debug("call", "service", c.service, "action", c.action, "region", c.region, "code", entry.Code)
}

// answer takes the call to its result, or to the *apiError that refuses it.
func (s *Server) answer(c *call, r *http.Request, raw []byte) error {
	if err := s.identify(c, r, raw); err != nil {
		return err
	}
	if err := c.parse(r, raw); err != nil {
		return err
	}
	if err := s.wait(c.ctx, s.delays.APILatency); err != nil {
		return err
	}
	faults := s.faults.take(c)
	if err := s.strike(c, faults, false); err != nil {
		return err
	}
	err := s.perform(c)
	if fault := s.strike(c, faults, true); fault != nil {
		return fault
	}
	return err
}

// identify fills in who calls and where, from the request's signature.
func (s *Server) identify(c *call, r *http.Request, raw []byte) error {
	sig, fault := parseSignature(r)
	if fault == nil {
		c.region = sig.region
		if s.operations[sig.service] == nil {
			fault = sigFaultf(sigScope, "Credential should be scoped to correct service: '%s'.", c.service)
		} else {
			c.service = sig.service
			c.caller, fault = s.authenticate(r, raw, sig)
		}
	}
	switch {
	case fault == nil:
		return nil
	case fault.kind == sigMissing && c.service == "sts" && c.parse(r, raw) == nil && slices.Contains(unsignedActions, c.action):
		return unknownAction(c)
	}
	return refuseSignature(c.service, fault)
}

// unsignedActions are those of STS whose callers have no credentials yet.
var unsignedActions = []string{"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}

// perform runs the operation under the server's lock, if the caller may, and
// renders its result there too, since results may share memory with the state.
// A panic is a defect of this server: it becomes AWS's InternalFailure.
func (s *Server) perform(c *call) (err error) {
	run, ok := s.operations[c.service][c.action]
	if !ok {
		return unknownAction(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("operation panicked", "service", c.service, "action", c.action, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s panicked: %v", c.action, p)
		}
	}()
	if err := s.permit(c); err != nil {
		return err
	}
	out, err := run(c)
	if err != nil {
		return c.orNotHere(err)
	}
	c.result = render(c, out)
	return nil
}

// wait passes d, or less when ctx or the server ends.
func (s *Server) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return errDropped
}

// unzip undoes a compressed body; the signature was over the compressed one.
func unzip(r *http.Request, raw []byte) ([]byte, error) {
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity", "amz-1.0":
		return raw, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, refuse("SerializationException", "The body is not gzip")
		}
		plain, err := io.ReadAll(io.LimitReader(z, maxBody))
		if err != nil {
			return nil, refuse("SerializationException", "The body is not gzip")
		}
		return plain, nil
	default:
		return nil, refuse("SerializationException", "Content-Encoding %s is not supported", encoding)
	}
}
