package datachannel

import (
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestCutClientResumes(t *testing.T) {
	session, client, _, base := sshSession(t, Model{})
	client.settle("before")
	session.CutClient()
	if err := client.waitGone(); websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("a cut said goodbye: %v", err)
	}
	again := connect(t, session, base)
	again.seq = client.seq
	again.settle("after") // no new handshake, the numbers go on
}

func TestByeKeepsSession(t *testing.T) {
	session, client, _, base := sshSession(t, Model{AgentReconnect: 50 * time.Millisecond})
	for range 3 {
		client.settle("x")
		session.Bye()
		err := client.waitGone()
		if closed, ok := err.(*websocket.CloseError); !ok || closed.Code != 1000 || closed.Text != "Bye" { //nolint:errorlint // as it comes
			t.Errorf("closed with %v", err)
		}
		again := connect(t, session, base)
		again.seq = client.seq
		client = again
	}
	client.settle("y")
}

func TestCutAgentPausesClient(t *testing.T) {
	session, client, _, _ := sshSession(t, Model{})
	client.settle("x")
	session.CutAgent(100 * time.Millisecond)
	client.next(pausePublication)
	client.next(startPublication)
	client.settle("y")
}

// TestCutAgentWhileSending loses just the messages that it is told to, however quick the agent is.
func TestCutAgentWhileSending(t *testing.T) {
	session, client, _, _ := sshSession(t, Model{})
	client.settle("x")
	first := session.agent.out.upcoming()
	session.CutAgentWhileSending(1, 2, time.Hour)
	for i := range int64(4) {
		session.agent.send(payloadOutput, []byte{byte('0' + i)})
	}
	for m := client.next(outputStreamData); m.seq != first+3; m = client.next(outputStreamData) {
		if m.seq != first {
			t.Fatalf("message %d arrived, want none from %d to %d", m.seq, first+1, first+2)
		}
		client.ack(m)
	}
}

func TestPauseHoldsAgent(t *testing.T) {
	session, client, _, _ := sshSession(t, Model{})
	client.settle("x")
	session.Pause(50 * time.Millisecond)
	client.next(pausePublication)
	client.next(startPublication)
	client.settle("y")
}

func TestFrozenAgentThaws(t *testing.T) {
	session, client, _, _ := sshSession(t, Model{})
	client.settle("x")
	thaw := session.Freeze()
	client.send(payloadOutput, []byte("frozen"))
	select {
	case seq := <-client.acks:
		t.Errorf("a frozen agent acknowledged %d", seq)
	case <-time.After(50 * time.Millisecond):
	}
	thaw()
	client.waitAck(client.seq - 1)
	client.text(payloadOutput, "frozen")
}

func TestMachineGoneIsSilence(t *testing.T) {
	session, client, ends, _ := sshSession(t, Model{})
	client.settle("x")
	session.MachineGone()
	client.next(pausePublication)
	client.send(payloadOutput, []byte("nobody"))
	select {
	case e := <-ends:
		t.Errorf("session ended with %+v", e)
	case <-time.After(50 * time.Millisecond):
	}
	session.WorkerLost()
	if e := waitEnd(t, ends); e.Reason != Failed || client.closed().Output != e.Output {
		t.Errorf("ended with %+v", e)
	}
}

func TestTooManyMessages(t *testing.T) {
	session, client, ends, _ := sshSession(t, Model{MessagesPerSecond: 100})
	client.settle("x")
	tick := time.NewTicker(5 * time.Millisecond) // 200 a second
	defer tick.Stop()
	paused := false
	for {
		select {
		case <-tick.C:
			m := newMessage(inputStreamData, payloadOutput, []byte("z"))
			m.seq = client.seq
			client.seq++
			_ = client.ws.WriteMessage(websocket.BinaryMessage, m.encode()) // fails once the channel is closed
		case m := <-client.got:
			switch m.kind {
			case pausePublication:
				paused = true
			case outputStreamData:
				a := newMessage(acknowledge, payloadNone, jsonOf(ackPayload{m.kind, m.id.String(), m.seq, true}))
				_ = client.ws.WriteMessage(websocket.BinaryMessage, a.encode())
			}
		case e := <-ends:
			if e.Reason != RateLimited || !paused || session.Stats().Paused == 0 {
				t.Errorf("ended with %+v, paused %t", e, paused)
			}
			return
		}
	}
}

func TestIdleAndMaximum(t *testing.T) {
	for name, test := range map[string]struct {
		model  Model
		output string
	}{
		"idle":    {Model{IdleTimeout: 200 * time.Millisecond}, "Your session timed out due to inactivity and has been terminated."},
		"maximum": {Model{MaxDuration: 200 * time.Millisecond}, "Your session has been terminated because it reached the maximum session duration."},
	} {
		_, client, ends, _ := sshSession(t, test.model)
		if closed := client.closed(); closed.Output != test.output {
			t.Errorf("%s: closed with %+v", name, closed)
		}
		if e := waitEnd(t, ends); e.Reason != TimedOut {
			t.Errorf("%s: ended with %+v", name, e)
		}
	}
}

// TestImpairedEcho: what is lost, repeated and reordered arrives all the same, once and in order.
func TestImpairedEcho(t *testing.T) {
	session, client, _, _ := sshSession(t, Model{})
	client.settle("x")
	session.Faults().Seed(7)
	session.Faults().ImpairBoth(Impairment{LoseData: 0.2, LoseAcks: 0.2, Repeat: 0.2, Reorder: 0.3, Delay: 2 * time.Millisecond})
	want := map[int64]message{}
	for i := range 20 {
		m := newMessage(inputStreamData, payloadOutput, []byte{byte('a' + i)})
		m.seq = client.seq
		client.seq++
		want[m.seq] = m
	}
	got := receiveAll(t, client, want, 20)
	if got != "abcdefghijklmnopqrst" {
		t.Errorf("got %q", got)
	}
}

// receiveAll sends messages until they are acknowledged, and puts what comes back in order.
func receiveAll(t *testing.T, c *rawClient, unacked map[int64]message, n int) string {
	t.Helper()
	early, text := map[int64]message{}, ""
	expected := int64(-1)
	resend := time.NewTicker(30 * time.Millisecond)
	defer resend.Stop()
	deadline := time.After(time.Minute)
	for len(text) < n || len(unacked) > 0 {
		select {
		case seq := <-c.acks:
			delete(unacked, seq)
		case m := <-c.got:
			if m.kind != outputStreamData {
				continue
			}
			c.ack(m)
			early[m.seq] = m
			if expected < 0 {
				expected = 3 // request, completion, "x"
			}
			for next, ok := early[expected]; ok; next, ok = early[expected] {
				text += string(next.payload)
				expected++
			}
		case <-resend.C:
			for _, m := range unacked {
				c.write(m)
			}
		case <-deadline:
			t.Fatalf("got %q within a minute; %d unacknowledged", text, len(unacked))
		}
	}
	return text
}
