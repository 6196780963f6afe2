package localaws

// ebsKey is the key that encrypts where none is named.
func (p *ec2Place) ebsKey() string {
	if p.defaultKMSKey != "" {
		return p.defaultKMSKey
	}
	return "alias/aws/ebs"
}

// volumeKey resolves a key for a volume: its ARN, and why it can't be used. EBS
// looks at the key only when the volume is made, so that a bad one does not refuse the call.
func (c *call) volumeKey(name string) (arn, problem string) {
	key := c.server.kmsKey(c.caller.account, c.region, name)
	switch {
	case key == nil:
		return name, "the key does not exist"
	case !key.deletion.IsZero():
		return key.ARN, "the key is pending deletion"
	case !key.Enabled:
		return key.ARN, "the key is disabled"
	}
	return key.ARN, ""
}

// isDefaultKey says whether the key is AWS's own for EBS, which can't be shared.
func isDefaultKey(arn string, c *call) bool {
	key := c.server.kmsKey(c.caller.account, c.region, "alias/aws/ebs")
	return key != nil && key.ARN == arn
}

type encryptionInput struct {
	dryRun
}

type encryptionOutput struct {
	ByDefault bool `xml:"ebsEncryptionByDefault"`
}

// encryptByDefault makes an operation that sets, or with nil only tells, whether new volumes are encrypted.
func encryptByDefault(to *bool) func(*call, *encryptionInput) (*encryptionOutput, error) {
	return func(c *call, in *encryptionInput) (*encryptionOutput, error) {
		if err := in.check(); err != nil {
			return nil, err
		}
		p := c.place()
		if to != nil {
			p.encryptByDefault = *to
		}
		return &encryptionOutput{p.encryptByDefault}, nil
	}
}

type defaultKeyInput struct {
	dryRun
	KMSKeyID string `query:"KmsKeyId"`
}

type defaultKeyOutput struct {
	KMSKeyID string `xml:"kmsKeyId"`
}

func (s *Server) getDefaultKey(c *call, in *encryptionInput) (*defaultKeyOutput, error) {
	return &defaultKeyOutput{c.place().ebsKey()}, in.check()
}

func (s *Server) modifyDefaultKey(c *call, in *defaultKeyInput) (*defaultKeyOutput, error) {
	arn, problem := c.volumeKey(in.KMSKeyID)
	if problem != "" {
		return nil, refuse("InvalidKmsKeyId.NotFound", "The KMS key '%s' cannot be used: %s", in.KMSKeyID, problem)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	c.place().defaultKMSKey = arn
	return &defaultKeyOutput{arn}, nil
}

func (s *Server) resetDefaultKey(c *call, in *encryptionInput) (*defaultKeyOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	c.place().defaultKMSKey = ""
	return &defaultKeyOutput{c.place().ebsKey()}, nil
}
