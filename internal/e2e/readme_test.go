//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// readme are the blocks of one language that README.md shows, in order.
func readme(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, rest := range strings.Split(string(text), "```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(rest, "```")
		blocks = append(blocks, block)
	}
	return blocks
}

// policies are the caller's and the instance's.
func policies(t *testing.T) (caller, instance string) {
	t.Helper()
	blocks := readme(t, "json")
	if len(blocks) != 2 {
		t.Fatalf("README.md shows %d policies, want the caller's and the instance's", len(blocks))
	}
	return blocks[0], blocks[1]
}

// TestReadme builds the template that README.md shows, to the letter, by a caller who has the policy that it shows.
func TestReadme(t *testing.T) {
	caller, _ := policies(t)
	w := newWorld(t, localaws.Options{CallerPolicy: caller})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web.pkr.hcl"), []byte(readme(t, "hcl")[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must(dir, "init", ".")
	w.must(dir, "build", "-color=false", ".")
	w.nothingLeft(w.artifacts(w.images(1)...)...)
}

// TestReadmeFailedBuild is the same caller, whose build has more to remove.
func TestReadmeFailedBuild(t *testing.T) {
	caller, _ := policies(t)
	w := newWorld(t, localaws.Options{CallerPolicy: caller})
	w.fails(w.template(source("", `
  provisioner "shell" {
    inline = ["exit 7"]
  }`)), "exit status: 7")
}

// TestReadmeInstancePolicy builds with a profile whose role may do what README.md says, and no more.
func TestReadmeInstancePolicy(t *testing.T) {
	_, instance := policies(t)
	w := newWorld(t, localaws.Options{})
	const name = "by-the-readme"
	api := iam.NewFromConfig(w.config)
	_, err := api.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String(name), PolicyName: aws.String("agent"), PolicyDocument: &instance}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String(name)}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.AddRoleToInstanceProfile(t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String(name), RoleName: aws.String(name)}); err != nil {
		t.Fatal(err)
	}
	w.must(w.template(source(`iam_instance_profile = "`+name+`"`, `
  provisioner "shell" {
    inline = ["echo reached"]
  }`)), "build", "-color=false", ".")
	w.nothingLeft(append(w.artifacts(w.images(1)...), name)...)
}
