package localaws

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The vectors of AWS's SigV4 test suite.
func TestSignatureVectors(t *testing.T) {
	const (
		secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
		scope  = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"
	)
	for name, test := range map[string]struct {
		method, target, want string
	}{
		"get-vanilla":                      {"GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-vanilla-query-order-key-case": {"GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"post-vanilla":                     {"POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), test.method, test.target, nil)
			r.Host = "example.amazonaws.com"
			r.Header.Set("X-Amz-Date", "20150830T123600Z")
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+scope+", SignedHeaders=host;x-amz-date, Signature="+test.want)
			sig, fault := parseSignature(r)
			if fault != nil {
				t.Fatal(fault)
			}
			if got := sig.compute(r, nil, secret); got != test.want {
				t.Errorf("signature %s, want %s", got, test.want)
			}
		})
	}
}

// signed is a request signed by AWS's own signer.
func signed(t *testing.T, s *Server, method, target, service, body string, when time.Time, header http.Header) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:4566"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	id, secret := s.Credentials(DefaultAccount)
	creds := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hexSHA256([]byte(body)), service, "us-east-1", when); err != nil {
		t.Fatal(err)
	}
	return served(t, r)
}

// served is a client's request as a server's handler gets it.
func served(t *testing.T, r *http.Request) *http.Request {
	t.Helper()
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(wire.String(), "\r\n\r\n")
	line, rest, _ := strings.Cut(head, "\r\n")
	parts := strings.Split(line, " ")
	got := httptest.NewRequestWithContext(t.Context(), parts[0], parts[1], strings.NewReader(body))
	got.Header = http.Header{}
	for field := range strings.SplitSeq(rest, "\r\n") {
		name, value, _ := strings.Cut(field, ": ")
		if name == "Host" {
			got.Host = value
			continue
		}
		got.Header.Add(name, value)
	}
	return got
}

func quietServer(t *testing.T, o Options) *Server {
	t.Helper()
	s := newServer(o)
	if err := s.openState(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSignerOfTheSDKIsAccepted(t *testing.T) {
	s := quietServer(t, Options{})
	now := s.clock.Now()
	for name, test := range map[string]struct {
		method, target, service, body string
		header                        http.Header
	}{
		"query":            {"POST", "/", "ec2", "Action=DescribeRegions&Version=2016-11-15", http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}},
		"json":             {"POST", "/", "ssm", "{}", http.Header{"X-Amz-Target": {"AmazonSSM.StartSession"}}},
		"get":              {"GET", "/?Version=2011-06-15&Action=GetCallerIdentity", "sts", "", nil},
		"spaces in header": {"GET", "/", "sts", "", http.Header{"X-Amz-Odd": {"  a   b  "}}},
		"websocket":        {"GET", "/v1/data-channel/builder-0a1b2c?role=publish_subscribe&cell-number=AAEAAb%2F%2B%3D", "ssmmessages", "", nil},
		"odd path":         {"GET", "/v1/data-channel/a%20b%3D:c@d,e", "ssmmessages", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := signed(t, s, test.method, test.target, test.service, test.body, now, test.header)
			who, err := s.verifySignature(r, []byte(test.body), test.service)
			if err != nil {
				t.Fatal(err)
			}
			if want := "arn:aws:iam::123456789012:user/builder"; who.arn != want {
				t.Errorf("caller %s, want %s", who.arn, want)
			}
		})
	}
}

func TestPresignedURLs(t *testing.T) {
	s := quietServer(t, Options{})
	now := s.clock.Now()
	id, secret := s.Credentials(DefaultAccount)
	presign := func(when time.Time) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", nil)
		if err != nil {
			t.Fatal(err)
		}
		uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, r, hexSHA256(nil), "sts", "us-east-1", when)
		if err != nil {
			t.Fatal(err)
		}
		got, err := http.NewRequestWithContext(t.Context(), http.MethodGet, uri, nil)
		if err != nil {
			t.Fatal(err)
		}
		return served(t, got)
	}
	if _, err := s.verifySignature(presign(now), nil, "sts"); err != nil {
		t.Error(err)
	}
	wantCode(t, "SignatureDoesNotMatch", second(s.verifySignature(presign(now.Add(-2*time.Minute)), nil, "sts")))
	tampered := presign(now)
	tampered.URL.RawQuery = strings.Replace(tampered.URL.RawQuery, "GetCallerIdentity", "GetSessionToken", 1)
	wantCode(t, "SignatureDoesNotMatch", second(s.verifySignature(tampered, nil, "sts")))
}

func second[T any](_ T, err error) error { return err }

func wantCode(t *testing.T, code string, err error) {
	t.Helper()
	var refusal *apiError
	if !errors.As(err, &refusal) || refusal.code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func TestRefusedSignatures(t *testing.T) {
	s := quietServer(t, Options{})
	now := s.clock.Now()
	const body = "Action=X"
	plain := func(service string) *http.Request { return signed(t, s, "POST", "/", service, body, now, nil) }
	spoil := func(change func(*http.Request)) func(string) *http.Request {
		return func(service string) *http.Request {
			r := plain(service)
			change(r)
			return r
		}
	}
	header := func(name, old, replacement string) func(string) *http.Request {
		return spoil(func(r *http.Request) {
			r.Header.Set(name, strings.Replace(r.Header.Get(name), old, replacement, 1))
		})
	}
	codes := func(ec2, sts, ssm string) map[string]string {
		return map[string]string{"ec2": ec2, "sts": sts, "iam": sts, "ssm": ssm, "kms": ssm}
	}
	mismatch := codes("AuthFailure", "SignatureDoesNotMatch", "InvalidSignatureException")
	for name, test := range map[string]struct {
		request func(service string) *http.Request
		want    map[string]string
	}{
		"nothing": {spoil(func(r *http.Request) { r.Header.Del("Authorization") }),
			codes("MissingParameter", "MissingAuthenticationToken", "MissingAuthenticationTokenException")},
		"basic": {spoil(func(r *http.Request) { r.SetBasicAuth("a", "b") }),
			codes("IncompleteSignature", "IncompleteSignature", "IncompleteSignatureException")},
		"no signature": {header("Authorization", "Signature=", "Sig="),
			codes("IncompleteSignature", "IncompleteSignature", "IncompleteSignatureException")},
		"unknown key": {header("Authorization", "Credential=AKIA", "Credential=BKIA"),
			codes("AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException")},
		"stray token": {func(service string) *http.Request {
			return signed(t, s, "POST", "/", service, body, now, http.Header{"X-Amz-Security-Token": {"abc"}})
		}, codes("AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException")},
		"tampered signature": {spoil(func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+"0") }), mismatch},
		"tampered host":      {spoil(func(r *http.Request) { r.Host = "example.com" }), mismatch},
		"tampered method":    {spoil(func(r *http.Request) { r.Method = http.MethodPut }), mismatch},
		"tampered query":     {spoil(func(r *http.Request) { r.URL.RawQuery = "a=b" }), mismatch},
		"header put in":      {spoil(func(r *http.Request) { r.Header.Set("X-Amz-Target", "AmazonSSM.SendCommand") }), mismatch},
		"other region":       {header("Authorization", "/us-east-1/", "/us-west-2/"), mismatch},
		"unknown region":     {header("Authorization", "/us-east-1/", "/mars-north-1/"), mismatch},
		"old": {func(service string) *http.Request {
			return signed(t, s, "POST", "/", service, body, now.Add(-6*time.Minute), nil)
		}, codes("RequestExpired", "SignatureDoesNotMatch", "InvalidSignatureException")},
		"from the future": {func(service string) *http.Request {
			return signed(t, s, "POST", "/", service, body, now.Add(6*time.Minute), nil)
		}, codes("RequestExpired", "SignatureDoesNotMatch", "InvalidSignatureException")},
		"within the skew": {func(service string) *http.Request {
			return signed(t, s, "POST", "/", service, body, now.Add(-4*time.Minute), nil)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, service := range []string{"ec2", "sts", "iam", "ssm", "kms"} {
				_, err := s.verifySignature(test.request(service), []byte(body), service)
				if test.want == nil {
					if err != nil {
						t.Errorf("%s: %v", service, err)
					}
					continue
				}
				wantCode(t, test.want[service], err)
			}
		})
	}
	t.Run("tampered body", func(t *testing.T) {
		wantCode(t, "AuthFailure", second(s.verifySignature(plain("ec2"), []byte("Action=Y"), "ec2")))
	})
	t.Run("other service", func(t *testing.T) {
		wantCode(t, "SignatureDoesNotMatch", second(s.verifySignature(plain("ec2"), []byte(body), "sts")))
	})
}

func TestTemporaryCredentialsExpire(t *testing.T) {
	s := quietServer(t, Options{})
	start := s.clock.Now()
	c := &call{server: s, service: "sts", now: start, caller: principal{account: DefaultAccount, arn: "arn:aws:iam::123456789012:user/builder", user: builderName}}
	s.mu.Lock()
	temporary := c.issue(c.caller, 15*time.Minute)
	s.mu.Unlock()
	creds := aws.Credentials{AccessKeyID: temporary.AccessKeyID, SecretAccessKey: temporary.SecretAccessKey, SessionToken: temporary.SessionToken}
	at := func(when time.Time, service string, creds aws.Credentials) error {
		s.clock.now = func() time.Time { return when }
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hexSHA256(nil), service, "us-east-1", when); err != nil {
			t.Fatal(err)
		}
		r = served(t, r)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.verifySignature(r, body, service)
		return err
	}
	if err := at(start.Add(14*time.Minute), "ssm", creds); err != nil {
		t.Error(err)
	}
	for service, code := range map[string]string{"ssm": "ExpiredTokenException", "sts": "ExpiredToken", "iam": "ExpiredToken", "ec2": "RequestExpired"} {
		wantCode(t, code, at(start.Add(16*time.Minute), service, creds))
	}
	creds.SessionToken = ""
	wantCode(t, "UnrecognizedClientException", at(start, "ssm", creds))
}

// Over the wire: what was signed is what was sent, compressed or in the URL.
func TestOverTheWire(t *testing.T) {
	s := startServer(t, Options{})
	id, secret := s.Credentials(DefaultAccount)
	creds := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	do := func(r *http.Request) string {
		t.Helper()
		answer, err := client.Do(r)
		ok(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		ok(t, err)
		return answer.Status + " " + string(body)
	}
	t.Run("gzip", func(t *testing.T) {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		_, err := io.WriteString(z, "Action=GetCallerIdentity&Version=2011-06-15")
		ok(t, errors.Join(err, z.Close()))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(), bytes.NewReader(zipped.Bytes()))
		ok(t, err)
		r.Header.Set("Content-Encoding", "gzip")
		ok(t, v4.NewSigner().SignHTTP(t.Context(), creds, r, hexSHA256(zipped.Bytes()), "sts", "us-east-1", time.Now()))
		wantWords(t, do(r), "200 OK", "<Arn>arn:aws:iam::123456789012:user/builder</Arn>")
	})
	t.Run("presigned", func(t *testing.T) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", nil)
		ok(t, err)
		uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), creds, r, hexSHA256(nil), "sts", "us-east-1", time.Now())
		ok(t, err)
		r, err = http.NewRequestWithContext(t.Context(), http.MethodGet, uri, nil)
		ok(t, err)
		wantWords(t, do(r), "200 OK", "<UserId>AIDA")
	})
	t.Run("unsigned", func(t *testing.T) {
		for form, words := range map[string]string{
			"Action=DescribeRegions&Version=2016-11-15":   "400 Bad Request <?xml|<Code>MissingParameter</Code>",
			"Action=GetCallerIdentity&Version=2011-06-15": "403 Forbidden <?xml|<Code>MissingAuthenticationToken</Code>",
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(), strings.NewReader(form))
			ok(t, err)
			wantWords(t, do(r), strings.Split(words, "|")...)
		}
	})
}
