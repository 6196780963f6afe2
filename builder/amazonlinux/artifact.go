package amazonlinux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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

// Artifact is the image that a build made, in all its regions and accounts.
type Artifact struct {
	images []regional // in the order of their accounts, the build's own first, and of their regions' names
	source string
	data   map[string]any // the generated data, for post-processors
}

// A regional is the image in one region.
type regional struct {
	region, id string
	account    string // that owns it; "" for the build's own
	api        *ec2Calls
}

var _ packersdk.Artifact = (*Artifact)(nil)

func newArtifact(b *build, bag multistep.StateBag) *Artifact {
	data, _ := bag.Get(stateGeneratedData).(map[string]any)
	a := &Artifact{source: aws.ToString(b.plan.source.image.ImageId), data: data}
	for _, p := range b.final {
		image := regional{region: p.target.region, id: p.id, api: p.api}
		if p.target.account != nil {
			image.account = p.target.account.id
		}
		a.images = append(a.images, image)
	}
	slices.SortFunc(a.images, func(x, y regional) int {
		return cmp.Or(strings.Compare(x.account, y.account), strings.Compare(x.region, y.region))
	})
	return a
}

// BuilderId is BuilderID; its spelling is Packer's.
func (a *Artifact) BuilderId() string { return BuilderID } //nolint:revive // named by packersdk.Artifact

// Files is empty: the image is on AWS.
func (a *Artifact) Files() []string { return nil }

// Id is "region:ami-id" of each region, with commas; its spelling is Packer's.
// Copies in other accounts are not in it: post-processors take what is there for
// the build's own. Only where nothing else was kept it has them.
func (a *Artifact) Id() string { //nolint:revive // named by packersdk.Artifact
	list := a.own()
	if len(list) == 0 {
		list = a.images
	}
	return join(list, ":", ",")
}

// own are the images of the build's own account.
func (a *Artifact) own() []regional {
	return slices.DeleteFunc(slices.Clone(a.images), func(r regional) bool { return r.account != "" })
}

// String is what Packer prints at the end, in the words of amazon-ebs: scripts
// read them. Copies in other accounts follow, on lines that such scripts don't take for the build's own.
func (a *Artifact) String() string {
	var text strings.Builder
	text.WriteString("AMIs were created:\n")
	for _, image := range a.images {
		text.WriteString(image.where() + ": " + image.id + "\n")
	}
	return text.String()
}

// where is the image's region, and its account where that is not the build's.
func (r regional) where() string {
	if r.account == "" {
		return r.region
	}
	return r.region + " of account " + r.account
}

func join(list []regional, inside, between string) string {
	parts := make([]string, len(list))
	for i, image := range list {
		parts[i] = image.region + inside + image.id
	}
	return strings.Join(parts, between)
}

// State gives the generated data, and the images' metadata for the HCP registry.
func (a *Artifact) State(name string) any {
	switch name {
	case stateGeneratedData:
		return a.data
	case "atlas.artifact.metadata":
		metadata := map[string]string{}
		for _, image := range a.own() {
			metadata["region."+image.region] = image.id
		}
		return metadata
	case registry.ArtifactStateURI:
		var list []*registry.Image
		for _, image := range a.own() {
			list = append(list, &registry.Image{
				ImageID:        image.id,
				ProviderName:   "aws",
				ProviderRegion: image.region,
				SourceImageID:  a.source,
			})
		}
		return list
	}
	return nil
}

// destroyLimit bounds Destroy, which Packer gives no context.
const destroyLimit = 2 * time.Minute

// Destroy deregisters the image in every region and account and deletes its snapshots.
func (a *Artifact) Destroy() error {
	ctx, cancel := context.WithTimeout(context.Background(), destroyLimit)
	defer cancel()
	removals := make([]func() error, len(a.images))
	for i, image := range a.images {
		removals[i] = func() error {
			if err := image.destroy(ctx); err != nil {
				return fmt.Errorf("destroy %s in %s: %w", image.id, image.where(), err)
			}
			return nil
		}
	}
	return all(removals...)
}

func (r regional) destroy(ctx context.Context) error {
	found, err := r.api.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{r.id}})
	if err != nil && !strings.HasPrefix(awsclient.Code(err), "InvalidAMIID") {
		return awsclient.Err(err)
	}
	if err != nil || len(found.Images) == 0 {
		return errors.New("it is gone already")
	}
	return removeImage(ctx, r.api, r.id, func() ([]string, error) { return snapshotsOf(found.Images[0]), nil })
}
