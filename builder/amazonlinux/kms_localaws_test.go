//go:build linux

package amazonlinux_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// kms asks KMS for an account in a region.
func (w *world) kms(account, region, action string, in, out any) {
	w.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		w.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.aws.URL(), bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "TrentService."+action)
	id, secret := w.aws.Credentials(account)
	sum := sha256.Sum256(body)
	by := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	if err := v4.NewSigner().SignHTTP(w.Context(), by, r, hex.EncodeToString(sum[:]), "kms", region, time.Now()); err != nil {
		w.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		w.Fatalf("%s: %s", action, answer.Status)
	}
	if out != nil {
		if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
			w.Fatal(err)
		}
	}
}

// keyOf makes a KMS key in an account, with a policy unless that is "", and returns its ARN.
func (w *world) keyOf(account, region, policy string) string {
	w.Helper()
	in := map[string]string{}
	if policy != "" {
		in["Policy"] = policy
	}
	var made struct{ KeyMetadata struct{ Arn string } }
	w.kms(account, region, "CreateKey", in, &made)
	return made.KeyMetadata.Arn
}

// aliased makes a key of the other account's under the alias "alias/theirs".
func (w *world) aliased(region string) string {
	w.Helper()
	arn := w.keyOf(localaws.OtherAccount, region, "")
	w.kms(localaws.OtherAccount, region, "CreateAlias", map[string]string{"AliasName": "alias/theirs", "TargetKeyId": arn}, nil)
	return arn
}
