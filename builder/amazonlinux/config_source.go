//go:generate packer-sdc struct-markdown

package amazonlinux

import (
	"slices"
	"strings"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

// SourceConfig says what the build starts from. With nothing given it is the
// current Amazon Linux 2 for the architecture of `instance_type`.
type SourceConfig struct {
	// The Amazon Linux to start from: `2` or `2023`. Default: `2`. Amazon Linux 2
	// left support on 2026-06-30, which a build of it says once. It chooses the
	// public SSM parameter, so it conflicts with `source_ami`,
	// `source_ami_filter` and `source_ami_parameter`.
	Release string `mapstructure:"release"`
	// The kernel of the release: `4.14` or `5.10` for Amazon Linux 2, `6.1` or
	// `6.12` for 2023, or `default`. Default: `5.10` for Amazon Linux 2, and the
	// one that AWS calls default for 2023. Conflicts as `release` does.
	Kernel string `mapstructure:"kernel"`
	// The architecture: `x86_64` or `arm64`. Default: that of `instance_type`.
	Architecture string `mapstructure:"architecture"`
	// The id of the AMI to start from. Conflicts with `source_ami_filter` and `source_ami_parameter`.
	SourceAMI string `mapstructure:"source_ami"`
	// Finds the AMI to start from among those that match. Conflicts with
	// `source_ami` and `source_ami_parameter`.
	//
	// ```hcl
	// source_ami_filter {
	//   filters = {
	//     name                = "al2023-ami-2023.*-x86_64"
	//     root-device-type    = "ebs"
	//     virtualization-type = "hvm"
	//   }
	//   owners      = ["amazon"]
	//   most_recent = true
	// }
	// ```
	SourceAMIFilter SourceAMIFilter `mapstructure:"source_ami_filter"`
	// The SSM parameter that holds the id of the AMI to start from: a public one
	// (`/aws/service/...`) or your own, by name or ARN. Conflicts with
	// `source_ami` and `source_ami_filter`. Default: the public parameter of
	// `release`, `kernel` and `architecture`.
	SourceAMIParameter string `mapstructure:"source_ami_parameter"`
}

// SourceAMIFilter chooses an AMI by its properties.
type SourceAMIFilter struct {
	config.KeyValueFilter `mapstructure:",squash"`
	// Who owns the AMI: account ids, `amazon`, `aws-marketplace`, `self`.
	// Required, so that nobody's look-alike is taken for Amazon's.
	Owners []string `mapstructure:"owners"`
	// Take the newest of those that match. Default: `false`, and more than one match is an error.
	MostRecent bool `mapstructure:"most_recent"`
	// Look among deprecated AMIs too: `true` always, `false` never. Default: only
	// if nothing else matches, and the build says so; by now AWS has deprecated
	// every AMI of Amazon Linux 2.
	IncludeDeprecated config.Trilean `mapstructure:"include_deprecated"`
}

func (f *SourceAMIFilter) given() bool {
	return len(f.Filters) > 0 || len(f.Filter) > 0 || len(f.Owners) > 0 || f.MostRecent || f.IncludeDeprecated != config.TriUnset
}

const (
	release2    = "2"
	release2023 = "2023"

	archX86 = "x86_64"
	archARM = "arm64"

	kernelDefault = "default"
)

// kernels that each release has public parameters for.
var kernels = map[string][]string{
	release2:    {"4.14", "5.10"},
	release2023: {"6.1", "6.12"},
}

func (c *SourceConfig) check(r *report) {
	c.checkOneSource(r)
	r.oneOf("release", c.Release, release2, release2023)
	r.oneOf("architecture", c.Architecture, archX86, archARM)
	r.unless(c.SourceAMI == "" || amiID.MatchString(c.SourceAMI), "source_ami", c.SourceAMI,
		`an AMI's id, such as "ami-0123456789abcdef0"`)
	if f := &c.SourceAMIFilter; f.given() {
		r.errs = append(r.errs, f.Prepare()...)
		if len(f.Owners) == 0 {
			r.addf(`source_ami_filter: owners is missing, so anybody's image could match; set owners = ["amazon"] or the account that you trust`)
		}
		if len(f.Filters) == 0 {
			r.addf(`source_ami_filter: filters is empty, so every image of the owner matches; say which, such as name = "al2023-ami-2023.*-x86_64"`)
		}
	}
	c.checkKernel(r)
}

func (c *SourceConfig) checkOneSource(r *report) {
	var given []string
	for _, option := range []struct {
		name  string
		given bool
	}{
		{"source_ami", c.SourceAMI != ""},
		{"source_ami_filter", c.SourceAMIFilter.given()},
		{"source_ami_parameter", c.SourceAMIParameter != ""},
	} {
		if option.given {
			given = append(given, option.name)
		}
	}
	if len(given) > 1 {
		r.addf("%s: each names the source image; keep one of them", strings.Join(given, " and "))
	}
	if len(given) == 0 {
		return
	}
	if c.Release != "" {
		r.addf("release and %s: release chooses the source image too; keep one of them", given[0])
	}
	if c.Kernel != "" {
		r.addf("kernel and %s: kernel chooses the source image too; keep one of them", given[0])
	}
}

func (c *SourceConfig) checkKernel(r *report) {
	known, ok := kernels[c.releaseOrDefault()]
	if c.Kernel == "" || !ok || c.Kernel == kernelDefault || slices.Contains(known, c.Kernel) {
		return
	}
	r.unless(false, "kernel", c.Kernel, `one of "`+strings.Join(append([]string{kernelDefault}, known...), `", "`)+
		`" for release "`+c.releaseOrDefault()+`"`)
}

func (c *SourceConfig) releaseOrDefault() string {
	if c.Release == "" {
		return release2
	}
	return c.Release
}

// parameter is the SSM parameter to take the source AMI from, for an architecture.
func (c *SourceConfig) parameter(arch string) string {
	const public = "/aws/service/ami-amazon-linux-latest/"
	kernel := c.Kernel
	switch {
	case c.SourceAMIParameter != "":
		return c.SourceAMIParameter
	case c.releaseOrDefault() == release2023:
		if kernel == "" {
			kernel = kernelDefault
		}
		return public + "al2023-ami-kernel-" + kernel + "-" + arch
	case kernel == "4.14":
		return public + "amzn2-ami-hvm-" + arch + "-gp2"
	}
	return public + "amzn2-ami-kernel-5.10-hvm-" + arch + "-gp2"
}
