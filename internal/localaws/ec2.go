package localaws

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// ec2State is all of the simulated EC2; Server.mu guards it.
type ec2State struct {
	places          map[ec2PlaceKey]*ec2Place
	regions         map[string]*ec2Region
	publicAddresses int // given out so far
	shortages       shortages
}

type ec2PlaceKey struct{ account, region string }

func newEC2State() *ec2State {
	return &ec2State{places: map[ec2PlaceKey]*ec2Place{}, regions: map[string]*ec2Region{}}
}

// ec2Operations is every action of EC2 that this server answers.
func (s *Server) ec2Operations() map[string]operation {
	return operationsOf(s.ec2InstanceOperations(), s.ec2ImageOperations(), s.ec2VolumeOperations(),
		s.ec2NetworkOperations(), s.ec2OtherOperations())
}

// operationsOf merges tables of operations into one.
func operationsOf(tables ...map[string]operation) map[string]operation {
	all := map[string]operation{}
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}

func (s *Server) ec2InstanceOperations() map[string]operation {
	return map[string]operation{
		"RunInstances":                               queryOp(s.runInstances),
		"DescribeInstances":                          queryOp(s.describeInstances),
		"DescribeInstanceStatus":                     queryOp(s.describeInstanceStatus),
		"DescribeInstanceAttribute":                  queryOp(s.describeInstanceAttribute),
		"ModifyInstanceAttribute":                    queryOp(s.modifyInstanceAttribute),
		"ModifyInstanceMetadataOptions":              queryOp(s.modifyMetadataOptions),
		"DescribeInstanceCreditSpecifications":       queryOp(s.describeCredits),
		"StartInstances":                             queryOp(s.startInstances),
		"StopInstances":                              queryOp(s.stopInstances),
		"RebootInstances":                            queryOp(s.rebootInstances),
		"TerminateInstances":                         queryOp(s.terminateInstances),
		"MonitorInstances":                           queryOp(s.monitor(true)),
		"UnmonitorInstances":                         queryOp(s.monitor(false)),
		"GetConsoleOutput":                           queryOp(s.getConsoleOutput),
		"DescribeInstanceTypes":                      queryOp(s.describeInstanceTypes),
		"DescribeInstanceTypeOfferings":              queryOp(s.describeInstanceTypeOfferings),
		"DescribeSpotPriceHistory":                   queryOp(s.describeSpotPriceHistory),
		"DescribeSpotInstanceRequests":               queryOp(s.describeSpotRequests),
		"CancelSpotInstanceRequests":                 queryOp(s.cancelSpotRequests),
		"CreateLaunchTemplate":                       queryOp(s.createLaunchTemplate),
		"CreateLaunchTemplateVersion":                queryOp(s.createTemplateVersion),
		"DeleteLaunchTemplate":                       queryOp(s.deleteLaunchTemplate),
		"DeleteLaunchTemplateVersions":               queryOp(s.deleteTemplateVersions),
		"DescribeLaunchTemplates":                    queryOp(s.describeLaunchTemplates),
		"DescribeLaunchTemplateVersions":             queryOp(s.describeTemplateVersions),
		"ModifyLaunchTemplate":                       queryOp(s.modifyLaunchTemplate),
		"CreateFleet":                                queryOp(s.createFleet),
		"DescribeFleets":                             queryOp(s.describeFleets),
		"DeleteFleets":                               queryOp(s.deleteFleets),
		"AssociateIamInstanceProfile":                queryOp(s.associateProfile),
		"DisassociateIamInstanceProfile":             queryOp(s.disassociateProfile),
		"ReplaceIamInstanceProfileAssociation":       queryOp(s.replaceProfile),
		"DescribeIamInstanceProfileAssociations":     queryOp(s.describeAssociations),
		"ModifySecurityGroupRules":                   queryOp(s.modifyRules),
		"UpdateSecurityGroupRuleDescriptionsIngress": queryOp(s.describeRulesAnew(false)),
		"UpdateSecurityGroupRuleDescriptionsEgress":  queryOp(s.describeRulesAnew(true)),
		"DescribeCapacityReservations":               queryOp(s.describeCapacityReservations),
		"DescribeHosts":                              queryOp(s.describeHosts),
		"DescribeVolumeAttribute":                    queryOp(s.describeVolumeAttribute),
		"ModifyVolumeAttribute":                      queryOp(s.modifyVolumeAttribute),
		"DescribeVolumeStatus":                       queryOp(s.describeVolumeStatus),
		"DescribeNetworkAcls":                        queryOp(s.describeNetworkACLs),
		"DescribeDhcpOptions":                        queryOp(s.describeDHCPOptions),
		"DescribePrefixLists":                        queryOp(s.describePrefixLists),
		"AssociateAddress":                           queryOp(s.associateAddress),
		"DisassociateAddress":                        queryOp(s.disassociateAddress),
		"CreatePlacementGroup":                       queryOp(s.createPlacementGroup),
		"DeletePlacementGroup":                       queryOp(s.deletePlacementGroup),
		"DescribePlacementGroups":                    queryOp(s.describePlacementGroups),
		"AllocateHosts":                              queryOp(s.allocateHosts),
		"ReleaseHosts":                               queryOp(s.releaseHosts),
		"CreateCapacityReservation":                  queryOp(s.createCapacityReservation),
		"CancelCapacityReservation":                  queryOp(s.cancelCapacityReservation),
	}
}

func (s *Server) ec2ImageOperations() map[string]operation {
	return map[string]operation{
		"DescribeImages":                       queryOp(s.describeImages),
		"CreateImage":                          queryOp(s.createImage),
		"CopyImage":                            queryOp(s.copyImage),
		"RegisterImage":                        queryOp(s.registerImage),
		"DeregisterImage":                      queryOp(s.deregisterImage),
		"ModifyImageAttribute":                 queryOp(s.modifyImageAttribute),
		"DescribeImageAttribute":               queryOp(s.describeImageAttribute),
		"ResetImageAttribute":                  queryOp(s.resetImageAttribute),
		"EnableImageDeprecation":               queryOp(s.enableImageDeprecation),
		"DisableImageDeprecation":              queryOp(changeImage(disableImageDeprecation)),
		"EnableImage":                          queryOp(changeImage(enableImage)),
		"DisableImage":                         queryOp(changeImage(disableImage)),
		"EnableImageDeregistrationProtection":  queryOp(s.enableImageProtection),
		"DisableImageDeregistrationProtection": queryOp(s.disableImageProtection),
		"GetImageBlockPublicAccessState":       queryOp(s.imageBlockPublicAccess),
		"EnableImageBlockPublicAccess":         queryOp(s.enableImageBlock),
		"DisableImageBlockPublicAccess":        queryOp(s.disableImageBlock),
	}
}

func (s *Server) ec2VolumeOperations() map[string]operation {
	return map[string]operation{
		"DescribeVolumes":               queryOp(s.describeVolumes),
		"CreateVolume":                  queryOp(s.createVolume),
		"DeleteVolume":                  queryOp(s.deleteVolume),
		"AttachVolume":                  queryOp(s.attachVolume),
		"DetachVolume":                  queryOp(s.detachVolume),
		"ModifyVolume":                  queryOp(s.modifyVolume),
		"DescribeVolumesModifications":  queryOp(s.describeVolumesModifications),
		"DescribeSnapshots":             queryOp(s.describeSnapshots),
		"CreateSnapshot":                queryOp(s.createSnapshot),
		"CopySnapshot":                  queryOp(s.copySnapshot),
		"DeleteSnapshot":                queryOp(s.deleteSnapshot),
		"ModifySnapshotAttribute":       queryOp(s.modifySnapshotAttribute),
		"DescribeSnapshotAttribute":     queryOp(s.describeSnapshotAttribute),
		"GetEbsEncryptionByDefault":     queryOp(encryptByDefault(nil)),
		"EnableEbsEncryptionByDefault":  queryOp(encryptByDefault(new(true))),
		"DisableEbsEncryptionByDefault": queryOp(encryptByDefault(new(false))),
		"GetEbsDefaultKmsKeyId":         queryOp(s.getDefaultKey),
		"ModifyEbsDefaultKmsKeyId":      queryOp(s.modifyDefaultKey),
		"ResetEbsDefaultKmsKeyId":       queryOp(s.resetDefaultKey),
	}
}

func (s *Server) ec2NetworkOperations() map[string]operation {
	return map[string]operation{
		"DescribeVpcs":                  queryOp(s.describeVPCs),
		"CreateVpc":                     queryOp(s.createVPC),
		"DeleteVpc":                     queryOp(s.deleteVPC),
		"ModifyVpcAttribute":            queryOp(s.modifyVPCAttribute),
		"DescribeVpcAttribute":          queryOp(s.describeVPCAttribute),
		"DescribeSubnets":               queryOp(s.describeSubnets),
		"CreateSubnet":                  queryOp(s.createSubnet),
		"DeleteSubnet":                  queryOp(s.deleteSubnet),
		"ModifySubnetAttribute":         queryOp(s.modifySubnetAttribute),
		"DescribeRouteTables":           queryOp(s.describeRouteTables),
		"CreateRouteTable":              queryOp(s.createRouteTable),
		"DeleteRouteTable":              queryOp(s.deleteRouteTable),
		"CreateRoute":                   queryOp(s.createRoute),
		"ReplaceRoute":                  queryOp(s.replaceRoute),
		"DeleteRoute":                   queryOp(s.deleteRoute),
		"AssociateRouteTable":           queryOp(s.associateRouteTable),
		"DisassociateRouteTable":        queryOp(s.disassociateRouteTable),
		"DescribeInternetGateways":      queryOp(s.describeInternetGateways),
		"CreateInternetGateway":         queryOp(s.createInternetGateway),
		"AttachInternetGateway":         queryOp(s.attachInternetGateway),
		"DetachInternetGateway":         queryOp(s.detachInternetGateway),
		"DeleteInternetGateway":         queryOp(s.deleteInternetGateway),
		"DescribeNatGateways":           queryOp(s.describeNATGateways),
		"CreateNatGateway":              queryOp(s.createNATGateway),
		"DeleteNatGateway":              queryOp(s.deleteNATGateway),
		"AllocateAddress":               queryOp(s.allocateAddress),
		"ReleaseAddress":                queryOp(s.releaseAddress),
		"DescribeAddresses":             queryOp(s.describeAddresses),
		"DescribeVpcEndpoints":          queryOp(s.describeVPCEndpoints),
		"CreateVpcEndpoint":             queryOp(s.createVPCEndpoint),
		"DeleteVpcEndpoints":            queryOp(s.deleteVPCEndpoints),
		"DescribeSecurityGroups":        queryOp(s.describeSecurityGroups),
		"CreateSecurityGroup":           queryOp(s.createSecurityGroup),
		"DeleteSecurityGroup":           queryOp(s.deleteSecurityGroup),
		"DescribeSecurityGroupRules":    queryOp(s.describeSecurityGroupRules),
		"AuthorizeSecurityGroupIngress": queryOp(s.authorize(false)),
		"AuthorizeSecurityGroupEgress":  queryOp(s.authorize(true)),
		"RevokeSecurityGroupIngress":    queryOp(s.revoke(false)),
		"RevokeSecurityGroupEgress":     queryOp(s.revoke(true)),
		"DescribeNetworkInterfaces":     queryOp(s.describeNetworkInterfaces),
	}
}

func (s *Server) ec2OtherOperations() map[string]operation {
	return map[string]operation{
		"DescribeRegions":           queryOp(s.describeRegions),
		"DescribeAvailabilityZones": queryOp(s.describeZones),
		"DescribeAccountAttributes": queryOp(s.describeAccountAttributes),
		"CreateTags":                queryOp(s.createTags),
		"DeleteTags":                queryOp(s.deleteTags),
		"DescribeTags":              queryOp(s.describeTags),
		"CreateKeyPair":             queryOp(s.createKeyPair),
		"ImportKeyPair":             queryOp(s.importKeyPair),
		"DeleteKeyPair":             queryOp(s.deleteKeyPair),
		"DescribeKeyPairs":          queryOp(s.describeKeyPairs),
	}
}

// instance finds an instance, in whatever state, or nil.
func (s *Server) instance(account, region, id string) *instance {
	return s.ec2Place(account, region).instances[id]
}

// instances yields an account's instances in a region, terminated ones that
// still show included, in order of their launch.
func (s *Server) instances(account, region string) iter.Seq[*instance] {
	all := slices.SortedFunc(maps.Values(s.ec2Place(account, region).instances), func(a, b *instance) int {
		if c := a.created.Compare(b.created); c != 0 {
			return c
		}
		if c := strings.Compare(a.reservationID, b.reservationID); c != 0 {
			return c
		}
		return a.launchIndex - b.launchIndex
	})
	return slices.Values(all)
}

// lastPart is what stands after the last slash.
func lastPart(s string) string { return s[strings.LastIndex(s, "/")+1:] }
