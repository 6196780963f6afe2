package localaws

import (
	"slices"
	"strings"
)

// checkedByHandlers are the kinds of values whose refusals have words of their own.
var checkedByHandlers = []string{"InstanceType", "ResourceType", "VolumeType", "PermissionGroup"}

// checkEC2Model refuses a request to EC2 that lacks what its description
// requires, or has a value that none of the enumerated ones is. EC2 tells the
// first problem only.
func (c *call) checkEC2Model(sent map[string]any, shape *modelShape) error {
	check := &ec2Checker{model: models()["ec2"]}
	return check.structure("", sent, shape)
}

type ec2Checker struct{ model *serviceModel }

func (k *ec2Checker) structure(path string, sent map[string]any, shape *modelShape) error {
	for _, name := range shape.Required {
		if _, given := sent[name]; !given {
			return missing(path + name)
		}
	}
	for name, member := range shape.Members {
		if err := k.value(path+name, sent[name], member); err != nil {
			return err
		}
	}
	return nil
}

func (k *ec2Checker) value(name string, sent any, kind string) error {
	shape := k.model.Shapes[kind]
	switch value := sent.(type) {
	case map[string]any:
		return k.structure(name+".", value, shape)
	case []any:
		for _, item := range value {
			if err := k.value(name, item, shape.Of); err != nil {
				return err
			}
		}
	case string:
		if len(shape.Enum) > 0 && value != "" && !slices.Contains(shape.Enum, value) && !slices.Contains(checkedByHandlers, kind) {
			return refuse("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Valid values: %s.",
				value, lowerFirst(name[strings.LastIndexByte(name, '.')+1:]), strings.Join(shape.Enum, ", "))
		}
	}
	return nil
}
