package amazonlinux

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func deviceOf(name, snapshot string) types.BlockDeviceMapping {
	ebs := &types.EbsBlockDevice{VolumeSize: aws.Int32(8)}
	if snapshot != "" {
		ebs.SnapshotId = aws.String(snapshot)
	}
	return types.BlockDeviceMapping{DeviceName: aws.String(name), Ebs: ebs}
}

// A pending image's devices may not say yet which snapshots are theirs; none is ever guessed.
func TestSnapshotsArePlaced(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		devices   []types.BlockDeviceMapping
		snapshots []types.Snapshot
		want      string // "" where it can't be told
	}{
		"all named":                      {[]types.BlockDeviceMapping{deviceOf("root", "snap-1"), deviceOf("data", "snap-2")}, snaps("snap-1", "snap-2"), "root=snap-1 data=snap-2"},
		"one that is meant to be empty":  {[]types.BlockDeviceMapping{deviceOf("root", "snap-1"), deviceOf("empty", "")}, snaps("snap-1"), "root=snap-1 empty="},
		"only one, and nothing named":    {[]types.BlockDeviceMapping{deviceOf("root", "")}, snaps("snap-1"), "root=snap-1"},
		"two, and nothing named":         {[]types.BlockDeviceMapping{deviceOf("root", ""), deviceOf("data", "")}, snaps("snap-1", "snap-2"), ""},
		"one of two is not there yet":    {[]types.BlockDeviceMapping{deviceOf("root", ""), deviceOf("data", "")}, snaps("snap-1"), ""},
		"one too many":                   {[]types.BlockDeviceMapping{deviceOf("root", "snap-1")}, snaps("snap-1", "snap-2"), ""},
		"no devices":                     {nil, snaps("snap-1"), ""},
		"copies, by what they are of":    {[]types.BlockDeviceMapping{deviceOf("root", "snap-8"), deviceOf("data", "snap-9")}, snaps("snap-1 for SourceSnapshot snap-9.", "snap-2 for SourceSnapshot snap-8."), "root=snap-2 data=snap-1"},
		"a copy, with nothing described": {[]types.BlockDeviceMapping{deviceOf("root", "snap-8")}, snaps("snap-1"), "root=snap-1"},
		"somebody else's":                {[]types.BlockDeviceMapping{deviceOf("root", "snap-1"), deviceOf("data", "snap-9")}, snaps("snap-1"), ""},
		"an instance store":              {[]types.BlockDeviceMapping{deviceOf("root", "snap-1"), {DeviceName: aws.String("store"), VirtualName: aws.String("ephemeral0")}}, snaps("snap-1"), "root=snap-1 store"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, whole := placed(test.devices, "root", test.snapshots, func(device string) bool { return device == "empty" })
			if got := devicesAsText(list); whole != (test.want != "") || whole && got != test.want {
				t.Errorf("%t: %s, want %q", whole, got, test.want)
			}
		})
	}
}

// snaps are snapshots by id and description.
func snaps(texts ...string) []types.Snapshot {
	var list []types.Snapshot
	for _, text := range texts {
		id, description, _ := strings.Cut(text, " ")
		list = append(list, types.Snapshot{SnapshotId: aws.String(id), Description: aws.String(description)})
	}
	return list
}

func devicesAsText(list []types.BlockDeviceMapping) string {
	var parts []string
	for _, d := range list {
		part := aws.ToString(d.DeviceName)
		if d.Ebs != nil {
			part += "=" + aws.ToString(d.Ebs.SnapshotId)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}
