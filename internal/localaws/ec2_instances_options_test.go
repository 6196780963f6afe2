package localaws

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// What a launch asks for shows on the instance, or the launch is refused: nothing is passed over.
func TestLaunchOptionsShow(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	_, err := c.CreatePlacementGroup(t.Context(), &ec2.CreatePlacementGroupInput{GroupName: aws.String("apart"), Strategy: types.PlacementStrategySpread})
	ok(t, err)
	i, err := runOne(t, c, func(in *ec2.RunInstancesInput) {
		in.CpuOptions = &types.CpuOptionsRequest{CoreCount: aws.Int32(1), ThreadsPerCore: aws.Int32(1)}
		in.MaintenanceOptions = &types.InstanceMaintenanceOptionsRequest{AutoRecovery: types.InstanceAutoRecoveryStateDisabled}
		in.PrivateDnsNameOptions = &types.PrivateDnsNameOptionsRequest{HostnameType: types.HostnameTypeResourceName, EnableResourceNameDnsARecord: aws.Bool(true)}
		in.Placement = &types.Placement{GroupName: aws.String("apart")}
	})
	ok(t, err)
	if *i.CpuOptions.ThreadsPerCore != 1 || i.MaintenanceOptions.AutoRecovery != "disabled" || i.PrivateDnsNameOptions.HostnameType != "resource-name" || *i.Placement.GroupName != "apart" {
		t.Errorf("%+v %+v %+v %+v", i.CpuOptions, i.MaintenanceOptions, i.PrivateDnsNameOptions, i.Placement)
	}
	_, err = c.DeletePlacementGroup(t.Context(), &ec2.DeletePlacementGroupInput{GroupName: aws.String("apart")})
	wantAPIError(t, err, "InvalidPlacementGroup.InUse", "apart")
}

func TestLaunchOptionsRefused(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	_, err := c.CreatePlacementGroup(t.Context(), &ec2.CreatePlacementGroupInput{GroupName: aws.String("near"), Strategy: types.PlacementStrategyCluster})
	ok(t, err)
	_, err = c.CreatePlacementGroup(t.Context(), &ec2.CreatePlacementGroupInput{GroupName: aws.String("near")})
	wantAPIError(t, err, "InvalidPlacementGroup.Duplicate", "near")
	spot := func(o types.SpotMarketOptions) func(*ec2.RunInstancesInput) {
		return func(in *ec2.RunInstancesInput) {
			in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot, SpotOptions: &o}
		}
	}
	for name, test := range map[string]struct {
		change func(*ec2.RunInstancesInput)
		code   string
	}{
		"too many cores": {func(in *ec2.RunInstancesInput) {
			in.CpuOptions = &types.CpuOptionsRequest{CoreCount: aws.Int32(2), ThreadsPerCore: aws.Int32(2)}
		}, "InvalidParameterValue"},
		"half of the CPU options": {func(in *ec2.RunInstancesInput) { in.CpuOptions = &types.CpuOptionsRequest{CoreCount: aws.Int32(1)} }, "InvalidParameterCombination"},
		"hibernation on a plain disk": {func(in *ec2.RunInstancesInput) {
			in.HibernationOptions = &types.HibernationOptionsRequest{Configured: aws.Bool(true)}
		}, "UnsupportedHibernationConfiguration"},
		"unknown placement group": {func(in *ec2.RunInstancesInput) { in.Placement = &types.Placement{GroupName: aws.String("none")} }, "InvalidPlacementGroup.Unknown"},
		"burstable in a cluster":  {func(in *ec2.RunInstancesInput) { in.Placement = &types.Placement{GroupName: aws.String("near")} }, "InvalidParameterCombination"},
		"licenses": {func(in *ec2.RunInstancesInput) {
			in.LicenseSpecifications = []types.LicenseConfigurationRequest{{LicenseConfigurationArn: aws.String("arn:aws:license-manager:us-east-1:123456789012:license-configuration:lic-1")}}
		}, "NotInLocalaws"},
		"persistent spot": {spot(types.SpotMarketOptions{SpotInstanceType: types.SpotInstanceTypePersistent}), "NotInLocalaws"},
		"spot that stops": {spot(types.SpotMarketOptions{InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorStop}), "InvalidParameterCombination"},
		"unknown recovery": {func(in *ec2.RunInstancesInput) {
			in.MaintenanceOptions = &types.InstanceMaintenanceOptionsRequest{AutoRecovery: "never"}
		}, "InvalidParameterValue"},
		"second card": {func(in *ec2.RunInstancesInput) {
			in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), NetworkCardIndex: aws.Int32(1)}}
		}, "InvalidParameterValue"},
		"fabric adapter": {func(in *ec2.RunInstancesInput) {
			in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), InterfaceType: aws.String("efa")}}
		}, "NotInLocalaws"},
		"an address of IPv6": {func(in *ec2.RunInstancesInput) { in.Ipv6AddressCount = aws.Int32(1) }, "NotInLocalaws"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := runOne(t, c, test.change)
			wantAPIError(t, err, test.code)
		})
	}
}

// A template's settings give way to the request's, each by itself; a request with a device twice is refused with a template too.
func TestRequestsOverrideTemplates(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	_, err := c.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("template"), LaunchTemplateData: &types.RequestLaunchTemplateData{
		CpuOptions: &types.LaunchTemplateCpuOptionsRequest{CoreCount: aws.Int32(1), ThreadsPerCore: aws.Int32(2)},
	}})
	ok(t, err)
	from := &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("template")}
	i, err := runOne(t, c, func(in *ec2.RunInstancesInput) {
		in.LaunchTemplate = from
		in.CpuOptions = &types.CpuOptionsRequest{CoreCount: aws.Int32(1), ThreadsPerCore: aws.Int32(1)}
	})
	ok(t, err)
	if *i.CpuOptions.ThreadsPerCore != 1 {
		t.Errorf("%d threads", *i.CpuOptions.ThreadsPerCore)
	}
	twice := types.BlockDeviceMapping{DeviceName: aws.String("/dev/sdf"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(1)}}
	_, err = runOne(t, c, func(in *ec2.RunInstancesInput) {
		in.LaunchTemplate = from
		in.BlockDeviceMappings = []types.BlockDeviceMapping{twice, twice}
	})
	wantAPIError(t, err, "InvalidBlockDeviceMapping", "/dev/sdf")
}
