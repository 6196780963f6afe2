package localaws

// blockNewSharing is the one state in which an account keeps its images from becoming public.
const blockNewSharing = "block-new-sharing"

type blockStateInput struct {
	dryRun
}

type blockStateOutput struct {
	State     string `xml:"imageBlockPublicAccessState"`
	ManagedBy string `xml:"managedBy,omitempty"`
}

func (s *Server) imageBlockPublicAccess(c *call, in *blockStateInput) (*blockStateOutput, error) {
	state := c.place().imageBlock
	if state == "" {
		state = "unblocked"
	}
	return &blockStateOutput{state, "account"}, in.check()
}

type enableBlockInput struct {
	dryRun
	State string `query:"ImageBlockPublicAccessState"`
}

func (s *Server) enableImageBlock(c *call, in *enableBlockInput) (*blockStateOutput, error) {
	if in.State != blockNewSharing {
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter ImageBlockPublicAccessState is invalid.", in.State)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	c.place().imageBlock = in.State
	return &blockStateOutput{State: in.State}, nil
}

func (s *Server) disableImageBlock(c *call, in *blockStateInput) (*blockStateOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	c.place().imageBlock = ""
	return &blockStateOutput{State: "unblocked"}, nil
}
