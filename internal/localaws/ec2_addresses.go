package localaws

type associateAddressInput struct {
	dryRun
	AllocationID string `query:"AllocationId"`
	PublicIP     string `query:"PublicIp"`
	InstanceID   string `query:"InstanceId"`
	InterfaceID  string `query:"NetworkInterfaceId"`
	PrivateIP    string `query:"PrivateIpAddress"`
	Again        *bool  `query:"AllowReassociation"`
}

type associateAddressOutput struct {
	Return        bool   `xml:"return"`
	AssociationID string `xml:"associationId"`
}

// associateAddress gives an interface an address that the account keeps, in place of the one that it has.
func (s *Server) associateAddress(c *call, in *associateAddressInput) (*associateAddressOutput, error) {
	p := c.place()
	a, err := p.address(in.AllocationID, in.PublicIP)
	if err != nil {
		return nil, err
	}
	n, err := c.addressee(in)
	if err != nil {
		return nil, err
	}
	switch {
	case in.PrivateIP != "" && in.PrivateIP != n.privateIP.String():
		return nil, refuse("InvalidParameterValue", "Invalid value '%s' for PrivateIpAddress. The network interface '%s' does not have it.", in.PrivateIP, n.id)
	case a.interfaceID != "" && a.interfaceID != n.id && !isTrue(in.Again):
		return nil, refuse("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", a.id, a.associationID)
	case !p.hasGateway(n.vpcID):
		return nil, refuse("Gateway.NotAttached", "Network %s is not attached to any internet gateway", n.vpcID)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	p.release(a)
	p.releaseFrom(n)
	a.interfaceID, a.associationID, n.publicIP = n.id, newID("eipassoc"), a.ip.String()
	return &associateAddressOutput{true, a.associationID}, nil
}

// addressee is the interface that a request names, or that of its instance.
func (c *call) addressee(in *associateAddressInput) (*networkInterface, error) {
	switch {
	case in.InterfaceID != "" && in.InstanceID != "":
		return nil, refuse("InvalidParameterCombination", "You may specify either instanceId or networkInterfaceId, not both")
	case in.InterfaceID != "":
		return c.place().findInterface(in.InterfaceID)
	case in.InstanceID == "":
		return nil, missing("instanceId or networkInterfaceId")
	}
	i, err := c.findInstance(in.InstanceID)
	if err != nil {
		return nil, err
	}
	if n := i.primary(); n != nil && (i.State == "running" || i.State == "stopped") {
		return n, nil
	}
	return nil, refuse("InvalidInstanceID", "The pending-instance-creation instance to which 'eni' is attached is not in a valid state for this operation")
}

func (p *ec2Place) hasGateway(vpcID string) bool {
	for _, g := range p.gateways {
		if g.vpcID == vpcID {
			return true
		}
	}
	return false
}

// address finds an elastic address by its allocation or by itself.
func (p *ec2Place) address(allocation, ip string) (*elasticIP, error) {
	switch {
	case (allocation == "") == (ip == ""):
		return nil, refuse("InvalidParameterCombination", "You must specify either publicIp or allocationId, and not both")
	case allocation != "" && p.addresses[allocation] == nil:
		return nil, refuse("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", allocation)
	case allocation != "":
		return p.addresses[allocation], nil
	}
	for _, a := range p.addresses {
		if a.ip.String() == ip {
			return a, nil
		}
	}
	return nil, refuse("InvalidAddress.NotFound", "Address '%s' not found.", ip)
}

// release takes an elastic address from its interface.
func (p *ec2Place) release(a *elasticIP) {
	if n := p.interfaces[a.interfaceID]; n != nil && n.publicIP == a.ip.String() {
		n.publicIP = ""
	}
	a.interfaceID, a.associationID = "", ""
}

// releaseFrom takes whatever elastic address an interface has.
func (p *ec2Place) releaseFrom(n *networkInterface) {
	for _, a := range p.addresses {
		if a.interfaceID == n.id {
			p.release(a)
		}
	}
}

type disassociateAddressInput struct {
	dryRun
	AssociationID string `query:"AssociationId"`
	PublicIP      string `query:"PublicIp"`
}

func (s *Server) disassociateAddress(c *call, in *disassociateAddressInput) (*done, error) {
	p := c.place()
	if in.AssociationID == "" && in.PublicIP == "" {
		return nil, missing("AssociationId")
	}
	for _, a := range p.addresses {
		if a.associationID == "" || in.AssociationID != a.associationID && in.PublicIP != a.ip.String() {
			continue
		}
		if n := p.interfaces[a.interfaceID]; n != nil && n.kind != "interface" {
			return nil, refuse("AuthFailure", "You do not have permission to access the specified resource.")
		}
		if err := in.check(); err != nil {
			return nil, err
		}
		p.release(a)
		return succeeded, nil
	}
	return nil, refuse("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", in.AssociationID)
}
