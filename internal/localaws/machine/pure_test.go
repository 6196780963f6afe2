//go:build linux

package machine

import (
	"os/user"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func TestParseRanges(t *testing.T) {
	for text, want := range map[string][]syscall.SysProcIDMap{
		"         0          0 4294967295\n":                  {{ContainerID: 0, HostID: firstHostID, Size: idCount}},
		"         0       1000          1\n 1 100000 65536\n": {{ContainerID: 0, HostID: 0, Size: 1}, {ContainerID: 1, HostID: 1, Size: idCount - 1}},
	} {
		if got, err := parseRanges(strings.NewReader(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

func TestParseSubordinate(t *testing.T) {
	me := &user.User{Username: "me", Uid: "1001"}
	for line, want := range map[string]bool{"me:100000:65536": true, "1001:100000:65536": true, "you:1:65536": false, "me:x:1": false, "": false} {
		if _, _, ok := parseSubordinate(line, me); ok != want {
			t.Errorf("%q: %v", line, ok)
		}
	}
}

func TestPartsOf(t *testing.T) {
	for _, c := range []struct {
		data string
		want []string
	}{
		{"", nil},
		{"\n", nil},
		{"#!/bin/sh\ntrue", []string{"text/x-shellscript"}},
		{"#cloud-config\nruncmd: []", []string{"text/cloud-config"}},
		{"hello", []string{"text/plain"}},
		{"Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n--B\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--B\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\nIyEvYmluL3NoCg==\n--B--\n",
			[]string{"text/x-shellscript", "text/x-shellscript"}},
	} {
		parts, err := partsOf([]byte(c.data))
		var kinds []string
		for _, p := range parts {
			kinds = append(kinds, p.kind)
		}
		if err != nil || !reflect.DeepEqual(kinds, c.want) {
			t.Errorf("%q: got %v, %v", c.data, kinds, err)
		}
	}
}

func TestMergeEnv(t *testing.T) {
	if got := mergeEnv([]string{"A=1", "B=2"}, []string{"A=3", "C="}); !reflect.DeepEqual(got, []string{"A=3", "B=2", "C="}) {
		t.Errorf("got %q", got)
	}
}
