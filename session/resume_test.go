package session

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestAnAgentThatIsGoneStaysReachedFor has websockets that open and bring
// nothing, closed again and again: each time the service is to be back at once,
// so that the silence is seen to be the agent's.
func TestAnAgentThatIsGoneStaysReachedFor(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world, p *Port) {
		synctest.Wait()
		w.agent.freeze(true)
		for n := range 8 {
			time.Sleep(7 * time.Second)
			w.cut()
			time.Sleep(time.Second)
			if !p.Reachable() {
				t.Errorf("out of reach a second after websocket %d was closed", n+1)
			}
		}
		w.agent.freeze(false)
	})
}

// TestWebsocketsThatDoNotLast are not opened in haste for ever.
func TestWebsocketsThatDoNotLast(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world, _ *Port) {
		synctest.Wait()
		w.agent.freeze(true)
		for range 60 {
			w.cut()
			time.Sleep(time.Second)
		}
		if n := w.countResumes(); n > 25 {
			t.Errorf("%d resumes in a minute", n)
		}
		w.agent.freeze(false)
	})
}
