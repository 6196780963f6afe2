//go:build linux

package amazonlinux_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// An image's user data is the instance's byte by byte, in whichever form it was given.
func TestUserDataForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	const script = "#!/bin/sh\ntouch /etc/from-user-data\n"
	packed := new(bytes.Buffer)
	z := gzip.NewWriter(packed)
	if _, err := z.Write([]byte(script)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "user-data.gz")
	if err := os.WriteFile(file, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		more block
		want string
	}{
		"text":         {block{"user_data": script}, script},
		"base64":       {block{"user_data": base64.StdEncoding.EncodeToString([]byte(script))}, script},
		"MIME":         {block{"user_data": mimeUserData}, mimeUserData},
		"file, gzip":   {block{"user_data_file": file}, packed.String()},
		"none":         {nil, ""},
		"cloud-config": {block{"user_data": "#cloud-config\nfqdn: web\n"}, "#cloud-config\nfqdn: web\n"},
	} {
		more := block{"skip_create_ami": true}
		for k, v := range test.more {
			more[k] = v
		}
		w.during(more, func(id string) {
			got, err := w.ec2().DescribeInstanceAttribute(t.Context(), &ec2.DescribeInstanceAttributeInput{InstanceId: aws.String(id), Attribute: types.InstanceAttributeNameUserData})
			if err != nil || got.UserData == nil {
				t.Fatalf("%s: %+v, %v", name, got, err)
			}
			if data, err := base64.StdEncoding.DecodeString(aws.ToString(got.UserData.Value)); err != nil || string(data) != test.want {
				t.Errorf("%s: the instance has %q, want %q; %v", name, data, test.want, err)
			}
		})
	}
}

const mimeUserData = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"==b==\"\n\n" +
	"--==b==\nContent-Type: text/cloud-config; charset=\"us-ascii\"\n\n#cloud-config\nfqdn: web\n\n" +
	"--==b==\nContent-Type: text/x-shellscript; charset=\"us-ascii\"\n\n#!/bin/sh\ntouch /etc/from-user-data\n\n--==b==--\n"

// User data is at work on the build instance: what it leaves is there for the provisioners.
func TestUserDataRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	r := w.build(t.Context(), w.template(block{"user_data": mimeUserData, "skip_create_ami": true}), func(ctx context.Context, comm packersdk.Communicator, _ map[string]any) error {
		_, err := sh(ctx, comm, "sudo cloud-init status --wait >/dev/null 2>&1 || true; test -e /etc/from-user-data")
		return err
	})
	if r.err != nil {
		t.Errorf("%v\n%s", r.err, r.ui)
	}
}

// A minimal image is launched where its user data speaks of the agent, or the template says that it comes some other way.
func TestMinimalImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	filter := block{"filters": block{"name": "al2023-ami-minimal-*-x86_64"}, "owners": []string{"amazon"}, "most_recent": true}
	launch := func(more block) (string, error) {
		raw := w.template(block{"source_ami_filter": filter, "skip_create_ami": true, "ssm_timeout": "1s"})
		for k, v := range more {
			raw[k] = v
		}
		before := len(w.actions())
		r := w.build(t.Context(), raw, nil)
		if slices.Contains(w.actions()[before:], "ec2:RunInstances") {
			return "launched", r.err
		}
		return "", r.err
	}
	for name, test := range map[string]struct {
		more block
		want string
	}{
		"nothing":          {nil, ""},
		"other user data":  {block{"user_data": "#!/bin/sh\ndnf install -y nginx\n"}, ""},
		"installs":         {block{"user_data": "#!/bin/sh\ndnf install -y amazon-ssm-agent\n"}, "launched"},
		"installs, base64": {block{"user_data": base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\ndnf install -y amazon-ssm-agent\n"))}, "launched"},
		"skip_agent_check": {block{"skip_agent_check": true}, "launched"},
		"unconnected":      {block{"communicator": "none"}, "launched"},
	} {
		got, err := launch(test.more)
		if got != test.want || test.want == "" && (err == nil || !strings.Contains(err.Error(), "lack the SSM agent")) {
			t.Errorf("%s: %q, want %q; %v", name, got, test.want, err)
		}
	}
}
