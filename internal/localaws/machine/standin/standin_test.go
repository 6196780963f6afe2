package standin

import (
	"slices"
	"testing"
	"time"
)

func TestDelay(t *testing.T) {
	now := time.Date(2026, 1, 2, 23, 0, 0, 0, time.UTC)
	for when, want := range map[string]time.Duration{
		"": time.Minute, "now": 0, "+5": 5 * time.Minute, "5": 5 * time.Minute, "23:30": 30 * time.Minute, "22:00": 23 * time.Hour,
	} {
		if got, err := delay(when, now); err != nil || got != want {
			t.Errorf("%q: got %v, %v", when, got, err)
		}
	}
	if _, err := delay("soon", now); err == nil {
		t.Error("no error")
	}
}

func TestCatalogue(t *testing.T) {
	for _, al2 := range []bool{true, false} {
		all := parseCatalogue(catalogue, al2)
		if len(all) < 200 {
			t.Errorf("%d packages", len(all))
		}
		for name, p := range all {
			if version := p.version(); version == "" || !slices.Contains([]byte(version), '-') {
				t.Errorf("%s: version %q", name, p.evr)
			}
			for _, n := range p.needs {
				if all[n] == nil {
					t.Errorf("%s needs %s, which is not there", name, n)
				}
			}
		}
	}
}
