package localaws

import (
	"encoding/base64"
	"slices"
)

type modifyInstanceInput struct {
	dryRun
	InstanceID      string          `query:"InstanceId"`
	Attribute       string          `query:"Attribute"`
	Value           *string         `query:"Value"`
	Type            *textValue      `query:"InstanceType"`
	UserData        *textValue      `query:"UserData"`
	Shutdown        *textValue      `query:"InstanceInitiatedShutdownBehavior"`
	KeepAlive       *boolValue      `query:"DisableApiTermination"`
	KeepRunning     *boolValue      `query:"DisableApiStop"`
	EBSOptimized    *boolValue      `query:"EbsOptimized"`
	ENA             *boolValue      `query:"EnaSupport"`
	SRIOV           *textValue      `query:"SriovNetSupport"`
	SourceDestCheck *boolValue      `query:"SourceDestCheck"`
	GroupIDs        []string        `query:"GroupId"`
	Devices         []deviceRequest `query:"BlockDeviceMapping"`
}

type deviceRequest struct {
	DeviceName string            `query:"DeviceName"`
	EBS        *deviceRequestEBS `query:"Ebs"`
}

type deviceRequestEBS struct {
	VolumeID            string `query:"VolumeId"`
	DeleteOnTermination *bool  `query:"DeleteOnTermination"`
}

// A change is one attribute's: whether it needs a stopped instance, its check and its effect.
type change struct {
	stopped bool
	check   func() error
	do      func()
}

func (s *Server) modifyInstanceAttribute(c *call, in *modifyInstanceInput) (*done, error) {
	i, err := c.findInstance(in.InstanceID)
	if err != nil {
		return nil, err
	}
	if err := in.unfold(); err != nil {
		return nil, err
	}
	changes := in.changes(i)
	if len(changes) != 1 {
		return nil, refuse("InvalidParameterCombination", "Exactly one attribute must be specified to modify; got %d.", len(changes))
	}
	ch := changes[0]
	if i.State == "terminated" || i.State == "shutting-down" {
		return nil, refuse("IncorrectInstanceState", "The instance '%s' is in the '%s' state.", i.ID, i.State)
	}
	if ch.stopped && i.State != "stopped" {
		return nil, refuse("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", i.ID)
	}
	if ch.check != nil {
		if err := ch.check(); err != nil {
			return nil, err
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	ch.do()
	return succeeded, nil
}

// unfold turns the older form, Attribute and Value, into the newer.
func (in *modifyInstanceInput) unfold() error {
	if in.Attribute == "" || in.Value == nil {
		return nil
	}
	text, flag := &textValue{*in.Value}, &boolValue{new(*in.Value == "true")}
	switch in.Attribute {
	case "instanceType":
		in.Type = text
	case "userData":
		in.UserData = text
	case "instanceInitiatedShutdownBehavior":
		in.Shutdown = text
	case "disableApiTermination":
		in.KeepAlive = flag
	case "disableApiStop":
		in.KeepRunning = flag
	case "ebsOptimized":
		in.EBSOptimized = flag
	case "sourceDestCheck":
		in.SourceDestCheck = flag
	default:
		return refuse("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
	}
	return nil
}

func (in *modifyInstanceInput) changes(i *instance) []change {
	var all []change
	flag := func(v *boolValue, what *bool, stopped bool) {
		if v != nil {
			all = append(all, change{stopped: stopped, do: func() { *what = isTrue(v.Value) }})
		}
	}
	flag(in.KeepAlive, &i.keepAlive, false)
	flag(in.KeepRunning, &i.keepRunning, false)
	flag(in.EBSOptimized, &i.ebsOptimized, true)
	if n := i.primary(); n != nil {
		flag(in.SourceDestCheck, &n.sourceDestCheck, false)
	}
	if in.ENA != nil {
		all = append(all, change{stopped: true, do: func() { i.noENA = !isTrue(in.ENA.Value) }})
	}
	if in.SRIOV != nil {
		all = append(all, change{stopped: true, do: func() { i.noSRIOV = in.SRIOV.Value != "simple" }})
	}
	if in.Shutdown != nil {
		all = append(all, in.changeShutdown(i))
	}
	if in.UserData != nil {
		all = append(all, in.changeUserData(i))
	}
	if in.Type != nil {
		all = append(all, in.changeType(i))
	}
	if len(in.GroupIDs) > 0 {
		all = append(all, in.changeGroups(i))
	}
	if len(in.Devices) > 0 {
		all = append(all, in.changeDevices(i))
	}
	return all
}

func (in *modifyInstanceInput) changeShutdown(i *instance) change {
	return change{
		check: func() error {
			if v := in.Shutdown.Value; v != "stop" && v != "terminate" {
				return refuse("InvalidParameterValue", "Value (%s) for parameter instanceInitiatedShutdownBehavior is invalid.", v)
			}
			return nil
		},
		do: func() { i.shutdownBehavior = in.Shutdown.Value },
	}
}

func (in *modifyInstanceInput) changeUserData(i *instance) change {
	data, err := decodeUserData(in.UserData.Value)
	return change{stopped: true, check: func() error { return err }, do: func() { i.userData = data }}
}

func (in *modifyInstanceInput) changeType(i *instance) change {
	kind := instanceTypes()[in.Type.Value]
	return change{
		stopped: true,
		check: func() error {
			if kind == nil {
				return refuse("InvalidParameterValue", "Invalid value '%s' for InstanceType.", in.Type.Value)
			}
			if !kind.runs(i.architecture) {
				return refuse("InvalidParameterValue", "The instance type '%s' does not support the architecture '%s' of the instance.", kind.name, i.architecture)
			}
			return kind.boots(&image{hardware: i.hardware, bootMode: i.bootMode})
		},
		do: func() { i.kind, i.options.cpu = kind, kind.cpu() },
	}
}

func (in *modifyInstanceInput) changeGroups(i *instance) change {
	return change{
		check: func() error {
			for _, id := range in.GroupIDs {
				g, err := i.place.findGroup(id)
				if err != nil {
					return err
				}
				if g.vpcID != i.vpcID {
					return refuse("InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", id, i.vpcID)
				}
			}
			return nil
		},
		do: func() {
			if n := i.primary(); n != nil {
				n.groupIDs = slices.Clone(in.GroupIDs)
			}
		},
	}
}

func (in *modifyInstanceInput) changeDevices(i *instance) change {
	return change{
		check: func() error {
			for _, d := range in.Devices {
				if i.volumeAt(d.DeviceName) == nil || d.EBS == nil {
					return refuse("InvalidInstanceAttributeValue", "No device is currently mapped at %s", d.DeviceName)
				}
			}
			return nil
		},
		do: func() {
			for _, d := range in.Devices {
				if d.EBS.DeleteOnTermination != nil {
					i.volumeAt(d.DeviceName).deleteOnTermination = *d.EBS.DeleteOnTermination
				}
			}
		},
	}
}

type instanceAttributeInput struct {
	dryRun
	InstanceID string `query:"InstanceId"`
	Attribute  string `query:"Attribute"`
}

type optionalText struct {
	Value string `xml:"value,omitempty"`
}

type instanceAttributeOutput struct {
	InstanceID      string               `xml:"instanceId"`
	Type            *textValue           `xml:"instanceType"`
	UserData        *optionalText        `xml:"userData"`
	Shutdown        *textValue           `xml:"instanceInitiatedShutdownBehavior"`
	RootDevice      *textValue           `xml:"rootDeviceName"`
	KeepAlive       *boolValue           `xml:"disableApiTermination"`
	KeepRunning     *boolValue           `xml:"disableApiStop"`
	EBSOptimized    *boolValue           `xml:"ebsOptimized"`
	ENA             *boolValue           `xml:"enaSupport"`
	SRIOV           *optionalText        `xml:"sriovNetSupport"`
	Kernel          *optionalText        `xml:"kernel"`
	Ramdisk         *optionalText        `xml:"ramdisk"`
	SourceDestCheck *boolValue           `xml:"sourceDestCheck"`
	Enclave         *enclaveDescription  `xml:"enclaveOptions"`
	Groups          *set[groupName]      `xml:"groupSet"`
	Devices         *set[attachedDevice] `xml:"blockDeviceMapping"`
	ProductCodes    *set[string]         `xml:"productCodes"`
}

func (s *Server) describeInstanceAttribute(c *call, in *instanceAttributeInput) (*instanceAttributeOutput, error) {
	i, err := c.findInstance(in.InstanceID)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	out := &instanceAttributeOutput{InstanceID: i.ID}
	d := c.place().describeInstance(i)
	switch in.Attribute {
	case "instanceType":
		out.Type = &textValue{i.kind.name}
	case "userData":
		out.UserData = &optionalText{base64.StdEncoding.EncodeToString(i.userData)}
	case "instanceInitiatedShutdownBehavior":
		out.Shutdown = &textValue{i.shutdownBehavior}
	case "rootDeviceName":
		out.RootDevice = &textValue{i.rootDevice}
	case "disableApiTermination":
		out.KeepAlive = &boolValue{&i.keepAlive}
	case "disableApiStop":
		out.KeepRunning = &boolValue{&i.keepRunning}
	case "ebsOptimized":
		out.EBSOptimized = &boolValue{&i.ebsOptimized}
	case "enaSupport":
		out.ENA = &boolValue{new(i.ena())}
	case "sriovNetSupport":
		out.SRIOV = &optionalText{i.sriov()}
	case "kernel":
		out.Kernel = &optionalText{}
	case "ramdisk":
		out.Ramdisk = &optionalText{}
	case "sourceDestCheck":
		out.SourceDestCheck = &boolValue{d.SourceDestCheck}
	case "enclaveOptions":
		out.Enclave = &d.Enclave
	case "groupSet":
		out.Groups = &d.Groups
	case "blockDeviceMapping":
		out.Devices = &d.Devices
	case "productCodes":
		out.ProductCodes = &set[string]{}
	default:
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
	}
	return out, nil
}

type modifyMetadataInput struct {
	dryRun
	metadataRequest
	InstanceID string `query:"InstanceId"`
}

type modifyMetadataOutput struct {
	InstanceID string              `xml:"instanceId"`
	Options    metadataDescription `xml:"instanceMetadataOptions"`
}

func (s *Server) modifyMetadataOptions(c *call, in *modifyMetadataInput) (*modifyMetadataOutput, error) {
	i, err := c.findInstance(in.InstanceID)
	if err != nil {
		return nil, err
	}
	next := i.metadata
	if err := next.change(&in.metadataRequest); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	i.metadata = next
	return &modifyMetadataOutput{i.ID, metadataDescription{"pending", next}}, nil
}
