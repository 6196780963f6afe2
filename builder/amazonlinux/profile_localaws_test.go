//go:build linux

package amazonlinux_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

func (w *world) iam() *iam.Client {
	id, secret := w.aws.Credentials(localaws.DefaultAccount)
	return iam.New(iam.Options{Region: region, BaseEndpoint: aws.String(w.aws.URL()), Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
}

func (w *world) ssm() *ssm.Client {
	id, secret := w.aws.Credentials(localaws.DefaultAccount)
	return ssm.New(ssm.Options{Region: region, BaseEndpoint: aws.String(w.aws.URL()), Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
}

// policy makes a managed policy that allows everything.
func (w *world) policy(name string) string {
	w.Helper()
	made, err := w.iam().CreatePolicy(w.Context(), &iam.CreatePolicyInput{
		PolicyName:     aws.String(name),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`),
	})
	if err != nil {
		w.Fatal(err)
	}
	return aws.ToString(made.Policy.Arn)
}

// roleOf is the name of the role of an instance profile that is given by its ARN.
func roleOf(profile string) string { return profile[strings.LastIndex(profile, "/")+1:] }

// withoutPolicies drops the managed policies that a test made itself.
func withoutPolicies(left []string) []string {
	return slices.DeleteFunc(left, func(line string) bool { return strings.Contains(line, "policy") && !strings.Contains(line, "role") })
}

func TestTemporaryRoleExtras(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{Profile: localaws.Demo})
	boundary, extra := w.policy("boundary"), w.policy("extra")
	var role *iam.GetRoleOutput
	var attached *iam.ListAttachedRolePoliciesOutput
	r := w.build(t.Context(), w.template(block{
		"iam_mode": "temporary", "temporary_iam_instance_profile_path": "/ci/packer/", "skip_create_ami": true,
		"temporary_iam_instance_profile_permissions_boundary": boundary,
		"temporary_iam_instance_profile_policy_arns":          []string{extra, "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"},
	}), func(ctx context.Context, _ packersdk.Communicator, _ map[string]any) error {
		profiles, err := w.iam().ListInstanceProfiles(ctx, &iam.ListInstanceProfilesInput{PathPrefix: aws.String("/ci/packer/")})
		if err != nil {
			return err
		}
		if len(profiles.InstanceProfiles) != 1 {
			return fmt.Errorf("%d profiles under the path", len(profiles.InstanceProfiles))
		}
		name := profiles.InstanceProfiles[0].InstanceProfileName
		if role, err = w.iam().GetRole(ctx, &iam.GetRoleInput{RoleName: name}); err != nil {
			return err
		}
		attached, err = w.iam().ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: name})
		return err
	})
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	if b := role.Role.PermissionsBoundary; aws.ToString(role.Role.Path) != "/ci/packer/" || b == nil || aws.ToString(b.PermissionsBoundaryArn) != boundary {
		t.Errorf("role %+v", role.Role)
	}
	if len(attached.AttachedPolicies) != 2 {
		t.Errorf("attached: %+v", attached.AttachedPolicies)
	}
	if left := withoutPolicies(w.leftovers(nil)); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Builds that miss the shared profile at the same moment make one between
// them, and a later one finds it and changes nothing.
func TestSharedProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{Profile: localaws.Demo})
	template := func(name string) block {
		return w.template(block{"ami_name": name, "shared_iam_instance_profile": "builders", "skip_create_ami": true})
	}
	const builds = 3
	results := make(chan result, builds)
	for i := range builds {
		go func() { results <- w.build(t.Context(), template(fmt.Sprintf("web-%d", i)), touch) }()
	}
	for range builds {
		if r := <-results; r.err != nil {
			t.Errorf("%v\n%s", r.err, r.ui)
		}
	}
	found, err := w.iam().GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: aws.String("builders")})
	if err != nil || len(found.InstanceProfile.Roles) != 1 {
		t.Fatalf("shared profile %+v, %v", found, err)
	}
	for _, tag := range found.InstanceProfile.Tags {
		if strings.HasSuffix(aws.ToString(tag.Key), ":expires") || strings.HasSuffix(aws.ToString(tag.Key), ":build") {
			t.Errorf("what builds share has a tag of one: %s", aws.ToString(tag.Key))
		}
	}
	before := len(w.actions())
	if r := w.build(t.Context(), template("web-later"), touch); r.err != nil {
		t.Errorf("%v\n%s", r.err, r.ui)
	}
	for _, action := range w.actions()[before:] {
		if strings.HasPrefix(action, "iam:") && action != "iam:GetInstanceProfile" {
			t.Errorf("a build that finds the shared profile calls %s", action)
		}
	}
	left := slices.DeleteFunc(w.leftovers(nil), func(line string) bool { return strings.Contains(line, "builders") })
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A build that died over the shared profile leaves it to the next to make it whole.
func TestSharedProfileIsMadeWhole(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"CreateRole", "PutRolePolicy", "CreateInstanceProfile", "AddRoleToInstanceProfile"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{NoMachines: true})
			remove := w.aws.Inject(localaws.Fault{Action: action, Deny: true, Times: -1})
			shared := block{"shared_iam_instance_profile": "builders"}
			if _, r := w.launched(shared); r.err == nil {
				t.Fatal("built without a profile")
			}
			remove()
			if i, r := w.launched(shared); r.err != nil || i.IamInstanceProfile == nil || roleOf(aws.ToString(i.IamInstanceProfile.Arn)) != "builders" {
				t.Errorf("profile %+v, error %v", i.IamInstanceProfile, r.err)
			}
		})
	}
}

func TestExistingProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	if _, r := w.launched(block{"shared_iam_instance_profile": "builders"}); r.err != nil {
		t.Fatal(r.err)
	}
	for name, more := range map[string]block{
		"by mode":               {"iam_mode": "existing", "iam_instance_profile": "builders"},
		"without looking":       {"iam_instance_profile": "builders", "skip_profile_validation": true},
		"shared, not looked at": {"shared_iam_instance_profile": "builders", "skip_profile_validation": true},
	} {
		before := len(w.actions())
		i, r := w.launched(more)
		if r.err != nil || i.IamInstanceProfile == nil || roleOf(aws.ToString(i.IamInstanceProfile.Arn)) != "builders" {
			t.Errorf("%s: profile %+v, error %v", name, i.IamInstanceProfile, r.err)
		}
		looked := slices.Contains(w.actions()[before:], "iam:GetInstanceProfile")
		if skip, _ := more["skip_profile_validation"].(bool); looked == skip {
			t.Errorf("%s: looked at the profile: %v", name, looked)
		}
	}
}

// Default Host Management gives the agent its permissions: no role, no profile, and a session all the same.
func TestDefaultHostManagement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	raw := w.template(block{"iam_mode": "default_host_management", "skip_create_ami": true})
	if r := w.build(t.Context(), raw, touch); r.err == nil || !strings.Contains(r.err.Error(), "plan: iam_mode: Default Host Management is off") {
		t.Errorf("while it is off: %v", r.err)
	}
	w.nothingLeft(result{ui: new(recorder)})
	w.hostManagement()
	before := len(w.actions())
	r := w.build(t.Context(), raw, touch)
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	for _, action := range w.actions()[before:] {
		if strings.HasPrefix(action, "iam:") {
			t.Errorf("called %s", action)
		}
	}
	left := slices.DeleteFunc(w.leftovers(nil), func(line string) bool { return strings.Contains(line, "host-management") })
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// hostManagement switches Default Host Management on.
func (w *world) hostManagement() {
	w.Helper()
	const name = "host-management"
	ctx, c := w.Context(), w.iam()
	_, err := c.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName:                 aws.String(name),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ssm.amazonaws.com"},"Action":"sts:AssumeRole"}]}`),
	})
	if err == nil {
		_, err = c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String(name), PolicyArn: aws.String("arn:aws:iam::aws:policy/AmazonSSMManagedEC2InstanceDefaultPolicy")})
	}
	if err == nil {
		_, err = w.ssm().UpdateServiceSetting(ctx, &ssm.UpdateServiceSettingInput{
			SettingId: aws.String("/ssm/managed-instance/default-ec2-instance-management-role"), SettingValue: aws.String(name),
		})
	}
	if err != nil {
		w.Fatal(err)
	}
}
