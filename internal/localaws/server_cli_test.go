package localaws

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// awsCLI finds the AWS CLI, whose botocore parses every answer by AWS's own
// service models. Where there is none that is new enough the test is skipped,
// unless REQUIRE_AWS_CLI says that there has to be one.
func awsCLI(t *testing.T) string {
	t.Helper()
	path, version := findCLI()
	if newEnough(version) {
		return path
	}
	if os.Getenv("REQUIRE_AWS_CLI") == "true" {
		t.Fatalf("the AWS CLI is %q; REQUIRE_AWS_CLI wants 1.33, 2.17 or later", version)
	}
	t.Skipf("there is no AWS CLI 1.33, 2.17 or later here (%q); tools/prereqs test installs it where the distribution has it", version)
	return ""
}

var findCLI = sync.OnceValues(func() (path, version string) {
	path, err := exec.LookPath("aws")
	if err != nil {
		return "", ""
	}
	out, err := exec.CommandContext(context.Background(), path, "--version").CombinedOutput()
	if err != nil {
		return "", ""
	}
	version, _ = strings.CutPrefix(string(out), "aws-cli/")
	version, _, _ = strings.Cut(version, " ")
	return path, version
})

// newEnough tells whether a CLI knows the calls of the tests, and AWS_ENDPOINT_URL; tools/prereqs has the same rule.
func newEnough(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 2 || major == 2 && minor >= 17 || major == 1 && minor >= 33
}

// cli runs one AWS CLI command, its words separated by spaces, with extra
// settings in its environment, and answers what it printed.
func cli(t *testing.T, s *Server, words string, env ...string) (stdout, stderr string) {
	t.Helper()
	path, args := awsCLI(t), strings.Fields(words)
	env = append(append(s.Environ(), "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1", "NO_PROXY=127.0.0.1"), env...)
	var out, errs []byte
	if host, err := startCLIHost(); err != nil {
		t.Fatal(err)
	} else if host != nil {
		out, errs, err = host.run(args, env)
		ok(t, err)
	} else {
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Env = append(os.Environ(), env...)
		var o, e bytes.Buffer
		cmd.Stdout, cmd.Stderr = &o, &e
		_ = cmd.Run() // what it printed tells
		out, errs = o.Bytes(), e.Bytes()
	}
	return string(bytes.TrimSpace(out)), string(bytes.TrimSpace(errs))
}

// A cliHost is testdata/clihost.py, which runs the CLI's commands.
type cliHost struct {
	cmd    *exec.Cmd
	socket string
}

// startCLIHost starts the host, once. It is nil where the CLI is not a package of python3.
var startCLIHost = sync.OnceValues(func() (*cliHost, error) {
	_, version := findCLI()
	importable, err := exec.CommandContext(context.Background(), "python3", "-c", "import awscli; print(awscli.__version__)").Output()
	if err != nil || strings.TrimSpace(string(importable)) != version {
		return nil, nil //nolint:nilerr // version 2 has an interpreter of its own
	}
	h := &cliHost{cmd: exec.CommandContext(context.Background(), "python3", "testdata/clihost.py")}
	h.cmd.Stderr = os.Stderr
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	if h.socket, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("testdata/clihost.py: %w", errors.Join(err, h.cmd.Wait()))
	}
	h.socket = strings.TrimSpace(h.socket)
	stopCLIHost = func() error { return errors.Join(h.cmd.Process.Signal(os.Interrupt), h.cmd.Wait()) }
	return h, nil
})

// stopCLIHost ends the host if it was started.
var stopCLIHost = func() error { return nil }

func (h *cliHost) run(args, env []string) (stdout, stderr []byte, err error) {
	settings := map[string]string{}
	for _, setting := range env {
		name, value, _ := strings.Cut(setting, "=")
		settings[name] = value
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: h.socket, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(map[string]any{"args": args, "env": settings}); err != nil {
		return nil, nil, err
	}
	if err := conn.CloseWrite(); err != nil {
		return nil, nil, err
	}
	var answer struct{ Out, Err string }
	err = json.NewDecoder(conn).Decode(&answer)
	return []byte(answer.Out), []byte(answer.Err), err
}

// wantCLI runs a command whose --query must print want.
func wantCLI(t *testing.T, s *Server, words, want string) {
	t.Helper()
	out, errs := cli(t, s, words+" --output text")
	if strings.Join(strings.Fields(out), " ") != want || errs != "" {
		t.Errorf("aws %s\nprinted %q %s\nwant    %q", words, out, errs, want)
	}
}

const compactTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

func TestCLIReadsIAM(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{})
	const document = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	for _, test := range []struct{ words, want string }{
		{"iam create-role --role-name r --path /p/ --description d --max-session-duration 7200 --tags Key=a,Value=b --assume-role-policy-document " + compactTrust +
			" --query Role.[RoleName,Path,Arn,MaxSessionDuration,Tags[0].Value]", "r /p/ arn:aws:iam::123456789012:role/p/r 7200 b"},
		{"iam get-role --role-name r --query Role.[Description,AssumeRolePolicyDocument.Statement[0].Action]", "d sts:AssumeRole"},
		{"iam list-roles --query Roles[].RoleName", "r"},
		{"iam put-role-policy --role-name r --policy-name p --policy-document " + document, ""},
		{"iam get-role-policy --role-name r --policy-name p --query PolicyDocument.Statement[0].Action", "s3:GetObject"},
		{"iam list-role-policies --role-name r --query PolicyNames", "p"},
		{"iam create-policy --policy-name own --policy-document " + document + " --query Policy.[Arn,AttachmentCount]", "arn:aws:iam::123456789012:policy/own 0"},
		{"iam attach-role-policy --role-name r --policy-arn arn:aws:iam::123456789012:policy/own", ""},
		{"iam get-policy --policy-arn arn:aws:iam::123456789012:policy/own --query Policy.[AttachmentCount,DefaultVersionId]", "1 v1"},
		{"iam get-policy-version --policy-arn arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore --version-id v1 --query PolicyVersion.Document.Statement[2].Action[0]", "ec2messages:AcknowledgeMessage"},
		{"iam list-attached-role-policies --role-name r --query AttachedPolicies[].PolicyName", "own"},
		{"iam list-policies --scope Local --query Policies[].PolicyName", "own"},
		{"iam tag-role --role-name r --tags Key=c,Value=d", ""},
		{"iam untag-role --role-name r --tag-keys a", ""},
		{"iam list-role-tags --role-name r --query Tags[].Key", "c"},
		{"iam create-instance-profile --instance-profile-name ip --query InstanceProfile.[InstanceProfileName,length(Roles)]", "ip 0"},
		{"iam add-role-to-instance-profile --instance-profile-name ip --role-name r", ""},
		{"iam get-instance-profile --instance-profile-name ip --query InstanceProfile.Roles[].RoleName", "r"},
		{"iam list-instance-profiles-for-role --role-name r --query InstanceProfiles[].InstanceProfileName", "ip"},
		{"iam list-instance-profiles --query InstanceProfiles[].Arn", "arn:aws:iam::123456789012:instance-profile/ip"},
		{"iam simulate-principal-policy --policy-source-arn arn:aws:iam::123456789012:role/p/r --action-names s3:GetObject ec2:RunInstances --query EvaluationResults[].EvalDecision", "allowed implicitDeny"},
		{"iam get-user --query User.UserName", "builder"},
		{"iam update-assume-role-policy --role-name r --policy-document " + compactTrust, ""},
		{"iam list-account-aliases --query length(AccountAliases)", "0"},
	} {
		wantCLI(t, s, test.words, test.want)
	}
}

func TestCLIReadsSTSAndKMS(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{})
	wantCLI(t, s, "sts get-caller-identity --query [Account,Arn]", "123456789012 arn:aws:iam::123456789012:user/builder")
	wantCLI(t, s, "sts assume-role --role-session-name me --role-arn arn:aws:iam::210987654321:role/OrganizationAccountAccessRole --query AssumedRoleUser.Arn",
		"arn:aws:sts::210987654321:assumed-role/OrganizationAccountAccessRole/me")
	wantCLI(t, s, "sts get-session-token --query starts_with(Credentials.AccessKeyId,'ASIA')", "True")
	key, errs := cli(t, s, "kms create-key --description mine --query KeyMetadata.KeyId --output text")
	if errs != "" {
		t.Fatal(errs)
	}
	wantCLI(t, s, "kms create-alias --alias-name alias/mine --target-key-id "+key, "")
	wantCLI(t, s, "kms list-aliases --query Aliases[].AliasName", "alias/aws/ebs alias/mine")
	wantCLI(t, s, "kms describe-key --key-id alias/mine --query KeyMetadata.[Description,KeyState,KeyManager,MultiRegion]", "mine Enabled CUSTOMER False")
	sealed, _ := cli(t, s, "kms generate-data-key --key-id alias/mine --key-spec AES_256 --encryption-context a=b")
	var generated struct{ CiphertextBlob, Plaintext string }
	ok(t, json.Unmarshal([]byte(sealed), &generated))
	blob := t.TempDir() + "/blob"
	writeBase64(t, blob, generated.CiphertextBlob)
	wantCLI(t, s, "kms decrypt --ciphertext-blob fileb://"+blob+" --encryption-context a=b --query Plaintext", generated.Plaintext)
	_, errs = cli(t, s, "kms decrypt --ciphertext-blob fileb://"+blob+" --encryption-context a=c")
	wantWords(t, errs, "(InvalidCiphertextException)")
	wantCLI(t, s, "kms schedule-key-deletion --pending-window-in-days 7 --key-id "+key+" --query KeyState", "PendingDeletion")
	_, errs = cli(t, s, "kms describe-key --key-id alias/none")
	wantWords(t, errs, "(NotFoundException)", "Alias arn:aws:kms:us-east-1:123456789012:alias/none is not found.")
}

func TestCLIIsRefused(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{CallerPolicy: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:Get*","Resource":"*"}}`})
	for _, test := range []struct {
		words string
		env   string
		want  []string
	}{
		{"sts get-caller-identity", "AWS_SECRET_ACCESS_KEY=wrong", []string{"(SignatureDoesNotMatch)", "GetCallerIdentity"}},
		{"ec2 describe-regions", "AWS_SECRET_ACCESS_KEY=wrong", []string{"(AuthFailure)", "DescribeRegions", "AWS was not able to validate the provided access credentials"}},
		{"kms list-keys", "AWS_ACCESS_KEY_ID=AKIAUNKNOWN", []string{"(UnrecognizedClientException)"}},
		{"iam get-user", "AWS_SESSION_TOKEN=stray", []string{"(InvalidClientTokenId)"}},
		{"iam get-role --role-name none", "A=", []string{"(NoSuchEntity)", "The role with name none cannot be found."}},
		{"iam list-roles", "A=", []string{"(AccessDenied)", "because no identity-based policy allows the iam:ListRoles action"}},
		{"kms list-keys", "A=", []string{"(AccessDeniedException)", "kms:ListKeys"}},
	} {
		_, errs := cli(t, s, test.words, test.env)
		wantWords(t, errs, test.want...)
	}
}

func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q has no %q", text, word)
		}
	}
}

func writeBase64(t *testing.T, path, text string) {
	t.Helper()
	plain, err := base64.StdEncoding.DecodeString(text)
	ok(t, err)
	ok(t, os.WriteFile(path, plain, 0o600))
}
