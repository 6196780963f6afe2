package version

import "testing"

func TestPluginReportsNoLeadingV(t *testing.T) {
	got := Plugin().String()
	if want := number + "-" + prerelease; got != want {
		t.Errorf("Plugin() = %q, want %q", got, want)
	}
}
