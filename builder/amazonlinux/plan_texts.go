package amazonlinux

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"
)

// The tags by which a resource of ours is found again, whoever made it.
const (
	tagName    = "Name"
	tagBuild   = "packer-plugin-ssm:build"   // the build's id
	tagExpires = "packer-plugin-ssm:expires" // RFC 3339, UTC: after this, nothing needs it any more
)

var ownTags = []string{tagName, tagBuild, tagExpires}

// buildInfo is what templates in tags and descriptions can use, under the names of amazon-ebs.
type buildInfo struct {
	BuildRegion           string
	SourceAMI             string
	SourceAMICreationDate string
	SourceAMIName         string
	SourceAMIOwner        string
	SourceAMIOwnerName    string
	SourceAMITags         map[string]string
}

func (p *plan) info() buildInfo {
	image := p.source.image
	tags := make(map[string]string, len(image.Tags))
	for _, t := range image.Tags {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return buildInfo{
		BuildRegion:           p.region,
		SourceAMI:             aws.ToString(image.ImageId),
		SourceAMICreationDate: aws.ToString(image.CreationDate),
		SourceAMIName:         aws.ToString(image.Name),
		SourceAMIOwner:        aws.ToString(image.OwnerId),
		SourceAMIOwnerName:    aws.ToString(image.ImageOwnerAlias),
		SourceAMITags:         tags,
	}
}

// texts are the tags of everything and the image's description, rendered.
type texts struct {
	description string
	image       map[string]string
	snapshots   map[string]string
	run         map[string]string
	volumes     map[string]string
	spot        map[string]string
	fleet       map[string]string
	accounts    []map[string]string // the tags of each ami_copy
}

func render(b *build, p *plan) (texts, error) {
	c := b.config
	in := b.interp
	in.Data = p.info()
	var errs []error
	tags := func(option string, given map[string]string) map[string]string {
		rendered, err := renderTags(&in, given)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", option, err))
		}
		return rendered
	}
	temporary := map[string]string{
		tagName:    shortTag("packer " + c.AMIName),
		tagBuild:   b.id,
		tagExpires: b.started.Add(c.InstanceTTL).UTC().Format(time.RFC3339),
	}
	own := map[string]string{tagBuild: b.id}
	image := merge(own, tags("tags", c.Tags))
	if c.SkipAMIRunTags.False() {
		image = merge(tags("run_tags", c.RunTags), image)
	}
	t := texts{
		image:     image,
		snapshots: merge(image, tags("snapshot_tags", c.SnapshotTags)),
		run:       merge(temporary, tags("run_tags", c.RunTags)),
		volumes:   merge(temporary, tags("run_volume_tags", c.RunVolumeTags)),
		spot:      merge(temporary, tags("spot_tags", c.SpotTags)),
		fleet:     merge(temporary, tags("fleet_tags", c.FleetTags)),
	}
	for i, block := range c.AMICopies {
		t.accounts = append(t.accounts, tags(fmt.Sprintf("ami_copy[%d].tags", i), block.Tags))
	}
	var err error
	if t.description, err = interpolate.Render(c.AMIDescription, &in); err != nil {
		errs = append(errs, fmt.Errorf("ami_description: %w", err))
	}
	if len(t.description) > maxDescriptionLength {
		errs = append(errs, fmt.Errorf("ami_description: rendered it has %d characters; it may have %d", len(t.description), maxDescriptionLength))
	}
	return t, errors.Join(errs...)
}

func renderTags(in *interpolate.Context, given map[string]string) (map[string]string, error) {
	rendered := make(map[string]string, len(given))
	for _, key := range slices.Sorted(maps.Keys(given)) {
		k, err := interpolate.Render(key, in)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
		v, err := interpolate.Render(given[key], in)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
		if len([]rune(v)) > maxTagValue {
			return nil, fmt.Errorf("%q: rendered it has %d characters; AWS takes %d", key, len([]rune(v)), maxTagValue)
		}
		rendered[k] = v
	}
	return rendered, nil
}

// merge lays later maps over earlier ones.
func merge(sets ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	return all
}

// sorted walks a map in the order of its keys, so that requests are the same each time.
func sortedTags[T any](tags map[string]string, tag func(key, value *string) T) []T {
	list := make([]T, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, tag(aws.String(key), aws.String(tags[key])))
	}
	return list
}

func ec2Tags(tags map[string]string) []types.Tag {
	return sortedTags(tags, func(key, value *string) types.Tag { return types.Tag{Key: key, Value: value} })
}

func tagged(kind types.ResourceType, tags map[string]string) types.TagSpecification {
	return types.TagSpecification{ResourceType: kind, Tags: ec2Tags(tags)}
}

func shortTag(s string) string {
	if r := []rune(s); len(r) > maxTagValue {
		return string(r[:maxTagValue])
	}
	return s
}
