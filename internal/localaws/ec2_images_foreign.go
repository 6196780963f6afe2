package localaws

import "slices"

// What AWS demands of a copy of another account's image: the right to read the
// storage behind it, and, where that is encrypted, the right to use the key.

// checkStorage refuses a copy whose snapshots the caller may not read.
func (c *call) checkStorage(src *image, region string) error {
	for _, id := range src.snapshotIDs() {
		snap := c.server.ec2Region(region).snapshots[id]
		if snap != nil && !snap.usable(c.caller.account) {
			return refuse("InvalidRequest", "You do not have permission to access the storage of this ami")
		}
	}
	return nil
}

// copyActions are what a copy does with the key of the snapshot that it is made from.
var copyActions = []string{"kms:DescribeKey", "kms:Decrypt", "kms:ReEncryptFrom", "kms:CreateGrant"}

// readsStorage says whether the caller may use the keys of the image's
// snapshots. EBS finds out only when it copies them: the call itself succeeds.
func (c *call) readsStorage(src *image, region string) bool {
	return !slices.ContainsFunc(src.snapshotIDs(), func(id string) bool {
		snap := c.server.ec2Region(region).snapshots[id]
		return snap != nil && snap.kmsKey != "" && !c.usesForeignKey(snap.kmsKey)
	})
}

// usesForeignKey says whether a key of another account lets the caller copy what it
// encrypts. A key of the caller's own is the caller's policies' affair.
func (c *call) usesForeignKey(arn string) bool {
	key := c.server.kmsKeyByARN(arn)
	if key == nil || key.Account == c.caller.account {
		return true
	}
	return !slices.ContainsFunc(copyActions, func(action string) bool {
		q := question{action: action, resource: key.ARN, context: contextOf(c.caller, c.now)}
		return !key.lets(q, c.caller) || c.server.iam.decide(c.caller, q, c.now) != ""
	})
}

// The state reason of a copy whose key can't be used, in EBS's words.
const keyUnusable = "AMI snapshot copy failed with error: Given key ID is not accessible. You must have DescribeKey permissions on the default CMK."
