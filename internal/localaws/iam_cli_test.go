package localaws

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// A policy goes through its versions, stands as a boundary, and all is taken away from the role before it can go.
func TestCLIReadsIAMChangesAndDeletions(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	const (
		own      = "arn:aws:iam::123456789012:policy/own"
		document = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
		narrower = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`
	)
	story := &cliStory{startServer(t, Options{NoMachines: true}), map[string]string{}}
	story.tell(t, []cliStep{
		{"role", "iam create-role --role-name r --assume-role-policy-document " + compactTrust + " --query Role.[RoleId,RoleName]", "{role} r"},
		{"", "iam create-policy --policy-name own --policy-document " + document + " --query Policy.DefaultVersionId", "v1"},
		{"", "iam create-policy-version --policy-arn " + own + " --policy-document " + narrower + " --query PolicyVersion.[VersionId,IsDefaultVersion]", "v2 False"},
		{"", "iam set-default-policy-version --policy-arn " + own + " --version-id v2", ""},
		{"", "iam list-policy-versions --policy-arn " + own + " --query Versions[].[VersionId,IsDefaultVersion]", "v2 True v1 False"},
		{"", "iam delete-policy-version --policy-arn " + own + " --version-id v1", ""},
		{"", "iam tag-policy --policy-arn " + own + " --tags Key=a,Value=b Key=c,Value=d", ""},
		{"", "iam untag-policy --policy-arn " + own + " --tag-keys a", ""},
		{"", "iam list-policy-tags --policy-arn " + own + " --query Tags[].[Key,Value]", "c d"},
		{"", "iam attach-role-policy --role-name r --policy-arn " + own, ""},
		{"", "iam put-role-policy --role-name r --policy-name p --policy-document " + document, ""},
		{"", "iam put-role-permissions-boundary --role-name r --permissions-boundary " + own, ""},
		{"", "iam list-entities-for-policy --policy-arn " + own + " --query [length(PolicyUsers),length(PolicyGroups),PolicyRoles[].[RoleName,RoleId]]", "0 0 r {role}"},
		{"", "iam update-role --role-name r --description changed --max-session-duration 7200", ""},
		{"", "iam get-role --role-name r --query Role.[Description,MaxSessionDuration,PermissionsBoundary.PermissionsBoundaryArn]", "changed 7200 " + own},
		{"", "iam delete-role-permissions-boundary --role-name r", ""},
		{"", "iam create-instance-profile --instance-profile-name ip --query InstanceProfile.InstanceProfileName", "ip"},
		{"", "iam tag-instance-profile --instance-profile-name ip --tags Key=a,Value=b Key=c,Value=d", ""},
		{"", "iam untag-instance-profile --instance-profile-name ip --tag-keys a", ""},
		{"", "iam list-instance-profile-tags --instance-profile-name ip --query Tags[].[Key,Value]", "c d"},
		{"", "iam add-role-to-instance-profile --instance-profile-name ip --role-name r", ""},
		{"", "iam remove-role-from-instance-profile --instance-profile-name ip --role-name r", ""},
		{"", "iam delete-instance-profile --instance-profile-name ip", ""},
		{"", "iam detach-role-policy --role-name r --policy-arn " + own, ""},
		{"", "iam delete-role-policy --role-name r --policy-name p", ""},
		{"", "iam delete-role --role-name r", ""},
		{"", "iam delete-policy --policy-arn " + own, ""},
	}...)
}

func TestCLIReadsParametersTagsAndLabels(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	story := &cliStory{startServer(t, Options{NoMachines: true}), map[string]string{}}
	story.tell(t, []cliStep{
		{"", "ssm put-parameter --name /app/image --type String --value old --query [Version,Tier]", "1 Standard"},
		{"", "ssm put-parameter --name /app/image --type String --value new --overwrite --query Version", "2"},
		{"", "ssm add-tags-to-resource --resource-type Parameter --resource-id /app/image --tags Key=a,Value=b Key=c,Value=d", ""},
		{"", "ssm remove-tags-from-resource --resource-type Parameter --resource-id /app/image --tag-keys a", ""},
		{"", "ssm list-tags-for-resource --resource-type Parameter --resource-id /app/image --query TagList[].[Key,Value]", "c d"},
		{"", "ssm label-parameter-version --name /app/image --parameter-version 1 --labels stable awsome --query [ParameterVersion,InvalidLabels[0]]", "1 awsome"},
		{"", "ssm get-parameter-history --name /app/image --query Parameters[].[Version,Value,Type,DataType,Labels[0]]", "1 old String text stable 2 new String text None"},
		{"", "ssm unlabel-parameter-version --name /app/image --parameter-version 1 --labels stable other --query [RemovedLabels[0],InvalidLabels[0]]", "stable other"},
	}...)
}

func TestCLIReadsKMSKeys(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	story := &cliStory{startServer(t, Options{NoMachines: true}), map[string]string{}}
	dir := t.TempDir()
	ok(t, os.WriteFile(dir+"/plain", []byte("open secret"), 0o600))
	story.tell(t, []cliStep{
		{"key", "kms create-key --query KeyMetadata.[KeyId,Arn]", "{key} arn:aws:kms:us-east-1:123456789012:key/{key}"},
		{"", "kms create-alias --alias-name alias/mine --target-key-id {key}", ""},
	}...)
	sealed, errs := cli(t, story.s, "kms encrypt --key-id alias/mine --plaintext fileb://"+dir+"/plain")
	var encrypted map[string]string
	if err := json.Unmarshal([]byte(sealed), &encrypted); err != nil || encrypted["EncryptionAlgorithm"] != "SYMMETRIC_DEFAULT" {
		t.Fatalf("%s %s %v", sealed, errs, err)
	}
	writeBase64(t, dir+"/blob", encrypted["CiphertextBlob"])
	story.tell(t, []cliStep{
		{"", "kms decrypt --ciphertext-blob fileb://" + dir + "/blob --query [Plaintext,KeyId]", "b3BlbiBzZWNyZXQ= " + encrypted["KeyId"]},
		{"", "kms generate-data-key-without-plaintext --key-id alias/mine --number-of-bytes 64 --query [KeyId,Plaintext]", "arn:aws:kms:us-east-1:123456789012:key/{key} None"},
		{"", "kms disable-key --key-id {key}", ""},
		{"", "kms describe-key --key-id {key} --query KeyMetadata.[Enabled,KeyState]", "False Disabled"},
		{"", "kms enable-key --key-id {key}", ""},
		{"", "kms delete-alias --alias-name alias/mine", ""},
		{"grant", "kms create-grant --key-id {key} --name mine --grantee-principal arn:aws:iam::123456789012:user/builder --retiring-principal arn:aws:iam::123456789012:root" +
			" --operations Decrypt DescribeKey --constraints EncryptionContextSubset={a=b} --query GrantId", "{grant}"},
		{"", "kms list-grants --key-id {key} --query Grants[].[GrantId,KeyId,Name,GranteePrincipal,IssuingAccount,Operations[0],Operations[1],Constraints.EncryptionContextSubset.a]",
			"{grant} arn:aws:kms:us-east-1:123456789012:key/{key} mine arn:aws:iam::123456789012:user/builder arn:aws:iam::123456789012:root Decrypt DescribeKey b"},
		{"", "kms list-retirable-grants --retiring-principal arn:aws:iam::123456789012:root --query Grants[].GrantId", "{grant}"},
		{"", "kms revoke-grant --key-id {key} --grant-id {grant}", ""},
		{"", "kms schedule-key-deletion --key-id {key} --pending-window-in-days 7 --query PendingWindowInDays", "7"},
		{"", "kms cancel-key-deletion --key-id {key} --query KeyId", "arn:aws:kms:us-east-1:123456789012:key/{key}"},
	}...)
	_, errs = cli(t, story.s, "kms retire-grant --key-id arn:aws:kms:us-east-1:123456789012:key/"+story.known["key"]+" --grant-id "+story.known["grant"])
	wantWords(t, errs, "(NotFoundException)", story.known["grant"])
}

// What a refusal says in code is decoded, and an access key tells its account.
func TestCLIReadsRefusals(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{CallerPolicy: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}`, NoMachines: true})
	_, refusal := cli(t, s, "ec2 describe-regions")
	_, encoded, _ := strings.Cut(refusal, "Encoded authorization failure message: ")
	decoded, errs := cli(t, s, "sts decode-authorization-message --query DecodedMessage --output text --encoded-message "+encoded)
	wantWords(t, decoded+errs, `"allowed":false`, `"action":"ec2:DescribeRegions"`)
	id, _ := s.Credentials(DefaultAccount)
	wantCLI(t, s, "sts get-access-key-info --query Account --access-key-id "+id, "123456789012")
}
