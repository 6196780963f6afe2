package localaws

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
)

const latestAL2 = "/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2"

// makeProfile makes a role that agents may use, in an instance profile of the same name.
func makeProfile(t *testing.T, s *Server, name string) {
	t.Helper()
	c := iam.NewFromConfig(sdkConfig(t, s, DefaultAccount))
	_, err := c.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(compactTrust)})
	ok(t, err)
	_, err = c.AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{
		RoleName: &name, PolicyArn: aws.String("arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"),
	})
	ok(t, err)
	_, err = c.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: &name})
	ok(t, err)
	_, err = c.AddRoleToInstanceProfile(t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &name, RoleName: &name})
	ok(t, err)
}

// launch runs an instance of the latest AL2 with a profile, or without one.
func launch(t *testing.T, s *Server, profile string) string {
	t.Helper()
	return launchImage(t, s, profile, latestAL2)
}

// launchImage runs an instance of the image that a public parameter names.
func launchImage(t *testing.T, s *Server, profile, parameter string) string {
	t.Helper()
	in := &ec2.RunInstancesInput{
		ImageId: aws.String("resolve:ssm:" + parameter), InstanceType: ec2types.InstanceTypeT3Small, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
	}
	if profile != "" {
		in.IamInstanceProfile = &ec2types.IamInstanceProfileSpecification{Name: &profile}
	}
	out, err := ec2.NewFromConfig(sdkConfig(t, s, DefaultAccount)).RunInstances(t.Context(), in)
	ok(t, err)
	return *out.Instances[0].InstanceId
}

func ssmClient(t *testing.T, s *Server) *ssm.Client {
	t.Helper()
	return ssm.NewFromConfig(sdkConfig(t, s, DefaultAccount))
}

// until polls what can be seen from outside.
func until(t *testing.T, what string, seen func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !seen(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not seen within a minute", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func untilOnline(t *testing.T, s *Server, id string) {
	t.Helper()
	c := ssmClient(t, s)
	until(t, id+" online", func() bool {
		out, err := c.GetConnectionStatus(t.Context(), &ssm.GetConnectionStatusInput{Target: &id})
		ok(t, err)
		return out.Status == ssmtypes.ConnectionStatusConnected
	})
}

// online launches an instance and waits until its agent is online.
func online(t *testing.T, s *Server) (*Server, string) {
	t.Helper()
	makeProfile(t, s, "agents")
	id := launch(t, s, "agents")
	untilOnline(t, s, id)
	return s, id
}

func TestCLIReadsSSM(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s, id := online(t, startServer(t, Options{}))
	for _, test := range []struct{ words, want string }{
		{"ssm describe-instance-information --query InstanceInformationList[].[InstanceId,PingStatus,PlatformType,ResourceType]", id + " Online Linux EC2Instance"},
		{"ssm describe-instance-information --filters Key=InstanceIds,Values=" + id + " --query InstanceInformationList[].AgentVersion", platform{}.agentVersion()},
		{"ssm describe-instance-information --filters Key=PingStatus,Values=ConnectionLost --query length(InstanceInformationList)", "0"},
		{"ssm describe-instance-information --instance-information-filter-list key=InstanceIds,valueSet=" + id + " --query length(InstanceInformationList)", "1"},
		{"ssm get-connection-status --target " + id + " --query [Target,Status]", id + " connected"},
		{"ssm get-connection-status --target i-00000000000000000 --query Status", "notconnected"},
		{"ssm get-parameter --name " + latestAL2 + " --query Parameter.[DataType,starts_with(Value,'ami-'),Type]", "aws:ec2:image True String"},
		{"ssm get-parameters --names " + latestAL2 + " none --query [length(Parameters),InvalidParameters[0]]", "1 none"},
		{"ssm put-parameter --name /a/b --type String --value one --query [Version,Tier]", "1 Standard"},
		{"ssm put-parameter --name /a/b --value two --overwrite --query Version", "2"},
		{"ssm put-parameter --name /a/c/d --type SecureString --value secret --query Version", "1"},
		{"ssm get-parameter --name /a/b:1 --query Parameter.[Value,Selector]", "one :1"},
		{"ssm get-parameter --name /a/c/d --with-decryption --query Parameter.Value", "secret"},
		{"ssm get-parameter --name /a/c/d --query Parameter.Value!='secret'", "True"},
		{"ssm get-parameters-by-path --path /a --query Parameters[].Name", "/a/b"},
		{"ssm get-parameters-by-path --path /a --recursive --query Parameters[].Name", "/a/b /a/c/d"},
		{"ssm describe-parameters --parameter-filters Key=Type,Values=SecureString --query Parameters[].Name", "/a/c/d"},
		{"ssm delete-parameter --name /a/b", ""},
		{"ssm delete-parameters --names /a/b /a/c/d --query [DeletedParameters[0],InvalidParameters[0]]", "/a/c/d /a/b"},
		{"ssm get-document --name AWS-StartPortForwardingSession --query [DocumentType,Status]", "Session Active"},
		{"ssm describe-document --name AWS-RunShellScript --query Document.[Owner,Parameters[0].Name,SchemaVersion]", "Amazon commands 1.2"},
		{"ssm list-documents --filters Key=DocumentType,Values=Command --query DocumentIdentifiers[].Name", "AWS-RunShellScript"},
		{`ssm create-document --name mine --document-type Session --content {"schemaVersion":"1.0","sessionType":"Port","properties":{"portNumber":"22"}} --query DocumentDescription.[Name,Owner]`, "mine 123456789012"},
		{"ssm list-documents --filters Key=Owner,Values=Self --query DocumentIdentifiers[].Name", "mine"},
		{"ssm delete-document --name mine", ""},
		{"ssm get-service-setting --setting-id " + hostManagementSetting + " --query ServiceSetting.[SettingValue,Status]", "$None Default"},
		{"ssm update-service-setting --setting-value agents --setting-id " + hostManagementSetting, ""},
		{"ssm get-service-setting --setting-id " + hostManagementSetting + " --query ServiceSetting.Status", "Customized"},
		{"ssm reset-service-setting --setting-id " + hostManagementSetting + " --query ServiceSetting.SettingValue", "$None"},
		{"ssm describe-sessions --state Active --query length(Sessions)", "0"},
	} {
		wantCLI(t, s, test.words, test.want)
	}
}

func TestCLIReadsCommands(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s, id := online(t, startServer(t, Options{}))
	command, errs := cli(t, s, `ssm send-command --document-name AWS-RunShellScript --comment mine --instance-ids `+id+
		` --parameters {"commands":["true"]} --query Command.CommandId --output text`)
	if errs != "" {
		t.Fatal(errs)
	}
	of := " --command-id " + command
	until(t, "end of the command", func() bool {
		out, _ := cli(t, s, "ssm get-command-invocation --instance-id "+id+of+" --query Status --output text")
		return out == "Success"
	})
	for _, test := range []struct{ words, want string }{
		{"ssm get-command-invocation --instance-id " + id + of + " --query [ResponseCode,PluginName,StatusDetails,Comment]", "0 aws:runShellScript Success mine"},
		{"ssm list-commands" + of + " --query Commands[].[Status,DocumentName,TargetCount,CompletedCount,ErrorCount,TimeoutSeconds]", "Success AWS-RunShellScript 1 1 0 3600"},
		{"ssm list-commands --filters key=Status,value=Failed --query length(Commands)", "0"},
		{"ssm list-command-invocations --details" + of + " --query CommandInvocations[].[InstanceId,CommandPlugins[0].Name]", id + " aws:runShellScript"},
		{"ssm list-command-invocations" + of + " --query length(CommandInvocations[0].CommandPlugins)", "0"},
		{"ssm cancel-command" + of, ""},
	} {
		wantCLI(t, s, test.words, test.want)
	}
}

func TestCLIReadsSessions(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s, id := online(t, startServer(t, Options{}))
	s.SetChannelModel(datachannel.Model{WorkerStart: time.Hour}) // a worker gives up 15 s after its start, and nobody opens this session
	started, err := ssmClient(t, s).StartSession(t.Context(), &ssm.StartSessionInput{
		Target: &id, DocumentName: aws.String("AWS-StartSSHSession"), Reason: aws.String("why"),
	})
	ok(t, err)
	session := *started.SessionId
	if !strings.HasPrefix(session, "builder-") || len(*started.TokenValue) > 300 || !strings.HasPrefix(*started.StreamUrl, "ws://") {
		t.Errorf("started %s", session)
	}
	for _, test := range []struct{ words, want string }{
		{"ssm describe-sessions --state Active --query Sessions[].[SessionId,Target,Status,DocumentName,Reason,Owner]",
			session + " " + id + " Connecting AWS-StartSSHSession why arn:aws:iam::123456789012:user/builder"},
		{"ssm describe-sessions --state Active --filters key=Target,value=i-none --query length(Sessions)", "0"},
		{"ssm resume-session --session-id " + session + " --query [SessionId,length(TokenValue)>`100`]", session + " True"},
		{"ssm terminate-session --session-id " + session + " --query SessionId", session},
		{"ssm terminate-session --session-id " + session + " --query SessionId", session},
		{"ssm describe-sessions --state History --query Sessions[].[SessionId,Status]", session + " Terminated"},
	} {
		wantCLI(t, s, test.words, test.want)
	}
}

func TestCLIIsRefusedBySSM(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s, id := online(t, startServer(t, Options{}))
	shell := "ssm send-command --document-name AWS-RunShellScript --instance-ids " + id + " --parameters "
	for _, test := range []struct {
		words string
		want  []string
	}{
		{"ssm start-session --target i-00000000000000000", []string{"(TargetNotConnected)", "i-00000000000000000 is not connected."}},
		{"ssm start-session --document-name None --target " + id, []string{"(InvalidDocument)", "None"}},
		{"ssm start-session --document-name AWS-RunShellScript --target " + id, []string{"(InvalidDocument)"}},
		{`ssm start-session --document-name AWS-StartSSHSession --parameters {"portNumber":["99999"]} --target ` + id, []string{"(InvalidParameters)", "allowedPattern"}},
		{`ssm start-session --document-name AWS-StartSSHSession --parameters {"port":["22"]} --target ` + id, []string{"(InvalidParameters)", "port"}},
		{"ssm resume-session --session-id none", []string{"(DoesNotExistException)"}},
		{shell + `{"commands":[]}`, []string{"(InvalidParameters)"}},
		{shell + `{"commands":["x"],"executionTimeout":["0"]}`, []string{"(InvalidParameters)", "executionTimeout"}},
		{shell + `{"commands":["x"],"other":["0"]}`, []string{"(InvalidParameters)", "other"}},
		{shell + `{"commands":["x"]} --timeout-seconds 29`, []string{"29"}},
		{`ssm send-command --document-name None --instance-ids ` + id, []string{"(InvalidDocument)"}},
		{`ssm send-command --document-name AWS-RunShellScript --parameters {"commands":["x"]} --instance-ids i-00000000000000000`,
			[]string{"(InvalidInstanceId)", "Instances [[i-00000000000000000]] not in a valid state for account 123456789012"}},
		{"ssm get-command-invocation --command-id 01234567-0123-0123-0123-0123456789ab --instance-id " + id, []string{"(InvocationDoesNotExist)"}},
		{"ssm cancel-command --command-id 01234567-0123-0123-0123-0123456789ab", []string{"(InvalidCommandId)"}},
		{"ssm get-parameter --name none", []string{"(ParameterNotFound)"}},
		{"ssm get-parameter --name " + latestAL2 + ":9999", []string{"(ParameterVersionNotFound)"}},
		{"ssm put-parameter --type String --name /aws/x --value x", []string{"(AccessDeniedException)"}},
		{"ssm put-parameter --type String --name x --data-type aws:ec2:image --value x", []string{"(ValidationException)"}},
		{"ssm delete-document --name AWS-RunShellScript", []string{"(InvalidDocumentOperation)"}},
		{"ssm get-service-setting --setting-id /ssm/none", []string{"(ServiceSettingNotFound)"}},
		{"ssm describe-instance-information --filters Key=None,Values=x", []string{"(InvalidFilterKey)"}},
	} {
		_, errs := cli(t, s, test.words)
		wantWords(t, errs, test.want...)
	}
}

// TestAgentWaitsForPermission: without a role there is no agent; a host management role that appears later heals that.
func TestAgentWaitsForPermission(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	s.SetAgentRetry(time.Millisecond)
	id := launch(t, s, "")
	c := ssmClient(t, s)
	_, err := c.SendCommand(t.Context(), &ssm.SendCommandInput{
		InstanceIds: []string{id}, DocumentName: aws.String("AWS-RunShellScript"), Parameters: map[string][]string{"commands": {"true"}},
	})
	wantAPIError(t, err, "InvalidInstanceId", id)
	name := "hosts"
	roles := iam.NewFromConfig(sdkConfig(t, s, DefaultAccount))
	_, err = roles.CreateRole(t.Context(), &iam.CreateRoleInput{
		RoleName: &name, AssumeRolePolicyDocument: aws.String(strings.Replace(compactTrust, "ec2.", "ssm.", 1)),
	})
	ok(t, err)
	_, err = roles.AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{
		RoleName: &name, PolicyArn: aws.String("arn:aws:iam::aws:policy/AmazonSSMManagedEC2InstanceDefaultPolicy"),
	})
	ok(t, err)
	_, err = c.UpdateServiceSetting(t.Context(), &ssm.UpdateServiceSettingInput{SettingId: aws.String(hostManagementSetting), SettingValue: &name})
	ok(t, err)
	untilOnline(t, s, id)
}

func TestInvocationIsNotThereAtFirst(t *testing.T) {
	t.Parallel()
	s, id := online(t, startServer(t, Options{Delays: &Delays{CommandVisible: 200 * time.Millisecond}}))
	c := ssmClient(t, s)
	sent, err := c.SendCommand(t.Context(), &ssm.SendCommandInput{
		InstanceIds: []string{id}, DocumentName: aws.String("AWS-RunShellScript"), Parameters: map[string][]string{"commands": {"true"}},
	})
	ok(t, err)
	if sent.Command.Status != ssmtypes.CommandStatusPending {
		t.Errorf("status %s at first", sent.Command.Status)
	}
	in := &ssm.GetCommandInvocationInput{CommandId: sent.Command.CommandId, InstanceId: &id}
	_, err = c.GetCommandInvocation(t.Context(), in)
	wantAPIError(t, err, "InvocationDoesNotExist")
	until(t, "end of the command", func() bool {
		out, err := c.GetCommandInvocation(t.Context(), in)
		return err == nil && out.Status == ssmtypes.CommandInvocationStatusSuccess
	})
}

// TestTimedOutSessionHasNoToken: that is how a client learns that resuming is of no use.
func TestTimedOutSessionHasNoToken(t *testing.T) {
	t.Parallel()
	s, id := online(t, startServer(t, Options{}))
	s.SetChannelModel(datachannel.Model{IdleTimeout: 100 * time.Millisecond})
	c := ssmClient(t, s)
	started, err := c.StartSession(t.Context(), &ssm.StartSessionInput{Target: &id, DocumentName: aws.String("AWS-StartPortForwardingSession")})
	ok(t, err)
	until(t, "end of the session", func() bool {
		out, err := c.DescribeSessions(t.Context(), &ssm.DescribeSessionsInput{State: ssmtypes.SessionStateHistory})
		ok(t, err)
		return len(out.Sessions) == 1 && strings.Contains(*out.Sessions[0].Details, "inactivity")
	})
	resumed, err := c.ResumeSession(t.Context(), &ssm.ResumeSessionInput{SessionId: started.SessionId})
	ok(t, err)
	if resumed.TokenValue != nil || *resumed.SessionId != *started.SessionId {
		t.Errorf("resumed with a token")
	}
}

func TestCutText(t *testing.T) {
	long := strings.Repeat("ü", maxStdout+1)
	got := cutText(long, maxStdout, false)
	if n := len([]rune(got)); n != maxStdout || !strings.HasSuffix(got, truncatedSuffix) {
		t.Errorf("%d characters, ends %q", n, got[len(got)-30:])
	}
	if got := cutText("short", maxStdout, false); got != "short" {
		t.Errorf("got %q", got)
	}
	var b cutBuffer
	b.limit = 100
	for range 1000 {
		_, _ = b.Write([]byte("0123456789"))
	}
	if got := b.String(); len(got) != 100 {
		t.Errorf("got %q", got)
	}
	if got := pluginOutput(strings.Repeat("o", 3000), strings.Repeat("e", 3000)); len(got) > 2500 || !strings.Contains(got, "---Output truncated---") {
		t.Errorf("%d bytes", len(got))
	}
}
