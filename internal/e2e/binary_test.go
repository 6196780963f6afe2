//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// maxSize is what the stripped binary may weigh, in bytes.
const maxSize = 30 << 20

func TestDescribe(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), plugin, "describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	var description struct {
		Version    string   `json:"version"`
		APIVersion string   `json:"api_version"`
		Builders   []string `json:"builders"`
	}
	if err := json.Unmarshal(out, &description); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if description.APIVersion != "x5.0" || description.Version == "" || description.Version[0] == 'v' {
		t.Errorf("describe says version %q, API %q; want a version without v, and x5.0", description.Version, description.APIVersion)
	}
	if !slices.Contains(description.Builders, "amazon-linux") {
		t.Errorf("describe names the builders %q, want amazon-linux among them", description.Builders)
	}
}

func TestBinarySize(t *testing.T) {
	info, err := os.Stat(plugin)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxSize {
		t.Errorf("the plugin's binary has %d bytes, more than %d", info.Size(), maxSize)
	}
}
