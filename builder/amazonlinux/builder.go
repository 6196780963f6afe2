package amazonlinux

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// Builder is ssm-amazon-linux. The zero value is ready for Prepare.
type Builder struct {
	config Config
	interp interpolate.Context

	attempts time.Duration                         // limit of one try of one call; 0 is the client's own
	observe  func(what string, from, to time.Time) // told of the waits for AWS; nil for nobody
}

var _ packersdk.Builder = (*Builder)(nil)

// ConfigSpec is the shape of the source block.
func (b *Builder) ConfigSpec() hcldec.ObjectSpec { return b.config.FlatMapstructure().HCL2Spec() }

// Prepare decodes and checks the template. It asks no network, and names all
// problems at once. It warns of options that have no effect in this template.
func (b *Builder) Prepare(raws ...any) (generated, warnings []string, err error) {
	if err := b.config.prepare(&b.interp, raws...); err != nil {
		return nil, nil, err
	}
	packersdk.LogSecretFilter.Set(b.config.secrets()...)
	return generatedKeys, b.config.warnings, nil
}

// Run makes the image. Whatever it made on the way is gone when it returns,
// unless the user asked to keep it (-on-error) or the error says what is left.
func (b *Builder) Run(ctx context.Context, ui packersdk.Ui, hook packersdk.Hook) (packersdk.Artifact, error) {
	ctx, leave := withPacker(ctx)
	defer leave()
	options := b.config.clientOptions()
	options.AttemptTimeout = b.attempts
	cfg, err := awsclient.Load(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	phases := &phases{observe: b.observe}
	ctx, watched := phases.watch(ctx, cfg)
	build := &build{
		config:  &b.config,
		interp:  b.interp,
		ui:      ui,
		aws:     newClients(watched),
		id:      newBuildID(),
		started: time.Now(),
		phases:  phases,
	}
	bag := new(multistep.BasicStateBag)
	bag.Put(stateBuild, build)
	bag.Put(stateUI, ui)
	bag.Put(stateHook, hook)

	group, profile, machine, session := &stepEgressGroup{}, &stepProfile{}, &stepInstance{}, &stepSession{}
	template := multistep.If(b.config.spot(), &stepTemplate{})
	image := !b.config.SkipCreateAMI
	steps := []multistep.Step{
		&stepPlan{},
		group,
		profile,
		template,
		machine,
		session,
		&stepProvision{},
		multistep.If(image, &stepImage{session: session}),
		multistep.If(image, &stepRelease{chains: [][]multistep.Step{{group, machine}, {profile}, {template}}}),
		multistep.If(image, &stepDistribute{}),
	}
	newRunner(steps, &b.config, ui).Run(ctx, bag)
	session.close() // also where -on-error=abort skipped the cleanup: a session never outlives its build
	phases.tell(ui)
	return b.verdict(ctx, bag)
}

// conclude ends a step: it stores the error, prints it and halts in one go.
// Without an error it clears what an earlier try of the step left in the bag.
func conclude(bag multistep.StateBag, err error) multistep.StepAction {
	if err == nil {
		bag.Put(stateError, nil) // not Remove, which the SDK's bag does without its lock
		return multistep.ActionContinue
	}
	bag.Put(stateError, err)
	if !errors.Is(err, context.Canceled) {
		buildOf(bag).ui.Error(err.Error())
	}
	return multistep.ActionHalt
}

// undo runs one step's cleanup with a context of its own, because the build's
// may be cancelled. What it could not do is told and does not change the verdict.
func undo(bag multistep.StateBag, limit time.Duration, remove func(context.Context, *build) error) {
	b := buildOf(bag)
	ctx, cancel := context.WithTimeout(b.phases.with(context.Background()), limit)
	defer cancel()
	if err := remove(ctx, b); err != nil {
		b.ui.Error("cleanup: " + err.Error())
	}
}

// verdict is what Packer is told. An image that is available is never lost: it
// is the artifact even where the build was cancelled after it, and where the
// build failed before the image was everything it should be, it is kept and told.
func (b *Builder) verdict(ctx context.Context, bag multistep.StateBag) (packersdk.Artifact, error) {
	build := buildOf(bag)
	build.made.tell(build.ui)
	err := errorOf(bag)
	switch {
	case build.final != nil:
		if err != nil {
			build.ui.Error(fmt.Sprintf("the build ended with %q after the image was whole; it is kept", err))
		}
		return newArtifact(build, bag), nil
	case ctx.Err() != nil || has(bag, multistep.StateCancelled):
		return nil, errors.Join(errors.New("the build was cancelled"), ignoreCancelled(err), build.kept())
	case err != nil:
		return nil, errors.Join(err, build.kept())
	case has(bag, multistep.StateHalted):
		return nil, errors.New("a step halted the build without saying why")
	}
	// Only skip_create_ami gets here. No artifact and no error is what Packer
	// expects of a build that was not meant to make one.
	return nil, nil
}

// keep notes the images among these that have become available after all.
func (b *build) keep(list ...*pending) {
	for _, p := range list {
		if p.available && !slices.Contains(b.images, p) {
			b.images = append(b.images, p)
		}
	}
}

// kept tells what images a build leaves that failed after they were available.
func (b *build) kept() error {
	if len(b.images) == 0 {
		return nil
	}
	var lines []string
	for _, p := range b.images {
		lines = append(lines, fmt.Sprintf("%s in %s, %q: %s", p.id, p.target.where(), p.target.name, p.target.removal(p.id)))
	}
	return errors.New("kept, because they are available; to remove them, run:\n  " + strings.Join(lines, "\n  "))
}

func ignoreCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// newBuildID is short enough for the names of roles and groups, and too long to meet another's.
func newBuildID() string { return strings.ToLower(rand.Text()[:12]) }
