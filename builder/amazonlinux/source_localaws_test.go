//go:build linux

package amazonlinux_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// source is the name of the image that an instance was launched from.
func (w *world) source(i types.Instance) string {
	w.Helper()
	return aws.ToString(w.imageIn(region, aws.ToString(i.ImageId)).Name)
}

// amazons are the names of Amazon's images that match, the oldest first.
func (w *world) amazons(name string) []types.Image {
	w.Helper()
	found, err := w.ec2().DescribeImages(w.Context(), &ec2.DescribeImagesInput{
		Owners: []string{"amazon"}, IncludeDeprecated: aws.Bool(true), Filters: []types.Filter{{Name: aws.String("name"), Values: []string{name}}},
	})
	if err != nil || len(found.Images) == 0 {
		w.Fatalf("no image %s: %v", name, err)
	}
	slices.SortFunc(found.Images, func(a, b types.Image) int {
		return strings.Compare(aws.ToString(a.CreationDate), aws.ToString(b.CreationDate))
	})
	return found.Images
}

func TestSources(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	all := w.amazons("al2023-ami-2023.*-x86_64")
	newest, _, _ := strings.Cut(aws.ToString(all[len(all)-1].Name), "-kernel-") // those of two kernels are of one day
	_, err := w.ssm().PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("/mine"), Value: all[0].ImageId, Type: ssmtypes.ParameterTypeString})
	if err != nil {
		t.Fatal(err)
	}
	any2023 := block{"name": "al2023-ami-2023.*-x86_64", "root-device-type": "ebs"}
	for name, test := range map[string]struct {
		more block
		want string // the image's name, or its beginning
		has  string
	}{
		"default":              {nil, "amzn2-ami-kernel-5.10-hvm-", "x86_64"},
		"release":              {block{"release": "2023"}, "al2023-ami-2023.", "x86_64"},
		"kernel":               {block{"release": "2023", "kernel": "6.12"}, "al2023-ami-2023.", "kernel-6.12"},
		"kernel of 2":          {block{"kernel": "4.14"}, "amzn2-ami-hvm-", "x86_64"},
		"architecture":         {block{"instance_type": "", "architecture": "arm64"}, "amzn2-ami-kernel-5.10-hvm-", "arm64"},
		"type":                 {block{"instance_type": "m7g.large"}, "amzn2-ami-kernel-5.10-hvm-", "arm64"},
		"source_ami":           {block{"source_ami": aws.ToString(all[0].ImageId)}, aws.ToString(all[0].Name), ""},
		"source_ami_parameter": {block{"source_ami_parameter": "/mine"}, aws.ToString(all[0].Name), ""},
		"most_recent":          {block{"source_ami_filter": block{"filters": any2023, "owners": []string{"amazon"}, "most_recent": true}}, newest, ""},
		"filter blocks": {block{"source_ami_filter": block{
			"filter": []block{{"key": "name", "value": aws.ToString(all[0].Name)}}, "owners": []string{"137112412989"},
		}}, aws.ToString(all[0].Name), ""},
		"deprecated": {block{"source_ami_filter": block{
			"filters": block{"name": "amzn2-ami-kernel-5.10-hvm-*-x86_64-gp2"}, "owners": []string{"amazon"}, "most_recent": true, "include_deprecated": true,
		}}, "amzn2-ami-kernel-5.10-hvm-", "x86_64"},
	} {
		i, r := w.launched(test.more)
		if r.err != nil {
			t.Errorf("%s: %v", name, r.err)
			continue
		}
		if got := w.source(i); !strings.HasPrefix(got, test.want) || !strings.Contains(got, test.has) {
			t.Errorf("%s: launched from %s, want %s...%s", name, got, test.want, test.has)
		}
	}
	look := block{"source_ami_filter": block{"filters": any2023, "owners": []string{"self"}, "most_recent": true}}
	if _, r := w.launched(look); r.err == nil || !strings.Contains(r.err.Error(), "no image in us-east-1 matches") {
		t.Errorf("owners: images of others are taken: %v", r.err)
	}
}
