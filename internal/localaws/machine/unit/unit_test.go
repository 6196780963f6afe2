package unit

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func write(t *testing.T, root, path, text string) {
	t.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	root := t.TempDir()
	write(t, root, "usr/lib/systemd/system/a.service", "# c\n[Unit]\nDescription=A\n[Service]\nExecStart=/bin/a \\\n  --long \"two words\" ${X} $Y\nEnvironment=\"X=1 2\" Y=3\n[Install]\nWantedBy=multi-user.target\nAlias=b.service\n")
	write(t, root, "etc/systemd/system/a.service.d/10.conf", "[Service]\nExecStartPre=-+/bin/pre %n %%\n")
	u, err := Load(root, "a.service")
	if err != nil {
		t.Fatal(err)
	}
	env, err := u.Environment(root)
	if err != nil || !reflect.DeepEqual(env, []string{"X=1 2", "Y=3"}) {
		t.Errorf("environment %q, %v", env, err)
	}
	if got := u.Commands("ExecStart", env); !reflect.DeepEqual(got, []Command{{Argv: []string{"/bin/a", "--long", "two words", "1 2", "3"}}}) {
		t.Errorf("ExecStart %+v", got)
	}
	if got := u.Commands("ExecStartPre", nil); !reflect.DeepEqual(got, []Command{{Argv: []string{"/bin/pre", "a.service", "%"}, MayFail: true, Privileged: true}}) {
		t.Errorf("ExecStartPre %+v", got)
	}
	if _, err := Load(root, "nope.service"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown unit: %v", err)
	}
}

func TestEnableAndMask(t *testing.T) {
	root := t.TempDir()
	write(t, root, "usr/lib/systemd/system/a@.service", "[Service]\nExecStart=/bin/a %i\n[Install]\nWantedBy=multi-user.target\n")
	state := func() string {
		u, err := Load(root, "a@x.service")
		if err != nil {
			t.Fatal(err)
		}
		return u.State(root)
	}
	u, err := Load(root, "a@x.service")
	if err != nil || state() != "disabled" {
		t.Fatal(state(), err)
	}
	if made, err := u.Enable(root); err != nil || !reflect.DeepEqual(made, []string{"/etc/systemd/system/multi-user.target.wants/a@x.service"}) || state() != "enabled" {
		t.Errorf("enable: %v, %v, %s", made, err, state())
	}
	if got := WantedBy(root, "multi-user.target"); !reflect.DeepEqual(got, []string{"a@x.service"}) {
		t.Errorf("wanted: %v", got)
	}
	if removed, err := Disable(root, "a@x.service"); err != nil || len(removed) != 1 || state() != "disabled" {
		t.Errorf("disable: %v, %v, %s", removed, err, state())
	}
	if link, err := Mask(root, "a@x.service"); err != nil || link == "" || state() != "masked" {
		t.Errorf("mask: %v, %v, %s", link, err, state())
	}
	if link, err := Unmask(root, "a@x.service"); err != nil || link == "" || state() != "disabled" {
		t.Errorf("unmask: %v, %v, %s", link, err, state())
	}
}
