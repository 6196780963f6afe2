package datachannel

import (
	"testing"
	"time"
)

func TestHabits(t *testing.T) {
	for version, want := range map[string]habits{
		"2.3.1319.0": {single: true, hasty: true, nervous: true, taciturn: true},
		"3.0.222.0":  {hasty: true, nervous: true, taciturn: true},
		"3.0.655.0":  {nervous: true, taciturn: true},
		"3.1.1446.0": {taciturn: true},
		"3.1.1575.0": {},
		"3.3.987.0":  {},
	} {
		if got := habitsOf(version); got != want {
			t.Errorf("%s: %+v, want %+v", version, got, want)
		}
	}
}

// TestTaciturnAgent acknowledges a message that comes again as little as AWS's old agents do.
func TestTaciturnAgent(t *testing.T) {
	_, client, _, _ := sshSession(t, Model{AgentVersion: "3.1.1188.0"})
	client.settle("0")
	client.send(payloadOutput, []byte("b"))
	client.waitAck(client.seq - 1)
	client.sendAt(client.seq-1, payloadOutput, []byte("b"))
	client.send(payloadOutput, []byte("c"))
	select {
	case seq := <-client.acks:
		if seq != client.seq-1 {
			t.Errorf("message %d was acknowledged twice", seq)
		}
	case <-time.After(30 * time.Second):
		t.Error("no acknowledgement")
	}
	client.text(payloadOutput, "bc")
}

// untilEchoed sends texts of its own until one comes back; all that go before are acknowledged, and lost.
func (c *rawClient) untilEchoed() (lost int) {
	c.t.Helper()
	for ; ; lost++ {
		c.send(payloadOutput, []byte("x"))
		c.waitAck(c.seq - 1)
		select {
		case m := <-c.got:
			c.ack(m)
			return lost
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestTooEarlyIsLost: old agents lose what comes before the port is open, all of them what comes right after HandshakeComplete.
func TestTooEarlyIsLost(t *testing.T) {
	for name, model := range map[string]Model{
		"hasty agent":    {AgentVersion: "3.0.529.0", ReadyDelay: 300 * time.Millisecond},
		"complete delay": {CompleteDelay: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			_, client, _, _ := sshSession(t, model)
			if client.untilEchoed() == 0 {
				t.Error("nothing was lost")
			}
		})
	}
}
