package awsclient

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// seen is a client that keeps the body of a request, and how it was given.
type seen struct {
	text   string
	writes bool // can write itself
}

// Do is aws.HTTPClient's.
func (s *seen) Do(r *http.Request) (*http.Response, error) {
	_, s.writes = r.Body.(io.WriterTo)
	text, err := io.ReadAll(r.Body)
	s.text = string(text)
	return &http.Response{StatusCode: http.StatusBadRequest, Body: http.NoBody, Header: http.Header{}}, err
}

// A body is whole, and can't write itself: where it does, net/http may close the connection in the middle of the answer.
func TestBodiesArePlain(t *testing.T) {
	cfg, err := Load(t.Context(), Options{Region: "us-east-1", AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "secret", SkipProof: true})
	if err != nil {
		t.Fatal(err)
	}
	for want, call := range map[string]func(aws.HTTPClient){
		"Action=DescribeRegions": func(h aws.HTTPClient) {
			_, _ = ec2.NewFromConfig(cfg, func(o *ec2.Options) { o.HTTPClient = h }).DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{})
		},
		`{"Name":"/a"}`: func(h aws.HTTPClient) {
			_, _ = ssm.NewFromConfig(cfg, func(o *ssm.Options) { o.HTTPClient = h }).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/a")})
		},
	} {
		got := new(seen)
		if call(got); !strings.Contains(got.text, want) || got.writes {
			t.Errorf("body %q, which can write itself: %v", got.text, got.writes)
		}
	}
}
