package amazonlinux

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// An account is another one that gets copies of the image, by a role in it (ami_copy).
type account struct {
	id     string
	role   string     // the role's ARN
	config aws.Config // with the role's credentials, which renew themselves
	tags   map[string]string
}

// as is EC2 in a region, asked with a configuration's credentials.
func (c *clients) as(cfg aws.Config, region string) *ec2Calls {
	cfg = cfg.Copy()
	cfg.Region = region
	calls := newEC2Calls(ec2.NewFromConfig(cfg))
	return &calls
}

// api is EC2 where the target's image is, as whoever owns it there.
func (b *build) api(t target) *ec2Calls {
	if t.account == nil {
		return b.aws.in(t.region)
	}
	return b.aws.as(t.account.config, t.region)
}

// where is the target's region, and its account where that is not the build's.
func (t target) where() string {
	if t.account == nil {
		return t.region
	}
	return t.region + " of account " + t.account.id
}

// removal is how to remove an image of the target by hand.
func (t target) removal(id string) string {
	return fmt.Sprintf("aws ec2 deregister-image --region %s --image-id %s --delete-associated-snapshots%s", t.region, id, t.as())
}

// as says who must run a command about the target, where that is not the build's caller.
func (t target) as() string {
	if t.account == nil {
		return ""
	}
	return " (as " + t.account.role + ")"
}

// planAccounts assumes the roles of ami_copy and adds their copies to those of the build's own account.
func (p *plan) planAccounts(ctx context.Context, b *build) error {
	list := b.config.AMICopies
	accounts := make([]*account, len(list))
	looks := make([]func() error, len(list))
	for i := range list {
		accounts[i] = &account{id: list[i].account(), role: list[i].RoleARN}
		looks[i] = func() error {
			if err := p.enter(ctx, b, accounts[i], &list[i]); err != nil {
				return fmt.Errorf("ami_copy[%d]: %w", i, err)
			}
			return nil
		}
	}
	if err := all(looks...); err != nil {
		return err
	}
	for i := range list {
		for _, region := range list[i].regions(p.region) {
			key, named := list[i].key(region)
			p.images.copies = append(p.images.copies, target{
				region: region, account: accounts[i], name: b.config.AMIName, encrypt: named, key: key,
			})
		}
	}
	p.images.accounts = accounts
	return nil
}

// enter assumes the role and makes sure that the account has the regions.
func (p *plan) enter(ctx context.Context, b *build, a *account, block *AMICopy) error {
	if a.id == p.caller.AccountID {
		return fmt.Errorf("%s is in the build's own account; name its regions in ami_regions", a.role)
	}
	a.config = awsclient.As(b.aws.config, awsclient.AssumeRole{
		RoleARN: block.RoleARN, ExternalID: block.ExternalID, SessionName: block.SessionName,
	})
	if _, err := a.config.Credentials.Retrieve(ctx); err != nil {
		return fmt.Errorf("assume role %s: %w; the caller needs sts:AssumeRole on it, and the role must trust the caller",
			a.role, awsclient.Err(err))
	}
	if b.config.SkipRegionValidation {
		return nil
	}
	return checkRegions(ctx, b.aws.as(a.config, p.region), "regions", block.regions(p.region))
}

// lends tells whether other accounts read the image of the build region while they copy it.
func (i *images) lends() bool { return len(i.accounts) > 0 }

// borrowers are the ids of the accounts that do, each once.
func (i *images) borrowers() []string {
	var ids []string
	for _, a := range i.accounts {
		if !slices.Contains(ids, a.id) {
			ids = append(ids, a.id)
		}
	}
	return ids
}
