package localaws

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// kmsCall makes one call to KMS and answers its result or the code of its refusal.
func kmsCall(t *testing.T, s *Server, action string, in map[string]any) (out map[string]any, code string) {
	t.Helper()
	body, err := json.Marshal(in)
	ok(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(), bytes.NewReader(body))
	ok(t, err)
	r.Header.Set("X-Amz-Target", "TrentService."+action)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	user, secret := s.Credentials(DefaultAccount)
	ok(t, v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: user, SecretAccessKey: secret}, r, hexSHA256(body), "kms", "us-east-1", time.Now()))
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(r)
	ok(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	ok(t, err)
	if len(answer) > 0 {
		ok(t, json.Unmarshal(answer, &out))
	}
	code, _ = out["__type"].(string)
	return out, code
}

func kmsWord(out map[string]any, name string) string {
	word, _ := out[name].(string)
	return word
}

const builderARN = "arn:aws:iam::123456789012:user/builder"

// A grant is left over until it is retired or revoked, or its key is on the way out.
func TestGrantsAreLeftOver(t *testing.T) {
	s := startServer(t, Options{})
	key := customerKey(t, s, DefaultAccount, "")
	left := func() string { return strings.Join(s.Leftovers(), "\n") }
	asked := map[string]any{"KeyId": key.ID, "GranteePrincipal": builderARN, "Operations": []string{"Decrypt", "Encrypt"}, "Name": "one"}
	grant, _ := kmsCall(t, s, "CreateGrant", asked)
	id := kmsWord(grant, "GrantId")
	want := "kms grant " + key.ARN + " " + id + " to " + builderARN + "\nkms key " + key.ARN
	if got := left(); id == "" || got != want {
		t.Errorf("left\n%s\nwant\n%s", got, want)
	}
	again, _ := kmsCall(t, s, "CreateGrant", asked)
	if kmsWord(again, "GrantId") != id || kmsWord(again, "GrantToken") == kmsWord(grant, "GrantToken") {
		t.Errorf("asking again for a named grant answered %v after %v", again, grant)
	}
	if _, code := kmsCall(t, s, "RetireGrant", map[string]any{"GrantToken": grant["GrantToken"]}); code != "" || left() != "kms key "+key.ARN {
		t.Errorf("retiring: %s; left %s", code, left())
	}
	grant, _ = kmsCall(t, s, "CreateGrant", asked)
	if _, code := kmsCall(t, s, "RevokeGrant", map[string]any{"KeyId": key.ID, "GrantId": grant["GrantId"]}); code != "" || left() != "kms key "+key.ARN {
		t.Errorf("revoking: %s; left %s", code, left())
	}
	_, _ = kmsCall(t, s, "CreateGrant", asked)
	if _, code := kmsCall(t, s, "ScheduleKeyDeletion", map[string]any{"KeyId": key.ID}); code != "" || left() != "" {
		t.Errorf("after the key's end: %s; left %s", code, left())
	}
}

func TestKMSRefuses(t *testing.T) {
	s := startServer(t, Options{})
	key := customerKey(t, s, DefaultAccount, "")
	s.mu.Lock()
	own := s.kmsKey(DefaultAccount, "us-east-1", "alias/aws/ebs").ID
	s.mu.Unlock()
	theirs := customerKey(t, s, OtherAccount, "")
	shared := customerKey(t, s, OtherAccount, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+DefaultAccount+`"},"Action":"kms:Encrypt","Resource":"*"}]}`)
	grant := func(member string, value any) map[string]any {
		in := map[string]any{"KeyId": key.ID, "GranteePrincipal": builderARN, "Operations": []string{"Decrypt"}}
		in[member] = value
		return in
	}
	for _, test := range []struct {
		action string
		in     map[string]any
		code   string
	}{
		{"CreateGrant", grant("GranteePrincipal", "arn:aws:iam::123456789012:user/nobody"), "InvalidArnException"},
		{"CreateGrant", grant("GranteePrincipal", "builder"), "InvalidArnException"},
		{"CreateGrant", grant("RetiringPrincipal", "*"), "ValidationException"},
		{"CreateGrant", grant("Operations", []string{"Sign"}), "ValidationException"},
		{"CreateGrant", grant("Operations", []string{"Do"}), "ValidationException"},
		{"CreateGrant", grant("KeyId", "alias/aws/ebs"), "AccessDeniedException"},
		{"CreateGrant", grant("KeyId", own), "AccessDeniedException"},
		{"CreateGrant", grant("DryRun", true), "DryRunOperationException"},
		{"CreateGrant", map[string]any{"KeyId": key.ID}, "ValidationException"},
		{"Encrypt", map[string]any{"KeyId": own, "Plaintext": "eA=="}, "AccessDeniedException"},
		{"ScheduleKeyDeletion", map[string]any{"KeyId": own}, "AccessDeniedException"},
		{"RetireGrant", map[string]any{"GrantToken": "no"}, "InvalidGrantTokenException"},
		{"RetireGrant", map[string]any{"KeyId": key.ARN}, "ValidationException"},
		{"RetireGrant", map[string]any{"KeyId": key.ID, "GrantId": "no"}, "InvalidArnException"},
		{"RevokeGrant", map[string]any{"KeyId": key.ID, "GrantId": "no"}, "NotFoundException"},
		{"CreateGrant", grant("KeyId", theirs.ARN), "AccessDeniedException"},
		{"DescribeKey", map[string]any{"KeyId": theirs.ARN}, "AccessDeniedException"},
		{"Encrypt", map[string]any{"KeyId": shared.ARN, "Plaintext": "eA=="}, ""},
		{"ScheduleKeyDeletion", map[string]any{"KeyId": shared.ARN}, "AccessDeniedException"},
		{"Encrypt", map[string]any{"KeyId": key.ID, "Plaintext": ""}, "ValidationException"},
		{"Encrypt", map[string]any{"KeyId": key.ID, "Plaintext": make([]byte, 4097)}, "ValidationException"},
		{"CreateAlias", map[string]any{"AliasName": "mine", "TargetKeyId": key.ID}, "ValidationException"},
		{"CreateAlias", map[string]any{"AliasName": "alias/aws/mine", "TargetKeyId": key.ID}, "NotAuthorizedException"},
		{"DeleteAlias", map[string]any{"AliasName": "mine"}, "ValidationException"},
		{"ListGrants", map[string]any{"KeyId": own}, ""},
	} {
		if _, code := kmsCall(t, s, test.action, test.in); code != test.code {
			t.Errorf("%s %v: %q, want %q", test.action, test.in, code, test.code)
		}
	}
}

// What no policy allows, a grant allows, for its operations and its encryption context alone.
func TestGrantsAllow(t *testing.T) {
	s := startServer(t, Options{CallerPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:CreateGrant","Resource":"*"},
		{"Effect":"Deny","Action":"kms:GenerateDataKey","Resource":"*"}]}`})
	key := customerKey(t, s, DefaultAccount, "")
	encrypt := func(context string) string {
		_, code := kmsCall(t, s, "Encrypt", map[string]any{"KeyId": key.ID, "Plaintext": "eA==", "EncryptionContext": map[string]string{"a": context}})
		return code
	}
	if code := encrypt("b"); code != "AccessDeniedException" {
		t.Errorf("without a grant: %q", code)
	}
	grant, _ := kmsCall(t, s, "CreateGrant", map[string]any{
		"KeyId": key.ID, "GranteePrincipal": builderARN, "Operations": []string{"Encrypt", "GenerateDataKey", "RetireGrant"},
		"Constraints": map[string]any{"EncryptionContextEquals": map[string]string{"a": "b"}},
	})
	if code := encrypt("b"); code != "" {
		t.Errorf("with the grant: %q", code)
	}
	if code := encrypt("c"); code != "AccessDeniedException" {
		t.Errorf("in another context: %q", code)
	}
	if _, code := kmsCall(t, s, "GenerateDataKey", map[string]any{"KeyId": key.ID, "KeySpec": "AES_256", "EncryptionContext": map[string]string{"a": "b"}}); code != "AccessDeniedException" {
		t.Errorf("against a denial: %q", code)
	}
	if _, code := kmsCall(t, s, "RevokeGrant", map[string]any{"KeyId": key.ID, "GrantId": grant["GrantId"]}); code != "AccessDeniedException" {
		t.Errorf("revoking: %q", code)
	}
	if _, code := kmsCall(t, s, "RetireGrant", map[string]any{"GrantToken": grant["GrantToken"]}); code != "" {
		t.Errorf("retiring: %q", code)
	}
}
