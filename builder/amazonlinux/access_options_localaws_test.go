//go:build linux

package amazonlinux_test

import (
	"context"
	"crypto/sha1" //nolint:gosec // that is how the SDK names the files of its SSO tokens
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// Each way to credentials ends in a build that is made with them.

// bareTemplate is a template that says nothing of access, for a build that makes no image.
func bareTemplate(more block) block {
	t := block{"instance_type": "t3.small", "ami_name": "web-1", "communicator": "none", "skip_create_ami": true}
	for key, value := range more {
		t[key] = value
	}
	return t
}

// launchers are who ran instances in earnest, and where.
func (w *world) launchers(since int) []string {
	var list []string
	for _, c := range w.aws.Calls()[since:] {
		if c.Action == "RunInstances" && !c.DryRun {
			list = append(list, c.Region+" "+c.Caller)
		}
	}
	return list
}

// temporary are credentials that expire.
func (w *world) temporary() aws.Credentials {
	w.Helper()
	id, secret := w.aws.Credentials(localaws.DefaultAccount)
	c := sts.New(sts.Options{Region: region, BaseEndpoint: aws.String(w.aws.URL()), Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
	role := w.role("ci", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`)
	out, err := c.AssumeRole(w.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String("static")})
	if err != nil {
		w.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: aws.ToString(out.Credentials.AccessKeyId), SecretAccessKey: aws.ToString(out.Credentials.SecretAccessKey), SessionToken: aws.ToString(out.Credentials.SessionToken)}
}

// role makes a role that may do everything and returns its ARN.
func (w *world) role(name, trust string) string {
	w.Helper()
	made, err := w.iam().CreateRole(w.Context(), &iam.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(trust)})
	if err == nil {
		_, err = w.iam().AttachRolePolicy(w.Context(), &iam.AttachRolePolicyInput{RoleName: aws.String(name), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
	}
	if err != nil {
		w.Fatal(err)
	}
	return aws.ToString(made.Role.Arn)
}

// Keys in the template are used before all others, and a temporary one with its token alone.
func TestStaticKeys(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	t.Setenv("AWS_ENDPOINT_URL", w.aws.URL())
	id, secret := w.aws.Credentials(localaws.OtherAccount)
	keys := w.temporary()
	for name, test := range map[string]struct {
		more block
		by   string
	}{
		"long-lived": {block{"region": west, "access_key": id, "secret_key": secret}, west + " arn:aws:iam::" + localaws.OtherAccount + ":user/builder"},
		"temporary": {
			block{"region": region, "access_key": keys.AccessKeyID, "secret_key": keys.SecretAccessKey, "token": keys.SessionToken},
			region + " arn:aws:sts::" + localaws.DefaultAccount + ":assumed-role/ci/static",
		},
	} {
		before := len(w.aws.Calls())
		r := w.build(t.Context(), bareTemplate(test.more), nil)
		if by := w.launchers(before); r.err != nil || !slices.Equal(by, []string{test.by}) {
			t.Errorf("%s: launched by %q, want %s; %v", name, by, test.by, r.err)
		}
	}
	r := w.build(t.Context(), bareTemplate(block{"region": region, "access_key": keys.AccessKeyID, "secret_key": keys.SecretAccessKey}), nil)
	if r.err == nil {
		t.Error("a temporary key works without its token")
	}
}

// A file in place of ~/.aws/credentials, and one of its profiles.
func TestSharedCredentialsFile(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	t.Setenv("AWS_ENDPOINT_URL", w.aws.URL())
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	var text string
	for name, account := range map[string]string{"ours": localaws.DefaultAccount, "theirs": localaws.OtherAccount} {
		id, secret := w.aws.Credentials(account)
		text += fmt.Sprintf("[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", name, id, secret)
	}
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for profile, account := range map[string]string{"ours": localaws.DefaultAccount, "theirs": localaws.OtherAccount} {
		before := len(w.aws.Calls())
		r := w.build(t.Context(), bareTemplate(block{"region": region, "profile": profile, "shared_credentials_file": file}), nil)
		if by := w.launchers(before); r.err != nil || len(by) != 1 || !strings.Contains(by[0], account) {
			t.Errorf("profile %s: launched by %q; %v", profile, by, r.err)
		}
	}
}

// A request is tried as often as the template says, and no oftener.
func TestMaxRetries(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	remove := w.aws.Inject(localaws.Fault{Action: "DescribeVpcs", Code: "RequestLimitExceeded", Times: -1})
	_, r := w.launched(block{"max_retries": 2})
	remove()
	tried := slices.DeleteFunc(w.aws.Calls(), func(c localaws.Call) bool { return c.Action != "DescribeVpcs" })
	if r.err == nil || !strings.Contains(r.err.Error(), "RequestLimitExceeded") || len(tried) != 2 {
		t.Errorf("tried %d times; %v", len(tried), r.err)
	}
	defer w.aws.Inject(localaws.Fault{Action: "DescribeVpcs", Code: "RequestLimitExceeded", Times: 2})()
	if _, r := w.launched(block{"max_retries": 3}); r.err != nil {
		t.Errorf("the third try is not made: %v", r.err)
	}
}

// The metadata service of the machine that Packer runs on is left alone where the template says so.
func TestSkipMetadataAPICheck(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	var asked atomic.Int64
	metadata := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		http.NotFound(rw, nil)
	}))
	t.Cleanup(metadata.Close)
	t.Setenv("AWS_ENDPOINT_URL", w.aws.URL())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.URL)
	t.Setenv("HOME", t.TempDir())
	for skip, want := range map[bool]bool{true: false, false: true} {
		asked.Store(0)
		r := w.build(t.Context(), bareTemplate(block{"region": region, "skip_metadata_api_check": skip}), nil)
		if r.err == nil || !strings.Contains(r.err.Error(), "credentials: none that work") || (asked.Load() > 0) != want {
			t.Errorf("skip_metadata_api_check = %v: asked %d times; %v", skip, asked.Load(), r.err)
		}
	}
}

// What narrows the role's session narrows the build, how long it lasts is what was asked for, and its tags are known
// to policies, those that are passed on to further roles, too.
func TestAssumeRoleSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	role := w.role("ci", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["sts:AssumeRole","sts:TagSession"],
		"Condition":{"StringEquals":{"sts:ExternalId":"ours"}}}]}`)
	as := func(more block) block {
		all := block{"role_arn": role, "external_id": "ours"}
		for k, v := range more {
			all[k] = v
		}
		return block{"assume_role": all}
	}
	looks, err := w.iam().CreatePolicy(t.Context(), &iam.CreatePolicyInput{PolicyName: aws.String("looks"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ec2:Describe*","ssm:Get*"],"Resource":"*"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.refused(as(block{"policy_arns": []string{aws.ToString(looks.Policy.Arn)}})); err == nil || !strings.Contains(err.Error(), "UnauthorizedOperation") {
		t.Errorf("narrowed to looks: %v", err)
	}
	if err := w.refused(as(block{"policy_arns": []string{"arn:aws:iam::aws:policy/AdministratorAccess"}})); err != nil {
		t.Errorf("not narrowed: %v", err)
	}
	// Longer than the role allows is refused by STS, so the number gets there.
	if err := w.refused(as(block{"duration_seconds": 7200})); err == nil || !strings.Contains(err.Error(), "MaxSessionDuration") {
		t.Errorf("two hours of a role that allows one: %v", err)
	}
	if err := w.refused(as(block{"duration_seconds": 3600})); err != nil {
		t.Errorf("an hour: %v", err)
	}
	there := w.teamRole("web")
	for name, test := range map[string]struct {
		session block
		works   bool
	}{
		"passed on":     {block{"tags": block{"Team": "web"}, "transitive_tag_keys": []string{"Team"}}, true},
		"not passed on": {block{"tags": block{"Team": "web"}}, false},
		"another team":  {block{"tags": block{"Team": "ops"}, "transitive_tag_keys": []string{"Team"}}, false},
	} {
		raw := w.unconnected(as(test.session))
		raw["ami_copy"], raw["ami_name"] = []block{{"role_arn": there}}, "web "+name
		if r := w.build(t.Context(), raw, nil); (r.err == nil) != test.works {
			t.Errorf("%s: %v", name, r.err)
		}
	}
}

// teamRole makes a role in the other account that sessions with the team's tag may use.
func (w *world) teamRole(team string) string {
	w.Helper()
	id, secret := w.aws.Credentials(localaws.OtherAccount)
	c := iam.New(iam.Options{Region: region, BaseEndpoint: aws.String(w.aws.URL()), Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
	made, err := c.CreateRole(w.Context(), &iam.CreateRoleInput{RoleName: aws.String("team"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`)})
	if err == nil {
		_, err = c.PutRolePolicy(w.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("team"), PolicyName: aws.String("copy"), PolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/Team":"` + team + `"}}}]}`)})
	}
	if err != nil {
		w.Fatal(err)
	}
	return aws.ToString(made.Role.Arn)
}

// Single sign-on: the token that `aws sso login` left is traded for a role's credentials, and the build is made with them.
func TestSSOProfile(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	keys := w.temporary()
	var token atomic.Value
	portal := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		token.Store(r.Header.Get("X-Amz-Sso_bearer_token") + " " + r.URL.RequestURI())
		_ = json.NewEncoder(rw).Encode(map[string]any{"roleCredentials": map[string]any{
			"accessKeyId": keys.AccessKeyID, "secretAccessKey": keys.SecretAccessKey, "sessionToken": keys.SessionToken,
			"expiration": time.Now().Add(time.Hour).UnixMilli(),
		}})
	}))
	t.Cleanup(portal.Close)
	home := t.TempDir()
	config := "[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n\n" +
		"[profile sso]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = builder\nregion = " + west + "\n"
	sum := sha1.Sum([]byte("corp")) //nolint:gosec // see the import
	for name, text := range map[string]string{
		filepath.Join(".aws", "config"): config,
		filepath.Join(".aws", "sso", "cache", hex.EncodeToString(sum[:])+".json"): fmt.Sprintf(
			`{"accessToken":"from-login","expiresAt":%q,"region":"us-east-1","startUrl":"https://corp.awsapps.com/start"}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)),
	} {
		file := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, ".aws", "config"))
	t.Setenv("AWS_ENDPOINT_URL", w.aws.URL())
	t.Setenv("AWS_ENDPOINT_URL_SSO", portal.URL)
	before := len(w.aws.Calls())
	r := w.build(t.Context(), bareTemplate(block{"profile": "sso"}), nil)
	want := []string{west + " arn:aws:sts::" + localaws.DefaultAccount + ":assumed-role/ci/static"}
	if by := w.launchers(before); r.err != nil || !slices.Equal(by, want) {
		t.Errorf("launched by %q, want %q; %v", by, want, r.err)
	}
	if got, _ := token.Load().(string); !strings.HasPrefix(got, "from-login /federation/credentials?account_id=123456789012&role_name=builder") {
		t.Errorf("the portal was asked %q", got)
	}
}

// The endpoints of the services are taken from the environment, each for itself, as those of VPC endpoints are given.
func TestEndpointsOfServices(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	var mine atomic.Int64
	iamAlone := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		mine.Add(1)
		rw.WriteHeader(http.StatusForbidden)
		fmt.Fprint(rw, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>here</Message></Error></ErrorResponse>`)
	}))
	t.Cleanup(iamAlone.Close)
	t.Setenv("AWS_ENDPOINT_URL_IAM", iamAlone.URL)
	// The profile's endpoint is for all; the environment's for one service wins over it.
	_, r := w.launched(nil)
	if r.err == nil || !strings.Contains(r.err.Error(), "launch: CreateRole: AccessDenied: here") || mine.Load() == 0 {
		t.Errorf("asked %d times; %v", mine.Load(), r.err)
	}
	for _, c := range w.aws.Calls() {
		if c.Service == "iam" {
			t.Errorf("IAM was asked elsewhere, too: %s", c.Action)
		}
	}
}

// The region of the template wins over the profile's, and nothing of the build is anywhere else.
func TestRegion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	r := w.build(t.Context(), w.unconnected(block{"region": europe}), nil)
	if id := r.regional(t)[europe]; id == "" {
		t.Errorf("artifact %s", r.artifact.Id())
	}
	for _, c := range w.aws.Calls() {
		if c.Service == "ec2" && c.Region != europe {
			t.Errorf("%s in %s", c.Action, c.Region)
		}
	}
	found, err := w.ec2In(localaws.DefaultAccount, region).DescribeInstances(context.WithoutCancel(t.Context()), &ec2.DescribeInstancesInput{})
	if err != nil || len(found.Reservations) > 0 {
		t.Errorf("instances elsewhere: %+v, %v", found, err)
	}
}
