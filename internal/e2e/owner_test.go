//go:build linux

package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"golang.org/x/crypto/ssh"

	"github.com/taccoform/packer-plugin-ssm/internal/inspection"
)

// What the owners of templates have in their accounts before they build.

// in is a client of EC2 in a region.
func (w *world) in(region string) *ec2.Client {
	return ec2.NewFromConfig(w.config, func(o *ec2.Options) { o.Region = region })
}

// placement are the default VPC of a region and its default subnets.
func (w *world) placement(region string) (vpc string, subnets []string) {
	w.Helper()
	out, err := w.in(region).DescribeSubnets(w.Context(), &ec2.DescribeSubnetsInput{
		Filters: []types.Filter{{Name: aws.String("default-for-az"), Values: []string{"true"}}},
	})
	if err != nil || len(out.Subnets) == 0 {
		w.Fatalf("no default subnet in %s: %v", region, err)
	}
	for _, s := range out.Subnets {
		subnets = append(subnets, aws.ToString(s.SubnetId))
	}
	return aws.ToString(out.Subnets[0].VpcId), subnets
}

// tag names things as their owner does.
func (w *world) tag(region, key, value string, ids ...string) {
	w.Helper()
	_, err := w.in(region).CreateTags(w.Context(), &ec2.CreateTagsInput{Resources: ids, Tags: []types.Tag{{Key: &key, Value: &value}}})
	if err != nil {
		w.Fatal(err)
	}
}

// group makes a security group, with the way out that each new one has.
func (w *world) group(region, vpc, name string) (id string) {
	w.Helper()
	out, err := w.in(region).CreateSecurityGroup(w.Context(), &ec2.CreateSecurityGroupInput{VpcId: &vpc, GroupName: &name, Description: &name})
	if err != nil {
		w.Fatal(err)
	}
	return aws.ToString(out.GroupId)
}

// endpoints gives a VPC its own way to Systems Manager, for instances without a way to the internet.
func (w *world) endpoints(region, vpc string, subnets ...string) {
	w.Helper()
	group := w.group(region, vpc, "endpoints")
	_, err := w.in(region).AuthorizeSecurityGroupIngress(w.Context(), &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &group, IpProtocol: aws.String("tcp"), FromPort: aws.Int32(443), ToPort: aws.Int32(443), CidrIp: aws.String("172.31.0.0/16"),
	})
	if err != nil {
		w.Fatal(err)
	}
	for _, service := range []string{"ssm", "ssmmessages", "ec2messages"} {
		_, err := w.in(region).CreateVpcEndpoint(w.Context(), &ec2.CreateVpcEndpointInput{
			VpcId: &vpc, ServiceName: aws.String("com.amazonaws." + region + "." + service),
			VpcEndpointType: types.VpcEndpointTypeInterface, SubnetIds: subnets, PrivateDnsEnabled: aws.Bool(true),
			SecurityGroupIds: []string{group},
		})
		if err != nil {
			w.Fatal(err)
		}
	}
}

// profile makes an instance profile for Session Manager.
func (w *world) profile(name string) {
	w.Helper()
	if err := inspection.Profile(w.Context(), w.config, name); err != nil {
		w.Fatal(err)
	}
}

// builderRole makes a role that may do all, for who knows its external id.
func (w *world) builderRole(name, externalID string) (arn string) {
	w.Helper()
	api := iam.NewFromConfig(w.config)
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["sts:AssumeRole","sts:TagSession"],
		"Condition":{"StringEquals":{"sts:ExternalId":"` + externalID + `"}}}]}`
	out, err := api.CreateRole(w.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust, MaxSessionDuration: aws.Int32(7200)})
	if err != nil {
		w.Fatal(err)
	}
	_, err = api.PutRolePolicy(w.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("all"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)})
	if err != nil {
		w.Fatal(err)
	}
	return aws.ToString(out.Role.Arn)
}

// key makes a KMS key. KMS is asked by hand: the plugin has no use for its client.
func (w *world) key(region string) (arn string) {
	w.Helper()
	body := []byte(`{}`)
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, aws.ToString(w.config.BaseEndpoint), bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "TrentService.CreateKey")
	by, err := w.config.Credentials.Retrieve(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(w.Context(), by, r, hex.EncodeToString(sum[:]), "kms", region, time.Now()); err != nil {
		w.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var made struct {
		KeyMetadata struct{ Arn string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&made); err != nil || made.KeyMetadata.Arn == "" {
		w.Fatalf("create key: %s %v", answer.Status, err)
	}
	return made.KeyMetadata.Arn
}

// keyPair makes an SSH key, its private half in a file and its public one in EC2.
func (w *world) keyPair(region, name, file string) {
	w.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(filepath.Clean(file), pem.EncodeToMemory(block), 0o600); err != nil {
		w.Fatal(err)
	}
	half, err := ssh.NewPublicKey(public)
	if err != nil {
		w.Fatal(err)
	}
	_, err = w.in(region).ImportKeyPair(w.Context(), &ec2.ImportKeyPairInput{KeyName: &name, PublicKeyMaterial: ssh.MarshalAuthorizedKey(half)})
	if err != nil {
		w.Fatal(err)
	}
}
