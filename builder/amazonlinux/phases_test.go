package amazonlinux

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What AWS took counts once, however many calls and waits overlapped, and each phase has its own.
func TestPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ui := new(phases), new(recorder)
		start := time.Now()
		at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
		p.begin("plan")
		p.aws(at(0), at(1))
		time.Sleep(2 * time.Second)
		p.begin("launch")
		p.begin("launch")
		p.aws(at(2), at(6)) // a wait,
		p.aws(at(2), at(8)) // the same, a look later,
		p.aws(at(3), at(4)) // and a call in it
		time.Sleep(8 * time.Second)
		p.begin(phaseProvision)
		time.Sleep(60 * time.Second)
		p.begin(phaseCleanup)
		p.aws(at(69), at(71))
		time.Sleep(time.Second)
		p.tell(ui)
		want := "" +
			"Phase        seconds      AWS   plugin\n" +
			"plan             2.0      1.0      1.0\n" +
			"launch           8.0      6.0      2.0\n" +
			"provision       60.0      1.0      0.0\n" +
			"cleanup          1.0      1.0      0.0\n" +
			"all             71.0      9.0      3.0\n" +
			"0 calls of AWS's API"
		if diff := cmp.Diff(want, ui.all()); diff != "" {
			t.Error(diff)
		}
	})
}
