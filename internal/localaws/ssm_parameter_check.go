package localaws

import (
	"slices"
	"strings"
)

func (in *putParameterIn) check(c *call, existing *ssmParameter) error {
	switch {
	case deref(in.Policies) != "":
		return notHere("parameter policies")
	case in.Value == "":
		return c.unfit("Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case existing != nil && in.Type != nil && *in.Type != existing.kind:
		return refuse("HierarchyTypeMismatchException", "Parameter Store does not support changing a parameter type in a hierarchy. "+
			"For example, you can't change a parameter from a String type to a SecureString type. You must create a new, unique parameter.")
	case in.KeyID != nil && c.server.kmsKey(c.caller.account, c.region, *in.KeyID) == nil:
		return refuse("InvalidKeyId", "Invalid keyId %s", *in.KeyID)
	case in.KeyID != nil && parameterKind(in.Type, existing) != "SecureString":
		return refuse("ValidationException", "KeyId is for parameters of type SecureString only.")
	case existing == nil && in.Type == nil:
		return refuse("ValidationException", "A parameter type is required when you create a parameter.")
	case in.Type != nil && !slices.Contains(parameterKinds, *in.Type):
		return refuse("UnsupportedParameterType", "The parameter type %s is not supported.", *in.Type)
	case in.Tier != nil && !slices.Contains(parameterTiers, *in.Tier):
		return c.unfit("Value '%s' at 'tier' failed to satisfy constraint: Member must satisfy enum value set: %v", *in.Tier, parameterTiers)
	case in.DataType != nil && !slices.Contains(parameterFormat, *in.DataType):
		return refuse("ValidationException", "The following data type is not supported: %s", *in.DataType)
	case len(in.Value) > in.room():
		return refuse("ValidationException", "%s tier parameters support a maximum parameter value of %d characters.", in.tier(), in.room())
	case in.DataType != nil && *in.DataType == "aws:ec2:image" && !parameterImage.MatchString(in.Value):
		return refuse("ValidationException", "The parameter value of data type aws:ec2:image must be an AMI id such as ami-12345abcdeEXAMPLE.")
	}
	pattern := deref(in.AllowedPattern)
	if pattern == "" && existing != nil {
		pattern = existing.pattern
	}
	if pattern != "" && !wholeMatch(pattern, in.Value) {
		return refuse("ParameterPatternMismatchException", "Parameter value, cannot be validated against allowedPattern: %s", pattern)
	}
	return in.checkName()
}

func parameterKind(asked *string, existing *ssmParameter) string {
	if asked == nil && existing != nil {
		return existing.kind
	}
	return deref(asked)
}

func (in *putParameterIn) checkName() error {
	isPath := strings.Count(in.Name, "/") > 1
	reserved := parameterOfAWS.MatchString(in.Name)
	switch {
	case reserved && isPath && strings.HasPrefix(strings.ToLower(in.Name), "/aws"):
		return refuse("AccessDeniedException", "No access to reserved parameter name: %s.", in.Name)
	case reserved && !isPath:
		return refuse("ValidationException", "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).")
	case reserved, !parameterName.MatchString(in.Name) || len(in.Name) > 1011:
		return refuse("ValidationException", "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). "+
			"If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_")
	case strings.Contains(strings.TrimPrefix(in.Name, "/"), "/") && !strings.HasPrefix(in.Name, "/"):
		return refuse("ValidationException", "Parameter name must be a fully qualified name.")
	case strings.Count(in.Name, "/") > 15:
		return refuse("HierarchyLevelLimitExceededException", "A hierarchy can have a maximum of 15 levels.")
	}
	return nil
}

func (in *putParameterIn) tier() string {
	if tier := deref(in.Tier); tier == "Advanced" || tier == "Intelligent-Tiering" {
		return "Advanced"
	}
	return "Standard"
}

// room is how many bytes a value may have.
func (in *putParameterIn) room() int {
	if in.tier() == "Advanced" {
		return 8192
	}
	return 4096
}
