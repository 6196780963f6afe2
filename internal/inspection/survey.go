// Package inspection looks at what a build has left: in the account, by listing it, and inside the image, by launching
// it and asking it through Run Command. It speaks to AWS as any client does and knows nothing of the plugin, so what
// it finds is evidence.
package inspection

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// Config is the client configuration that an environment such as localaws gives (`AWS_ENDPOINT_URL=...` and so on) says,
// without a look at this process's environment or the user's files.
func Config(environ []string) aws.Config {
	value := map[string]string{}
	for _, entry := range environ {
		name, v, _ := strings.Cut(entry, "=")
		value[name] = v
	}
	return aws.Config{
		Region:       value["AWS_REGION"],
		BaseEndpoint: aws.String(value["AWS_ENDPOINT_URL"]),
		Credentials: credentials.NewStaticCredentialsProvider(
			value["AWS_ACCESS_KEY_ID"], value["AWS_SECRET_ACCESS_KEY"], value["AWS_SESSION_TOKEN"]),
	}
}

// Account is what an account holds in one region: the ids of each kind of thing that a build could leave.
type Account map[string][]string

// Survey lists an account.
func Survey(ctx context.Context, config aws.Config) (Account, error) {
	found := Account{}
	for kind, list := range map[string]func(context.Context, aws.Config) ([]string, error){
		"instances": instances, "volumes": volumes, "images": Images, "snapshots": snapshots,
		"security groups": groups, "key pairs": keys, "roles": roles, "instance profiles": profiles,
	} {
		ids, err := list(ctx, config)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}
		slices.Sort(ids)
		found[kind] = ids
	}
	return found, nil
}

// Since is what is there now and was not before.
func (a Account) Since(before Account) Account {
	fresh := Account{}
	for kind, ids := range a {
		if added := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(before[kind], id) }); len(added) > 0 {
			fresh[kind] = added
		}
	}
	return fresh
}

// Kinds are the kinds of things that a survey lists, in order.
func (a Account) Kinds() []string { return slices.Sorted(maps.Keys(a)) }

// idsOf collects one id of each element; nil ids are AWS's way to say nothing.
func idsOf[T any](elements []T, id func(T) *string) []string {
	var ids []string
	for _, e := range elements {
		ids = append(ids, aws.ToString(id(e)))
	}
	return ids
}

func instances(ctx context.Context, config aws.Config) ([]string, error) {
	var ids []string
	pages := ec2.NewDescribeInstancesPaginator(ec2.NewFromConfig(config), &ec2.DescribeInstancesInput{
		Filters: []types.Filter{{Name: aws.String("instance-state-name"), Values: []string{"pending", "running", "stopping", "stopped", "shutting-down"}}},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Reservations {
			ids = append(ids, idsOf(r.Instances, func(i types.Instance) *string { return i.InstanceId })...)
		}
	}
	return ids, nil
}

func volumes(ctx context.Context, config aws.Config) ([]string, error) {
	out, err := ec2.NewFromConfig(config).DescribeVolumes(ctx, &ec2.DescribeVolumesInput{})
	if err != nil {
		return nil, err
	}
	return idsOf(out.Volumes, func(v types.Volume) *string { return v.VolumeId }), nil
}

// Images are the account's own.
func Images(ctx context.Context, config aws.Config) ([]string, error) {
	out, err := ec2.NewFromConfig(config).DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}})
	if err != nil {
		return nil, err
	}
	return idsOf(out.Images, func(i types.Image) *string { return i.ImageId }), nil
}

func snapshots(ctx context.Context, config aws.Config) ([]string, error) {
	out, err := ec2.NewFromConfig(config).DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
	if err != nil {
		return nil, err
	}
	return idsOf(out.Snapshots, func(s types.Snapshot) *string { return s.SnapshotId }), nil
}

func groups(ctx context.Context, config aws.Config) ([]string, error) {
	out, err := ec2.NewFromConfig(config).DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{})
	if err != nil {
		return nil, err
	}
	return idsOf(out.SecurityGroups, func(g types.SecurityGroup) *string { return g.GroupId }), nil
}

func keys(ctx context.Context, config aws.Config) ([]string, error) {
	out, err := ec2.NewFromConfig(config).DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{})
	if err != nil {
		return nil, err
	}
	return idsOf(out.KeyPairs, func(k types.KeyPairInfo) *string { return k.KeyName }), nil
}

func roles(ctx context.Context, config aws.Config) ([]string, error) {
	out, err := iam.NewFromConfig(config).ListRoles(ctx, &iam.ListRolesInput{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range out.Roles {
		names = append(names, aws.ToString(r.RoleName))
	}
	return names, nil
}

func profiles(ctx context.Context, config aws.Config) ([]string, error) {
	out, err := iam.NewFromConfig(config).ListInstanceProfiles(ctx, &iam.ListInstanceProfilesInput{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range out.InstanceProfiles {
		names = append(names, aws.ToString(p.InstanceProfileName))
	}
	return names, nil
}
