package amazonlinux

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

// volumes are the block devices to launch with: those of the source image, with
// the wishes of root_volume and launch_block_device_mappings laid over them,
// and those that the latter add. All go with the instance unless the template says
// otherwise, and then the build's own cleanup sees to it.
func volumes(c *DiskConfig, image types.Image) ([]types.BlockDeviceMapping, error) {
	var list []types.BlockDeviceMapping
	var errs []error
	asked := slices.Clone(c.LaunchMappings)
	for _, device := range image.BlockDeviceMappings {
		name := aws.ToString(device.DeviceName)
		over := slices.IndexFunc(asked, func(d BlockDevice) bool { return d.DeviceName == name })
		root := name == aws.ToString(image.RootDeviceName)
		if root && over >= 0 {
			errs = append(errs, checkRootMapping(c, asked[over]))
		}
		if device.Ebs == nil || over >= 0 && asked[over].mapping().Ebs == nil {
			continue // an instance store volume ends with its instance anyway; what is asked in its place comes below
		}
		ebs := &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(true)}
		if root {
			c.RootVolume.apply(ebs)
		}
		if over >= 0 {
			asked[over].apply(ebs)
			asked = slices.Delete(asked, over, over+1)
		}
		if size := aws.ToInt32(device.Ebs.VolumeSize); ebs.VolumeSize != nil && *ebs.VolumeSize < size {
			errs = append(errs, fmt.Errorf("%s: %d GiB is less than the source image's %d GiB; a volume can't shrink", sizeOption(c, root, name), *ebs.VolumeSize, size))
		}
		list = append(list, types.BlockDeviceMapping{DeviceName: device.DeviceName, Ebs: ebs})
	}
	for i := range asked {
		if d := &asked[i]; !d.NoDevice && d.VirtualName == "" && d.VolumeSize == 0 && d.SnapshotID == "" {
			errs = append(errs, fmt.Errorf("launch_block_device_mappings: %s is not in the source image; give it a volume_size or a snapshot_id", d.DeviceName))
		}
		list = append(list, asked[i].mapping())
	}
	return list, errors.Join(errs...)
}

func sizeOption(c *DiskConfig, root bool, device string) string {
	if root && c.RootVolume != (RootVolume{}) {
		return "root_volume.size"
	}
	return "launch_block_device_mappings: " + device
}

// checkRootMapping refuses what can't be said of the root device.
func checkRootMapping(c *DiskConfig, d BlockDevice) error {
	switch {
	case c.RootVolume != (RootVolume{}):
		return fmt.Errorf("root_volume and launch_block_device_mappings: both describe the root device, %s; keep one of them", d.DeviceName)
	case d.NoDevice || d.VirtualName != "":
		return fmt.Errorf("launch_block_device_mappings: %s is the root device, which no instance goes without; delete no_device and virtual_name", d.DeviceName)
	case d.SnapshotID != "":
		return fmt.Errorf("launch_block_device_mappings: %s is the root device, which is made of the source image's snapshot; delete snapshot_id", d.DeviceName)
	}
	return nil
}

// kept are the devices whose volumes EC2 would leave behind when the instance ends.
func kept(volumes []types.BlockDeviceMapping) []string {
	var names []string
	for _, v := range volumes {
		if v.Ebs != nil && !aws.ToBool(v.Ebs.DeleteOnTermination) {
			names = append(names, aws.ToString(v.DeviceName))
		}
	}
	return names
}

func (v RootVolume) apply(ebs *types.EbsBlockDevice) {
	if v.Size != 0 {
		ebs.VolumeSize = aws.Int32(int32(v.Size))
	}
	if v.IOPS != 0 {
		ebs.Iops = aws.Int32(int32(v.IOPS))
	}
	if v.Throughput != 0 {
		ebs.Throughput = aws.Int32(int32(v.Throughput))
	}
	if v.KMSKeyID != "" {
		ebs.KmsKeyId = aws.String(v.KMSKeyID)
	}
	if v.Type != "" {
		ebs.VolumeType = types.VolumeType(v.Type)
	}
	if v.Encrypted != config.TriUnset {
		ebs.Encrypted = v.Encrypted.ToBoolPointer()
	}
}
