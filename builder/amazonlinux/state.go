package amazonlinux

import (
	"sync/atomic"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/multistep"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"
)

// The keys that Packer's SDK reads; ours is stateBuild alone.
const (
	stateBuild         = "build"
	stateUI            = "ui"
	stateHook          = "hook"
	stateError         = "error"
	stateCommunicator  = "communicator"
	stateInstanceID    = "instance_id"
	stateGeneratedData = "generated_data"
)

// A build is what one run knows. Steps fill it in their order; a step reads
// only what earlier ones have set.
type build struct {
	config *Config
	interp interpolate.Context
	ui     packersdk.Ui
	aws    clients

	id      string    // names and tags everything that this run makes
	started time.Time // expiry is counted from here

	plan     *plan      // by stepPlan; never changed afterwards
	groups   []string   // by stepEgressGroup: the security groups of the instance
	profile  string     // by stepProfile: name or ARN of the instance profile, "" for none
	instance *instance  // by stepInstance
	dead     deathbed   // by the connection: why the instance won't be there again
	images   []*pending // available: by stepImage the one it made, by stepDistribute the copies
	final    []*pending // by stepDistribute, once all is done: the images that the build was for

	released []multistep.Step // by stepRelease: whose cleanup is done, or under way
	tokens   atomic.Int64     // counts the copies that were asked for
	phases   *phases          // what took how long

	made ledger
}

// buildOf is the only type assertion of the package: Run puts the build into
// the bag before any step runs.
func buildOf(bag multistep.StateBag) *build {
	return bag.Get(stateBuild).(*build)
}

// errorOf is the error that the bag holds, if any.
func errorOf(bag multistep.StateBag) error {
	err, _ := bag.Get(stateError).(error)
	return err
}

func has(bag multistep.StateBag, key string) bool {
	_, ok := bag.GetOk(key)
	return ok
}
