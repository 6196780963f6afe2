package localaws

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"
)

const allowGet = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`

// step is one call of a life and the code that it must end with.
type step struct {
	name string
	call func() error
	code string
}

func follow(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		err := s.call()
		if s.code != "" {
			wantAPIError(t, err, s.code)
		} else if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
}

func TestRoleAndProfileLife(t *testing.T) {
	s := startServer(t, Options{})
	c := iam.NewFromConfig(sdkConfig(t, s, DefaultAccount))
	ctx, name, core := t.Context(), aws.String("packer-x"), aws.String("arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")
	create := func() error {
		_, err := c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trustEC2), Path: aws.String("/build/")})
		return err
	}
	deleteRole := func() error { _, err := c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name}); return err }
	put := func() error {
		_, err := c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("p"), PolicyDocument: aws.String(allowGet)})
		return err
	}
	deletePolicy := func() error {
		_, err := c.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("p")})
		return err
	}
	attach := func() error {
		_, err := c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: core})
		return err
	}
	detach := func() error {
		_, err := c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: core})
		return err
	}
	createProfile := func() error {
		_, err := c.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: name})
		return err
	}
	deleteProfile := func() error {
		_, err := c.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: name})
		return err
	}
	add := func() error {
		_, err := c.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: name})
		return err
	}
	remove := func() error {
		_, err := c.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name, RoleName: name})
		return err
	}
	follow(t, []step{
		{"put before create", put, "NoSuchEntity"}, {"create", create, ""}, {"create again", create, "EntityAlreadyExists"},
		{"put", put, ""}, {"put again", put, ""}, {"delete with a policy", deleteRole, "DeleteConflict"},
		{"attach", attach, ""}, {"attach again", attach, ""},
		{"add before create", add, "NoSuchEntity"}, {"create profile", createProfile, ""}, {"create profile again", createProfile, "EntityAlreadyExists"},
		{"add", add, ""}, {"add again", add, "LimitExceeded"},
		{"delete in a profile", deleteRole, "DeleteConflict"}, {"delete profile with a role", deleteProfile, "DeleteConflict"},
	})
	wantLeft := []string{
		"iam instance profile arn:aws:iam::123456789012:instance-profile/packer-x",
		"iam role arn:aws:iam::123456789012:role/build/packer-x",
	}
	if diff := cmp.Diff(wantLeft, s.Leftovers()); diff != "" {
		t.Error(diff)
	}
	follow(t, []step{
		{"remove", remove, ""}, {"remove again", remove, "NoSuchEntity"}, {"delete profile", deleteProfile, ""}, {"delete profile again", deleteProfile, "NoSuchEntity"},
		{"delete attached", deleteRole, "DeleteConflict"}, {"detach", detach, ""}, {"detach again", detach, "NoSuchEntity"},
		{"delete with inline", deleteRole, "DeleteConflict"}, {"delete policy", deletePolicy, ""}, {"delete policy again", deletePolicy, "NoSuchEntity"},
		{"delete", deleteRole, ""}, {"delete again", deleteRole, "NoSuchEntity"},
	})
	if left := s.Leftovers(); len(left) != 0 {
		t.Error(left)
	}
}

func TestRoleIsReadBack(t *testing.T) {
	s := startServer(t, Options{})
	c := iam.NewFromConfig(sdkConfig(t, s, DefaultAccount))
	boundary := "arn:aws:iam::aws:policy/PowerUserAccess"
	_, err := c.CreateRole(t.Context(), &iam.CreateRoleInput{
		RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(trustEC2), Description: aws.String("d & e"),
		MaxSessionDuration: aws.Int32(7200), PermissionsBoundary: &boundary, Path: aws.String("/a/b/"),
		Tags: []iamtypes.Tag{{Key: aws.String("k"), Value: aws.String("")}},
	})
	ok(t, err)
	got, err := c.GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("R")})
	ok(t, err)
	trust, err := url.QueryUnescape(*got.Role.AssumeRolePolicyDocument)
	ok(t, err)
	if trust != trustEC2 || *got.Role.Arn != "arn:aws:iam::123456789012:role/a/b/r" || *got.Role.Description != "d & e" ||
		*got.Role.MaxSessionDuration != 7200 || *got.Role.PermissionsBoundary.PermissionsBoundaryArn != boundary ||
		!strings.HasPrefix(*got.Role.RoleId, "AROA") || len(*got.Role.RoleId) != 21 || *got.Role.Tags[0].Key != "k" {
		t.Errorf("%+v", got.Role)
	}
}

func TestPages(t *testing.T) {
	s := startServer(t, Options{})
	c := iam.NewFromConfig(sdkConfig(t, s, DefaultAccount))
	for i := range 5 {
		_, err := c.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String(fmt.Sprintf("p%d", i))})
		ok(t, err)
	}
	var names []string
	pages := iam.NewListInstanceProfilesPaginator(c, &iam.ListInstanceProfilesInput{MaxItems: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		ok(t, err)
		for _, p := range page.InstanceProfiles {
			names = append(names, *p.InstanceProfileName)
		}
	}
	if diff := cmp.Diff([]string{"p0", "p1", "p2", "p3", "p4"}, names); diff != "" {
		t.Error(diff)
	}
	_, err := c.ListRoles(t.Context(), &iam.ListRolesInput{Marker: aws.String("nonsense")})
	wantAPIError(t, err, "ValidationError")
}

func TestNamesAreChecked(t *testing.T) {
	s := startServer(t, Options{})
	c := iam.NewFromConfig(sdkConfig(t, s, DefaultAccount))
	for _, name := range []string{"with space", "slash/ed", strings.Repeat("x", 65), "ümlaut"} {
		_, err := c.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trustEC2)})
		wantAPIError(t, err, "ValidationError", "roleName")
	}
	_, err := c.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("r"), Path: aws.String("a"), AssumeRolePolicyDocument: aws.String(trustEC2)})
	wantAPIError(t, err, "ValidationError", "path")
	_, err = c.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String("{}")})
	wantAPIError(t, err, "MalformedPolicyDocument")
	_, err = c.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(trustEC2),
		Tags: []iamtypes.Tag{{Key: aws.String("aws:x"), Value: aws.String("v")}}})
	wantAPIError(t, err, "InvalidInput", "reserved")
	_, err = c.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("none"), PolicyName: aws.String("p"), PolicyDocument: aws.String("{")})
	wantAPIError(t, err, "NoSuchEntity", "The role with name none cannot be found.")
}

// What EC2 and the agent see of a profile: later than IAM itself does, and
// only what its role's policies and its boundary both allow.
func TestProfileAsServicesSeeIt(t *testing.T) {
	s := quietServer(t, Options{Delays: &Delays{IAMPropagation: 10 * time.Second}})
	now := s.clock.Now()
	s.clock.now = func() time.Time { return now }
	account := s.iam.accounts[DefaultAccount]
	role := newRole(DefaultAccount, "r", "/", now)
	role.trust, _ = parsePolicy(trustEC2)
	role.attached["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"] = now
	profile := &instanceProfile{server: s, account: DefaultAccount, name: "p", arn: "arn:aws:iam::123456789012:instance-profile/p", visibleAt: now.Add(10 * time.Second)}
	account.roles["r"], account.profiles["p"] = role, profile
	visible := func(want bool, why string) {
		t.Helper()
		for _, name := range []string{"p", profile.arn} {
			if got := s.instanceProfile(DefaultAccount, name) != nil; got != want {
				t.Errorf("%s: %s visible %v", why, name, got)
			}
		}
	}
	now = now.Add(10 * time.Second)
	visible(false, "without a role")
	profile.role, profile.visibleAt = role, now.Add(10*time.Second)
	visible(false, "role just added")
	now = now.Add(10 * time.Second)
	visible(true, "propagated")
	allows := func(want bool, why string) {
		t.Helper()
		if got := profile.allows("ssmmessages:OpenDataChannel", "*"); got != want {
			t.Errorf("%s: allows %v", why, got)
		}
	}
	allows(true, "managed policy")
	role.boundary = "arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess"
	allows(false, "boundary")
	role.boundary = ""
	role.attached["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"] = now
	allows(false, "attached a moment ago")
	now = now.Add(10 * time.Second)
	allows(true, "and seen later")
	delete(account.profiles, "p")
	allows(false, "profile deleted")
}
