package localaws

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWildcard(t *testing.T) {
	for _, test := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"a", "a", true},
		{"a", "A", false},
		{"*", "", true},
		{"amzn2-ami-hvm-*-x86_64-ebs", "amzn2-ami-hvm-2.0.20260427.1-x86_64-ebs", true},
		{"amzn2-ami-hvm-*-x86_64-ebs", "amzn2-ami-hvm-2.0.20260427.1-x86_64-gp2", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{`a\*c`, "a*c", true},
		{`a\*c`, "abc", false},
		{"**a*", "ba", true},
		{"a*b*c", "aXbYc", true},
		{"a*b*c", "aXcYb", false},
	} {
		if got := wildcard(test.pattern, test.s); got != test.want {
			t.Errorf("wildcard(%q, %q) = %v", test.pattern, test.s, got)
		}
	}
}

func TestPaged(t *testing.T) {
	all := []int{1, 2, 3, 4, 5, 6, 7}
	five := int64(5)
	part, next, err := paged(page{MaxResults: &five}, 5, 1000, all)
	ok(t, err)
	if len(part) != 5 || next == "" {
		t.Fatalf("first part %v, next %q", part, next)
	}
	part, next, err = paged(page{MaxResults: &five, NextToken: &next}, 5, 1000, all)
	ok(t, err)
	if !slices.Equal(part, []int{6, 7}) || next != "" {
		t.Errorf("second part %v, next %q", part, next)
	}
	two := int64(2)
	_, _, err = paged(page{MaxResults: &two}, 5, 1000, all)
	wantCode(t, "InvalidParameterValue", err)
	bad := "not a token"
	_, _, err = paged(page{NextToken: &bad}, 5, 1000, all)
	wantCode(t, "InvalidParameterValue", err)
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"i-0123456789abcdef0": true, "i-01234567": true, "i-0123": false, "i-0123456789ABCDEF0": false, "ami-01234567": false, "i": false, "": false,
	} {
		if got := validID("i", id); got != want {
			t.Errorf("validID(%q) = %v", id, got)
		}
	}
	if id := newID("vol"); !validID("vol", id) {
		t.Errorf("made %s", id)
	}
}

// Every name in the catalogue is one that Amazon gives, and found but once.
func TestCatalogueNames(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	seen := map[string]bool{}
	for _, o := range offersAt(now) {
		if seen[o.name()] {
			t.Errorf("%s twice", o.name())
		}
		seen[o.name()] = true
		if o.published.After(now) {
			t.Errorf("%s is of tomorrow", o.name())
		}
	}
	for _, name := range []string{
		"amzn2-ami-hvm-2.0.20260427.1-x86_64-gp2", "amzn2-ami-hvm-2.0.20260427.1-x86_64-ebs", "amzn2-ami-hvm-2.0.20260427.1-arm64-gp2",
		"amzn2-ami-kernel-5.10-hvm-2.0.20260427.1-x86_64-gp2", "amzn2-ami-minimal-hvm-2.0.20260427.1-arm64-ebs",
		"amzn2-ami-minimal-kernel-5.10-hvm-2.0.20260427.1-arm64-gp2", "al2023-ami-minimal-2023.13.20261116.1-kernel-6.12-arm64",
		"al2023-ami-2023.13.20261116.1-kernel-6.1-x86_64",
	} {
		if !seen[name] {
			t.Errorf("no %s", name)
		}
	}
}

// Whatever the day, some images of Amazon Linux 2023 are new and some are deprecated.
func TestCatalogueAges(t *testing.T) {
	for day := range 400 {
		now := time.Date(2026, 11, 1, 3, 4, 5, 0, time.UTC).AddDate(0, 0, day)
		fresh, old := 0, 0
		for _, o := range al2023Offers(now) {
			if now.Before(o.deprecated) {
				fresh++
			} else {
				old++
			}
		}
		if fresh == 0 || old == 0 {
			t.Fatalf("%s: %d fresh, %d deprecated", now, fresh, old)
		}
	}
}

func TestPublicParametersAgreeWithCatalogue(t *testing.T) {
	s := startServer(t, Options{})
	s.mu.Lock()
	defer s.mu.Unlock()
	const prefix = "/aws/service/ami-amazon-linux-latest/"
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		all := s.publicParameters(region)
		for _, name := range []string{
			"amzn2-ami-hvm-x86_64-gp2", "amzn2-ami-hvm-x86_64-ebs", "amzn2-ami-hvm-arm64-gp2", "amzn2-ami-kernel-5.10-hvm-x86_64-gp2",
			"amzn2-ami-kernel-default-hvm-arm64-gp2", "amzn2-ami-minimal-hvm-x86_64-ebs",
			"al2023-ami-kernel-default-x86_64", "al2023-ami-kernel-6.1-arm64", "al2023-ami-minimal-kernel-default-arm64",
		} {
			p, known := all[prefix+name]
			if !known {
				t.Errorf("no %s", name)
				continue
			}
			img := s.ec2Region(region).images[p.value]
			if img == nil {
				t.Fatalf("%s points at %s, which %s has not", name, p.value, region)
			}
			if want := strings.Contains(name, "arm64"); (img.architecture == "arm64") != want {
				t.Errorf("%s is %s", name, img.name)
			}
			for _, other := range s.ec2Region(region).images {
				if other.description == img.description && other.created.After(img.created) {
					t.Errorf("%s: %s is newer than %s", name, other.name, img.name)
				}
			}
		}
	}
	name := prefix + "amzn2-ami-hvm-x86_64-gp2"
	if s.publicParameters("us-east-1")[name].value == s.publicParameters("eu-west-1")[name].value {
		t.Error("two regions have the same image id")
	}
}

func TestInstanceTypesTable(t *testing.T) {
	for name, want := range map[string]struct {
		architecture  string
		vcpus, memory int64
	}{
		"t3.micro": {"x86_64", 2, 1024}, "t3.small": {"x86_64", 2, 2048}, "t4g.micro": {"arm64", 2, 1024},
		"m7g.large": {"arm64", 2, 8192}, "c5.xlarge": {"x86_64", 4, 8192}, "r6g.medium": {"arm64", 1, 8192},
	} {
		kind := instanceTypes()[name]
		if kind == nil || !kind.runs(want.architecture) || kind.number("vcpus") != want.vcpus || kind.number("memory") != want.memory {
			t.Errorf("%s is %+v", name, kind)
		}
	}
	for name, kind := range instanceTypes() {
		if len(kind.architectures()) == 0 || kind.number("vcpus") == 0 || kind.number("memory") == 0 {
			t.Errorf("%s lacks something: %v", name, kind.fields)
		}
	}
}

func TestPlansOfVolumes(t *testing.T) {
	s := startServer(t, Options{})
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &call{server: s, service: "ec2", region: "us-east-1", caller: principal{account: DefaultAccount}, now: s.clock.Now()}
	for name, test := range map[string]struct {
		ebs  blockEBS
		code string
	}{
		"default is gp2":           {blockEBS{VolumeSize: new(int64(8))}, ""},
		"no size":                  {blockEBS{}, "MissingParameter"},
		"unknown type":             {blockEBS{VolumeSize: new(int64(8)), VolumeType: new("gp4")}, "InvalidParameterValue"},
		"iops on gp2":              {blockEBS{VolumeSize: new(int64(8)), VolumeType: new("gp2"), IOPS: new(int64(3000))}, "InvalidParameterCombination"},
		"io1 without iops":         {blockEBS{VolumeSize: new(int64(8)), VolumeType: new("io1")}, "MissingParameter"},
		"io1 iops to size":         {blockEBS{VolumeSize: new(int64(4)), VolumeType: new("io1"), IOPS: new(int64(300))}, "InvalidParameterCombination"},
		"io2":                      {blockEBS{VolumeSize: new(int64(4)), VolumeType: new("io2"), IOPS: new(int64(3000))}, ""},
		"gp3 little iops":          {blockEBS{VolumeSize: new(int64(8)), VolumeType: new("gp3"), IOPS: new(int64(100))}, "InvalidParameterValue"},
		"gp3 throughput":           {blockEBS{VolumeSize: new(int64(8)), VolumeType: new("gp3"), IOPS: new(int64(4000)), Throughput: new(int64(1000))}, ""},
		"gp3 throughput to iops":   {blockEBS{VolumeSize: new(int64(8)), VolumeType: new("gp3"), Throughput: new(int64(1000))}, "InvalidParameterCombination"},
		"throughput on gp2":        {blockEBS{VolumeSize: new(int64(8)), Throughput: new(int64(125))}, "InvalidParameterCombination"},
		"st1 too small":            {blockEBS{VolumeSize: new(int64(8)), VolumeType: new("st1")}, "InvalidParameterValue"},
		"standard too large":       {blockEBS{VolumeSize: new(int64(2000)), VolumeType: new("standard")}, "InvalidParameterValue"},
		"key without encryption":   {blockEBS{VolumeSize: new(int64(8)), KMSKeyID: new("alias/x")}, "InvalidParameterDependency"},
		"unknown key is not found": {blockEBS{VolumeSize: new(int64(8)), Encrypted: new(true), KMSKeyID: new("alias/x")}, ""},
	} {
		var v volumePlan
		err := v.decide(c, &test.ebs)
		if test.code == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if test.code != "" {
			wantCode(t, test.code, err)
		}
	}
}
