// Package amazonlinux is the builder ssm-amazon-linux: an AMI from an Amazon
// Linux base, provisioned through AWS Systems Manager alone.
//
// A build goes through its phases in this order, one file each:
//
//	config      what the template says; Prepare checks all of it without a network
//	plan        every read-only look-up; nothing exists yet when it fails
//	launch      egress group and temporary profile where needed, then the instance
//	connect     the agent online, then Packer's communicator over a session
//	provision   Packer's own step
//	image       stop, create, wait until available
//	artifact    what Packer and the post-processors get
//
// and cleanup, in reverse. Each step returns an error or nil; conclude and
// undo (builder.go) are the only places that speak multistep.
package amazonlinux
