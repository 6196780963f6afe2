package localaws

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseFault reads a fault as the command line has it: a service and an action
// with commas behind, for instance
//
//	ec2:RunInstances,code=InsufficientInstanceCapacity,times=2
//	ssm:StartSession,deny
//	iam:*,nth=3,after,drop
//
//	ec2:RunInstances,InstanceType=t3.*,code=InsufficientInstanceCapacity
//
// The keys are nth, times, code, message, status, delay, region, a parameter's
// name, which begins with a capital letter, and the words after, hang, drop, deny.
func ParseFault(text string) (Fault, error) {
	name, rest, _ := strings.Cut(text, ",")
	service, action, ok := strings.Cut(name, ":")
	if !ok {
		return Fault{}, fmt.Errorf("fault %q begins with no service:Action", text)
	}
	f := Fault{Service: service, Action: action}
	if service == "*" {
		f.Service = ""
	}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(part, "=")
		if err := f.set(key, value); err != nil {
			return Fault{}, fmt.Errorf("fault %q: %w", text, err)
		}
	}
	if !f.Hang && !f.Drop && !f.Deny && f.Code == "" && f.Delay == 0 {
		return Fault{}, fmt.Errorf("fault %q does nothing; say code=, delay=, hang, drop or deny", text)
	}
	return f, nil
}

func (f *Fault) set(key, value string) (err error) {
	switch key {
	case "":
	case "after":
		f.After = true
	case "hang":
		f.Hang = true
	case "drop":
		f.Drop = true
	case "deny":
		f.Deny = true
	case "code":
		f.Code = value
	case "message":
		f.Message = value
	case "region":
		f.Region = value
	case "nth":
		f.Nth, err = strconv.Atoi(value)
	case "times":
		f.Times, err = strconv.Atoi(value)
	case "status":
		f.Status, err = strconv.Atoi(value)
	case "delay":
		f.Delay, err = time.ParseDuration(value)
	default:
		if key[0] < 'A' || key[0] > 'Z' {
			return fmt.Errorf("%q is no part of a fault", key)
		}
		if f.Where == nil {
			f.Where = map[string]string{}
		}
		f.Where[key] = value
	}
	return err
}
