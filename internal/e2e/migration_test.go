//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/taccoform/packer-plugin-ssm/internal/inspection"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

var update = flag.Bool("update", false, "write testdata/migration/*/after again")

// A move is a template of amazon-ebs's users in testdata/migration, in the form in which such templates are met in public
// repositories: before is what they have, after is what the guide of docs/migration.md makes of it.
type move struct {
	name   string
	region string   // of the images
	vars   []string // arguments of validate and of build
	build  []string // arguments of build alone
	images int
	copies []string                                      // regions with one more of each
	setUp  func(w *world, dir string) (environ []string) // what the template's owner has; may be nil
	inside map[string]string                             // what a script prints in the images
	// manifest is the file that the post-processor of that name writes, if there is one.
	manifest string
}

var moves = []move{
	{
		name: "eks-worker", region: "us-west-2", vars: []string{"-var-file=variables.json"}, images: 1,
		setUp:    func(*world, string) []string { return []string{"USER=ci"} },
		manifest: "manifest.json",
		inside:   map[string]string{"ls /etc/eks; test -e /tmp/worker || echo no working folder": "bootstrap.sh\nrelease\nuser-data-ran\nno working folder"},
	},
	{
		name: "ecs", region: "us-west-2", images: 2,
		inside: map[string]string{
			"cat /etc/docker-version": "25.0.8",
			`case $(cat /etc/ami-type) in al2023) test ! -e /etc/arm.conf;; al2023arm) cat /etc/arm.conf | grep -q arm=1;; esac && echo right`: "right",
		},
	},
	{
		name: "stack", region: "us-east-1", images: 1,
		inside: map[string]string{"/usr/local/bin/stack; cat /var/lib/stack/plugins/plugins/secrets/hook": "stack\nenvironment"},
	},
	{
		name: "golden", region: "us-east-1", images: 1, copies: []string{"us-west-2"}, setUp: setUpGolden,
		build:  []string{"-only=golden.ssm-amazon-linux.golden"},
		inside: map[string]string{"cut -c1-4 /etc/golden-release; grep -c ip_forward /etc/sysctl.d/90-hardening.conf": "ami-\n1"},
	},
	{
		name: "spot", region: "us-east-1", images: 1,
		inside: map[string]string{"cat /etc/batch/purpose; ls /etc/batch": "batch\nbootstrapped\npurpose"},
	},
	{
		name: "private", region: "us-east-1", images: 1, setUp: setUpPrivate,
		inside: map[string]string{"cat /etc/private/state": "configured"},
	},
	{
		name: "keypair", region: "eu-west-1", images: 1, setUp: setUpKeyPair,
		inside: map[string]string{"cat /etc/docker-ami": "1.4.2"},
	},
	{
		name: "fleet", region: "us-east-1", images: 2, vars: []string{"-var-file=vars/release.pkrvars.hcl"},
		build:  []string{"-except=bastion.*", "-var=database_password=hidden", "-force", "-parallel-builds=1", "-timestamp-ui"},
		inside: map[string]string{`grep -qx "fleet 7 w[a-z]* by ssm-amazon-linux" /etc/fleet && echo right`: "right"},
	},
}

func setUpGolden(w *world, _ string) []string {
	const region = "us-east-1"
	vpc, subnets := w.placement(region)
	w.tag(region, "Tier", "private", subnets[:2]...)
	w.group(region, vpc, "packer-builders")
	w.endpoints(region, vpc, subnets[:2]...)
	return []string{
		`PKR_VAR_account_ids=["` + localaws.OtherAccount + `"]`, `PKR_VAR_copy_regions=["us-west-2"]`,
		"PKR_VAR_role_arn=" + w.builderRole("packer-golden", "golden"), "PKR_VAR_kms_key_id=" + w.key(region),
		`PKR_VAR_region_kms_key_ids={us-west-2="` + w.key("us-west-2") + `"}`,
	}
}

func setUpPrivate(w *world, _ string) []string {
	vpc, subnets := w.placement("us-east-1")
	w.profile("session-manager")
	return []string{"PKR_VAR_vpc_id=" + vpc, "PKR_VAR_subnet_id=" + subnets[0], "PKR_VAR_iam_instance_profile=session-manager"}
}

func setUpKeyPair(w *world, dir string) []string {
	const region, name = "eu-west-1", "packer-builders-eu-west-1"
	vpc, subnets := w.placement(region)
	w.tag(region, "Name", "placement-a", subnets[0])
	w.group(region, vpc, name)
	w.profile(name)
	w.keyPair(region, name, filepath.Join(dir, "builder_key"))
	return nil
}

// TestMigration follows the guide from each template to one that builds. A template that needs more than the guide says
// is an error of the guide, or of the builder.
func TestMigration(t *testing.T) {
	for _, m := range moves {
		t.Run(m.name, func(t *testing.T) {
			w := newWorld(t, localaws.Options{})
			before := w.copied("migration/" + m.name + "/before")
			if m.setUp != nil {
				w.packer = w.packer.With(m.setUp(w, before)...)
			}
			kept := w.aws.Leftovers()
			w.must(before, slices.Concat([]string{"validate"}, m.vars, []string{target(before)})...)
			w.follow(before, m.vars...)
			w.same(before, filepath.Join("testdata", "migration", m.name, "after"))
			w.builds(&m, before, kept)
		})
	}
}

// same compares the templates in dir with the wanted ones, or writes these again. What else a template needs is before's.
func (w *world) same(dir, want string) {
	w.Helper()
	if *update {
		if err := os.MkdirAll(want, 0o755); err != nil {
			w.Fatal(err)
		}
	}
	for _, path := range templates(w, dir) {
		text, err := os.ReadFile(path)
		if err != nil {
			w.Fatal(err)
		}
		wanted := filepath.Join(want, filepath.Base(path))
		if *update {
			if err := os.WriteFile(wanted, text, 0o644); err != nil { //nolint:gosec // it goes into the repository
				w.Fatal(err)
			}
		}
		if kept, err := os.ReadFile(wanted); err != nil || !bytes.Equal(text, kept) {
			w.Errorf("%s is not what the guide makes of its template (%v); go test ./internal/e2e -run TestMigration -update writes it again:\n%s", wanted, err, text)
		}
	}
}

// builds builds the moved template and looks at what it made.
func (w *world) builds(m *move, dir string, kept []string) {
	w.Helper()
	w.must(dir, slices.Concat([]string{"build", "-color=false", "-on-error=cleanup"}, m.vars, m.build, []string{target(dir)})...)
	for _, region := range m.copies {
		w.config.Region = region
		kept = append(kept, w.artifacts(w.images(m.images)...)...)
	}
	w.config.Region = m.region
	images := w.images(m.images)
	w.nothingLeft(append(kept, w.artifacts(images...)...)...)
	if m.manifest != "" {
		w.manifest(filepath.Join(dir, m.manifest), m.region, images[0])
	}
	for _, image := range images {
		w.inside(image, func(ctx context.Context, guest *inspection.Guest) {
			for script, want := range m.inside {
				w.reads(ctx, guest, script, want)
			}
			w.untouched(ctx, guest)
		})
	}
}

// manifest reads what the scripts after a build read: which image it made, and of which.
func (w *world) manifest(file, region, image string) {
	w.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		w.Fatal(err)
	}
	var written struct {
		Builds []struct {
			ArtifactID string            `json:"artifact_id"`
			Type       string            `json:"builder_type"`
			Custom     map[string]string `json:"custom_data"`
		} `json:"builds"`
	}
	if err := json.Unmarshal(text, &written); err != nil || len(written.Builds) != 1 {
		w.Fatalf("%v: %s", err, text)
	}
	build := written.Builds[0]
	if build.ArtifactID != region+":"+image || !strings.HasPrefix(build.Custom["source_ami_id"], "ami-") || !strings.HasPrefix(build.Custom["source_ami_name"], "amzn2-ami-") {
		w.Errorf("the manifest has %+v, want the artifact %s:%s and its source", build, region, image)
	}
}
