package localaws

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// customerKey makes a key that is not AWS's own, with a policy unless that is "".
func customerKey(t *testing.T, s *Server, account, policy string) *kmsKey {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.kmsPlace(account, "us-east-1").newKey(account, "us-east-1", s.clock.Now())
	if policy != "" {
		ok(t, key.setPolicy(policy))
	}
	return key
}

// lets is a key policy that allows the other account some actions.
func lets(actions string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + OtherAccount + `:root"},"Action":[` + actions + `],"Resource":"*"}]}`
}

// shared makes an image encrypted with a key, which the other account may launch, and whose snapshots it may read where it says so.
func shared(t *testing.T, s *Server, name, key string, storage bool) string {
	t.Helper()
	mine := ec2Client(t, s, DefaultAccount)
	made, err := mine.CopyImage(t.Context(), &ec2.CopyImageInput{
		Name: aws.String(name), SourceImageId: imageOf(t, mine, name+" source").ImageId, SourceRegion: aws.String("us-east-1"),
		Encrypted: aws.Bool(true), KmsKeyId: aws.String(key),
	})
	ok(t, err)
	img := untilImage(t, mine, *made.ImageId)
	_, err = mine.ModifyImageAttribute(t.Context(), &ec2.ModifyImageAttributeInput{
		ImageId: img.ImageId, LaunchPermission: &types.LaunchPermissionModifications{Add: []types.LaunchPermission{{UserId: aws.String(OtherAccount)}}},
	})
	ok(t, err)
	if storage {
		_, err = mine.ModifySnapshotAttribute(t.Context(), &ec2.ModifySnapshotAttributeInput{
			SnapshotId: img.BlockDeviceMappings[0].Ebs.SnapshotId, Attribute: types.SnapshotAttributeNameCreateVolumePermission,
			CreateVolumePermission: &types.CreateVolumePermissionModifications{Add: []types.CreateVolumePermission{{UserId: aws.String(OtherAccount)}}},
		})
		ok(t, err)
	}
	return *img.ImageId
}

// Another account copies an image only with the storage's permission, and what is encrypted only with the key's.
func TestCopyOfAnothersImage(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{NoMachines: true})
	theirs := ec2Client(t, s, OtherAccount)
	enough := lets(`"kms:DescribeKey","kms:Decrypt","kms:ReEncrypt*","kms:CreateGrant"`)
	for name, test := range map[string]struct {
		policy  string
		storage bool
		refused string
		state   types.ImageState
	}{
		"no storage":     {policy: enough, refused: "InvalidRequest"},
		"allowed":        {policy: enough, storage: true, state: types.ImageStateAvailable},
		"default policy": {storage: true, state: types.ImageStateFailed},
		"no grant":       {policy: lets(`"kms:DescribeKey","kms:Decrypt","kms:ReEncrypt*"`), storage: true, state: types.ImageStateFailed},
	} {
		id := shared(t, s, name, customerKey(t, s, DefaultAccount, test.policy).ARN, test.storage)
		copied, err := theirs.CopyImage(t.Context(), &ec2.CopyImageInput{Name: aws.String(name), SourceImageId: aws.String(id), SourceRegion: aws.String("us-east-1")})
		if test.refused != "" {
			wantAPIError(t, err, test.refused, "permission to access the storage")
			continue
		}
		ok(t, err)
		var img types.Image
		until(t, name+": copied", func() bool {
			out, err := theirs.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*copied.ImageId}})
			ok(t, err)
			img = out.Images[0]
			return img.State != types.ImageStatePending
		})
		if img.State != test.state || test.state == types.ImageStateFailed && !strings.Contains(aws.ToString(img.StateReason.Message), "Given key ID is not accessible") {
			t.Errorf("%s: %s, %+v", name, img.State, img.StateReason)
		}
	}
}

// A key has a policy from the start, takes another, and tells either.
func TestCLIReadsKeyPolicies(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{NoMachines: true})
	key := customerKey(t, s, DefaultAccount, "").ID
	wantCLI(t, s, "kms get-key-policy --key-id "+key+" --query PolicyName", "default")
	policy := lets(`"kms:Decrypt"`)
	for _, words := range []string{"kms put-key-policy --key-id " + key + " --policy-name default --policy " + policy} {
		if out, errs := cli(t, s, words); out != "" || errs != "" {
			t.Errorf("aws %s\nprinted %q %s", words, out, errs)
		}
	}
	wantCLI(t, s, "kms get-key-policy --key-id "+key+" --query Policy", policy)
	if _, errs := cli(t, s, "kms put-key-policy --key-id "+key+" --policy {}"); !strings.Contains(errs, "MalformedPolicyDocumentException") {
		t.Errorf("an empty policy: %s", errs)
	}
	if _, errs := cli(t, s, "kms get-key-policy --key-id "+key+" --policy-name mine"); !strings.Contains(errs, "NotFoundException") {
		t.Errorf("another name: %s", errs)
	}
}
