package amazonlinux

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	registry "github.com/hashicorp/packer-plugin-sdk/packer/registry/image"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// BuilderID is that of amazon-ebs, on purpose: post-processors that take AMIs
// (ami-copy, ami-management) take only the ids that they know, and what we
// hand them is the same, region:ami-id.
const BuilderID = "mitchellh.amazonebs"

// Artifact is the image that a build made.
type Artifact struct {
	region string
	image  string
	source string
	data   map[string]any // the generated data, for post-processors
	ec2    *ec2Calls
}

var _ packersdk.Artifact = (*Artifact)(nil)

func newArtifact(b *build, bag multistep.StateBag) *Artifact {
	data, _ := bag.Get(stateGeneratedData).(map[string]any)
	return &Artifact{
		region: b.plan.region,
		image:  b.image,
		source: aws.ToString(b.plan.source.image.ImageId),
		data:   data,
		ec2:    &b.aws.ec2,
	}
}

// BuilderId is BuilderID; its spelling is Packer's.
func (a *Artifact) BuilderId() string { return BuilderID } //nolint:revive // named by packersdk.Artifact

// Files is empty: the image is on AWS.
func (a *Artifact) Files() []string { return nil }

// Id is "region:ami-id"; its spelling is Packer's.
func (a *Artifact) Id() string { return a.region + ":" + a.image } //nolint:revive // named by packersdk.Artifact

// String is what Packer prints at the end, in the words of amazon-ebs: scripts read them.
func (a *Artifact) String() string {
	return fmt.Sprintf("AMIs were created:\n%s: %s\n", a.region, a.image)
}

// State gives the generated data, and the image's metadata for the HCP registry.
func (a *Artifact) State(name string) any {
	switch name {
	case stateGeneratedData:
		return a.data
	case "atlas.artifact.metadata":
		return map[string]string{"region." + a.region: a.image}
	case registry.ArtifactStateURI:
		return []*registry.Image{{
			ImageID:        a.image,
			ProviderName:   "aws",
			ProviderRegion: a.region,
			SourceImageID:  a.source,
		}}
	}
	return nil
}

// destroyLimit bounds Destroy, which Packer gives no context.
const destroyLimit = 2 * time.Minute

// Destroy deregisters the image and deletes its snapshots.
func (a *Artifact) Destroy() error {
	ctx, cancel := context.WithTimeout(context.Background(), destroyLimit)
	defer cancel()
	found, err := a.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{a.image}})
	if err != nil && !strings.HasPrefix(awsclient.Code(err), "InvalidAMIID") {
		return fmt.Errorf("destroy %s: %w", a.image, awsclient.Err(err))
	}
	if err != nil || len(found.Images) == 0 {
		return errors.New("destroy " + a.image + ": it is gone already")
	}
	var snapshots []string
	for _, device := range found.Images[0].BlockDeviceMappings {
		if device.Ebs != nil && device.Ebs.SnapshotId != nil {
			snapshots = append(snapshots, aws.ToString(device.Ebs.SnapshotId))
		}
	}
	err = removeImage(ctx, a.ec2, a.image, func() ([]string, error) { return snapshots, nil })
	if err != nil {
		return fmt.Errorf("destroy %s: %w", a.image, err)
	}
	return nil
}
