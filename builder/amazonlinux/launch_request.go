package amazonlinux

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// runInput is the launch as EC2 takes it; the plan's dry run sends the same.
func runInput(b *build, p *plan, at place, profile string, groups []string) *ec2.RunInstancesInput {
	c := b.config
	in := &ec2.RunInstancesInput{
		ImageId:                           p.source.image.ImageId,
		InstanceType:                      types.InstanceType(at.instanceType),
		MinCount:                          aws.Int32(1),
		MaxCount:                          aws.Int32(1),
		BlockDeviceMappings:               p.volumes,
		InstanceInitiatedShutdownBehavior: types.ShutdownBehavior(c.ShutdownBehavior),
		MetadataOptions:                   c.MetadataOptions.request(),
		Placement:                         c.placement(),
		CapacityReservationSpecification:  c.reservation(),
		CreditSpecification:               c.credits(at.instanceType),
		TagSpecifications: []types.TagSpecification{
			tagged(types.ResourceTypeInstance, p.texts.run),
			tagged(types.ResourceTypeVolume, p.texts.volumes),
			tagged(types.ResourceTypeNetworkInterface, p.texts.run),
		},
	}
	if c.userData != "" {
		in.UserData = aws.String(c.userData)
	}
	if strings.HasPrefix(profile, "arn:") {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Arn: aws.String(profile)}
	} else if profile != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(profile)}
	}
	placeIn(in, at.subnet, groups, c.AssociatePublicIPAddress.ToBoolPointer())
	return in
}

// placeIn sets subnet and groups. A public address that is asked for, or asked
// not to be, can only be said on the network interface.
func placeIn(in *ec2.RunInstancesInput, subnet string, groups []string, public *bool) {
	if public == nil {
		in.SubnetId, in.SecurityGroupIds = aws.String(subnet), groups
		return
	}
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
		DeviceIndex:              aws.Int32(0),
		SubnetId:                 aws.String(subnet),
		Groups:                   groups,
		AssociatePublicIpAddress: public,
		DeleteOnTermination:      aws.Bool(true),
	}}
}

func (m MetadataOptions) request() *types.InstanceMetadataOptionsRequest {
	request := &types.InstanceMetadataOptionsRequest{
		HttpEndpoint:         types.InstanceMetadataEndpointState(m.HTTPEndpoint),
		HttpTokens:           types.HttpTokensState(m.HTTPTokens),
		InstanceMetadataTags: types.InstanceMetadataTagsState(m.InstanceMetadataTags),
	}
	if m.HTTPPutResponseHopLimit != 0 {
		request.HttpPutResponseHopLimit = aws.Int32(int32(m.HTTPPutResponseHopLimit))
	}
	return request
}

// placement is nil where the template says nothing about hardware.
func (c *RunConfig) placement() *types.Placement {
	p := types.Placement{Tenancy: types.Tenancy(c.tenancy())}
	if c.Placement.HostID != "" {
		p.HostId = aws.String(c.Placement.HostID)
	}
	if c.Placement.HostResourceGroupARN != "" {
		p.HostResourceGroupArn = aws.String(c.Placement.HostResourceGroupARN)
	}
	if p.HostId == nil && p.HostResourceGroupArn == nil {
		if p.Tenancy == "" {
			return nil
		}
		return &p
	}
	p.Tenancy = types.TenancyHost
	return &p
}

// reservation is nil where the template says nothing about capacity reservations.
func (c *RunConfig) reservation() *types.CapacityReservationSpecification {
	switch {
	case c.CapacityReservationID != "":
		return &types.CapacityReservationSpecification{CapacityReservationTarget: &types.CapacityReservationTarget{
			CapacityReservationId: aws.String(c.CapacityReservationID),
		}}
	case c.CapacityReservationGroupARN != "":
		return &types.CapacityReservationSpecification{CapacityReservationTarget: &types.CapacityReservationTarget{
			CapacityReservationResourceGroupArn: aws.String(c.CapacityReservationGroupARN),
		}}
	case c.CapacityReservationPreference != "":
		return &types.CapacityReservationSpecification{
			CapacityReservationPreference: types.CapacityReservationPreference(c.CapacityReservationPreference),
		}
	}
	return nil
}

// credits is nil for types that have none: EC2 refuses the option on them.
func (c *RunConfig) credits(instanceType string) *types.CreditSpecificationRequest {
	if !burstable.MatchString(instanceType) {
		return nil
	}
	switch {
	case c.EnableUnlimitedCredits.True():
		return &types.CreditSpecificationRequest{CpuCredits: aws.String("unlimited")}
	case c.EnableUnlimitedCredits.False():
		return &types.CreditSpecificationRequest{CpuCredits: aws.String("standard")}
	}
	return nil
}

// templateData is a launch in the form of a launch template: what a fleet
// lays types and subnets over. A spot instance can't be stopped, so its own
// shutdown terminates it, and it runs in no reservation.
func templateData(in *ec2.RunInstancesInput, spot []place, spotTags map[string]string) *types.RequestLaunchTemplateData {
	data := &types.RequestLaunchTemplateData{
		ImageId:                           in.ImageId,
		InstanceInitiatedShutdownBehavior: types.ShutdownBehaviorTerminate,
		UserData:                          in.UserData,
		SecurityGroupIds:                  in.SecurityGroupIds,
		MetadataOptions:                   templateMetadata(in.MetadataOptions),
		BlockDeviceMappings:               templateDevices(in.BlockDeviceMappings),
		NetworkInterfaces:                 templateInterfaces(in.NetworkInterfaces),
	}
	if p := in.IamInstanceProfile; p != nil {
		data.IamInstanceProfile = &types.LaunchTemplateIamInstanceProfileSpecificationRequest{Arn: p.Arn, Name: p.Name}
	}
	if p := in.Placement; p != nil {
		data.Placement = &types.LaunchTemplatePlacementRequest{Tenancy: p.Tenancy}
	}
	if !slices.ContainsFunc(spot, func(p place) bool { return !burstable.MatchString(p.instanceType) }) {
		data.CreditSpecification = in.CreditSpecification
	}
	for _, t := range append(slices.Clone(in.TagSpecifications), tagged(types.ResourceTypeSpotInstancesRequest, spotTags)) {
		data.TagSpecifications = append(data.TagSpecifications, types.LaunchTemplateTagSpecificationRequest{ResourceType: t.ResourceType, Tags: t.Tags})
	}
	return data
}

func templateMetadata(m *types.InstanceMetadataOptionsRequest) *types.LaunchTemplateInstanceMetadataOptionsRequest {
	return &types.LaunchTemplateInstanceMetadataOptionsRequest{
		HttpEndpoint:            types.LaunchTemplateInstanceMetadataEndpointState(m.HttpEndpoint),
		HttpTokens:              types.LaunchTemplateHttpTokensState(m.HttpTokens),
		HttpPutResponseHopLimit: m.HttpPutResponseHopLimit,
		InstanceMetadataTags:    types.LaunchTemplateInstanceMetadataTagsState(m.InstanceMetadataTags),
	}
}

func templateDevices(list []types.BlockDeviceMapping) []types.LaunchTemplateBlockDeviceMappingRequest {
	var devices []types.LaunchTemplateBlockDeviceMappingRequest
	for _, d := range list {
		device := types.LaunchTemplateBlockDeviceMappingRequest{DeviceName: d.DeviceName, NoDevice: d.NoDevice, VirtualName: d.VirtualName}
		if e := d.Ebs; e != nil {
			device.Ebs = &types.LaunchTemplateEbsBlockDeviceRequest{
				DeleteOnTermination: e.DeleteOnTermination, Encrypted: e.Encrypted, Iops: e.Iops, KmsKeyId: e.KmsKeyId,
				SnapshotId: e.SnapshotId, Throughput: e.Throughput, VolumeSize: e.VolumeSize, VolumeType: e.VolumeType,
			}
		}
		devices = append(devices, device)
	}
	return devices
}

// templateInterfaces leave the subnet out, which the fleet chooses.
func templateInterfaces(list []types.InstanceNetworkInterfaceSpecification) []types.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest {
	var interfaces []types.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest
	for _, i := range list {
		interfaces = append(interfaces, types.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest{
			DeviceIndex: i.DeviceIndex, Groups: i.Groups, AssociatePublicIpAddress: i.AssociatePublicIpAddress, DeleteOnTermination: i.DeleteOnTermination,
		})
	}
	return interfaces
}
