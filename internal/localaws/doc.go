// Package localaws is an AWS on this machine: EC2, SSM with Session Manager,
// IAM, STS and KMS as far as a build of an AMI uses them, behind one HTTP
// server that clients find through AWS_ENDPOINT_URL.
//
// Requests are signed or refused, permissions are evaluated from the policies
// that stand, and time passes as on AWS. An instance is a real, isolated Linux
// machine (package machine), an image is the layer that an instance left.
//
//	HTTP -> signature -> service and action -> fault -> policy -> handler -> answer
//
// Each service is a table from actions to operations; one lock, Server.mu,
// guards what they all know, and handlers run with it held.
package localaws
