package awsclient

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// An assumed role lasts as long as the build: its credentials are renewed
// before they expire, and not oftener than that takes.
func TestAssumedRoleIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		base := aws.Config{
			Region:      "us-east-1",
			Credentials: credentials.NewStaticCredentialsProvider("AKIA", "b", ""),
			HTTPClient: doer(func(*http.Request) (*http.Response, error) {
				asked++
				body := fmt.Sprintf(`<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA%d</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
					<SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
					asked, time.Now().Add(15*time.Minute).UTC().Format(time.RFC3339))
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
			}),
		}
		as := As(base, AssumeRole{RoleARN: "arn:aws:iam::123456789012:role/x"})
		const build = 6 * time.Hour
		for began := time.Now(); time.Since(began) < build; time.Sleep(time.Minute) {
			got, err := as.Credentials.Retrieve(t.Context())
			if err != nil {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
			if left := time.Until(got.Expires); left <= 0 {
				t.Fatalf("after %s: credentials that expired %s ago", time.Since(began), -left)
			}
		}
		if most := int(build / (9 * time.Minute)); asked < 2 || asked > most {
			t.Errorf("STS was asked %d times in %s, want at most %d", asked, build, most)
		}
	})
}
