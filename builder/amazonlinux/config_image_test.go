package amazonlinux

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

const copier = "arn:aws:iam::210987654321:role/copier"

func TestImageAccepts(t *testing.T) {
	for name, more := range map[string]block{
		"encrypted":         {"encrypt_boot": true, "kms_key_id": "alias/web"},
		"copies":            {"ami_regions": []string{"us-west-2", "eu-west-1"}, "region_kms_key_ids": block{"us-west-2": ""}, "snapshot_copy_duration_minutes": 30},
		"build region":      {"ami_regions": []string{"us-east-1", "us-west-2"}, "encrypt_boot": true, "region_kms_key_ids": block{"us-east-1": "alias/a"}},
		"copies alone":      {"ami_regions": []string{"us-west-2"}, "skip_save_build_region": true},
		"shared":            {"ami_users": []string{"123456789012"}, "snapshot_users": []string{"123456789012"}, "ami_groups": []string{"all"}},
		"organization":      {"ami_org_arns": []string{"arn:aws:organizations::123456789012:organization/o-abcdefghij"}, "ami_ou_arns": []string{"arn:aws-us-gov:organizations::123456789012:ou/o-abcdefghij/ou-ab12-cdefghij"}},
		"deprecated at":     {"deprecate_at": time.Now().AddDate(1, 0, 0).Format(time.RFC3339)},
		"deprecated in":     {"deprecate_after": "90d"},
		"deprecated weeks":  {"deprecate_after": "12w"},
		"deprecated hours":  {"deprecate_after": "36h"},
		"protected":         {"deregistration_protection": block{"enabled": true, "with_cooldown": true}},
		"imds":              {"imds_support": "v2.0"},
		"no imds":           {"imds_support": "none"},
		"polling":           {"aws_polling": block{"delay_seconds": 30, "max_attempts": 480}},
		"replaced":          {"force_deregister": true, "force_delete_snapshot": true},
		"another account":   {"ami_copy": []block{{"role_arn": copier, "regions": []string{"us-west-2", "us-east-1"}, "kms_key_id": "alias/x", "region_kms_key_ids": block{"us-west-2": ""}, "tags": block{"Of": "{{ .SourceAMI }}"}}}, "skip_save_build_region": true, "snapshot_copy_duration_minutes": 15},
		"a device is added": {"ami_block_device_mappings": []block{{"device_name": "/dev/sdf", "volume_size": 5}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := prepare(t, with(more)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestImageRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		more block
		want string
	}{
		"key alone":            {block{"kms_key_id": "alias/x"}, "kms_key_id: it is given without encrypt_boot = true"},
		"AWS's key, shared":    {block{"encrypt_boot": true, "kms_key_id": "alias/aws/ebs", "ami_users": []string{"123456789012"}}, "can't be used by other accounts"},
		"opposites":            {block{"encrypt_boot": true, "root_volume": block{"encrypted": false}}, "root_volume.encrypted says the opposite"},
		"keys and no":          {block{"encrypt_boot": false, "ami_regions": []string{"us-west-2"}, "region_kms_key_ids": block{"us-west-2": ""}}, "region_kms_key_ids: encrypt_boot is false"},
		"key of no region":     {block{"region_kms_key_ids": block{"us-west-2": ""}}, `"us-west-2" is not in ami_regions`},
		"two keys":             {block{"encrypt_boot": true, "kms_key_id": "alias/a", "region_kms_key_ids": block{"us-east-1": "alias/b"}}, "keep one of them"},
		"key without encrypt":  {block{"region_kms_key_ids": block{"us-east-1": "alias/b"}}, "encrypt_boot = true"},
		"bad region":           {block{"ami_regions": []string{"mars"}}, `ami_regions[0]: "mars" is not allowed`},
		"region twice":         {block{"ami_regions": []string{"us-west-2", "us-west-2"}}, `"us-west-2" is named twice`},
		"nothing to keep":      {block{"skip_save_build_region": true}, "skip_save_build_region: there is no copy"},
		"kept and not":         {block{"skip_save_build_region": true, "ami_regions": []string{"us-east-1", "us-west-2"}}, "names the build region"},
		"copy of no time":      {block{"ami_regions": []string{"us-west-2"}, "snapshot_copy_duration_minutes": 20}, "15 to 2880, in steps of 15"},
		"time without copy":    {block{"snapshot_copy_duration_minutes": 15}, "there is no copy"},
		"short account":        {block{"ami_users": []string{"1234"}}, "ami_users[0]"},
		"snapshot user":        {block{"snapshot_users": []string{"me"}}, "snapshot_users[0]"},
		"group":                {block{"ami_groups": []string{"some"}}, `it takes "all"`},
		"public and encrypted": {block{"ami_groups": []string{"all"}, "encrypt_boot": true}, "an encrypted AMI can't be public"},
		"org":                  {block{"ami_org_arns": []string{"o-abcdefghij"}}, "ami_org_arns[0]"},
		"unit":                 {block{"ami_ou_arns": []string{"ou-ab12-cdefghij"}}, "ami_ou_arns[0]"},
		"date":                 {block{"deprecate_at": "tomorrow"}, "deprecate_at"},
		"past":                 {block{"deprecate_at": "2020-01-01T00:00:00Z"}, "a time in the future"},
		"far":                  {block{"deprecate_at": "2099-01-01T00:00:00Z"}, "within ten years"},
		"both dates":           {block{"deprecate_at": time.Now().AddDate(1, 0, 0).Format(time.RFC3339), "deprecate_after": "1d"}, "both are given"},
		"days":                 {block{"deprecate_after": "ninety days"}, "deprecate_after"},
		"many days":            {block{"deprecate_after": "4000d"}, "deprecate_after"},
		"cooldown alone":       {block{"deregistration_protection": block{"with_cooldown": true}}, "without enabled = true"},
		"imds":                 {block{"imds_support": "v1.0"}, "imds_support"},
		"boot mode":            {block{"boot_mode": "legacy-bios"}, `boot_mode: "legacy-bios" is not allowed; it takes "uefi"`},
		"snapshots alone":      {block{"force_delete_snapshot": true}, "without force_deregister = true"},
		"polling":              {block{"aws_polling": block{"max_attempts": -1}}, "aws_polling.max_attempts"},
		"device's key":         {block{"ami_block_device_mappings": []block{{"device_name": "/dev/sdf", "volume_size": 5, "encrypted": true, "kms_key_id": "alias/x"}}}, "AWS takes a key only at the launch"},
		"copy by nobody":       {block{"ami_copy": []block{{"regions": []string{"us-west-2"}}}}, "ami_copy[0].role_arn: it is missing"},
		"copy by a user":       {block{"ami_copy": []block{{"role_arn": "arn:aws:iam::210987654321:user/x"}}}, "ami_copy[0].role_arn"},
		"copy's session":       {block{"ami_copy": []block{{"role_arn": copier, "session_name": "a b"}}}, "ami_copy[0].session_name"},
		"copy to mars":         {block{"ami_copy": []block{{"role_arn": copier, "regions": []string{"mars"}}}}, "ami_copy[0].regions[0]"},
		"key of no copy":       {block{"ami_copy": []block{{"role_arn": copier, "region_kms_key_ids": block{"us-west-2": ""}}}}, `ami_copy[0].region_kms_key_ids: "us-west-2" is not in regions`},
		"copied twice":         {block{"ami_copy": []block{{"role_arn": copier}, {"role_arn": copier + "2", "regions": []string{"us-east-1"}}}}, "ami_copy[1]: ami_copy[0] copies to us-east-1 of account 210987654321 already"},
		"copy's tags":          {block{"ami_copy": []block{{"role_arn": copier, "tags": block{"aws:x": "y"}}}}, "ami_copy[0].tags"},
		"copied with AWS's":    {block{"encrypt_boot": true, "kms_key_id": "alias/aws/ebs", "ami_copy": []block{{"role_arn": copier}}}, "can't be used by other accounts"},
		"device":               {block{"ami_block_device_mappings": []block{{"volume_size": 5}}}, "ami_block_device_mappings[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := prepare(t, with(test.more))
			if err == nil {
				t.Fatal("accepted")
			}
			got := problems(err)
			if len(got) != 1 || !strings.Contains(got[0], test.want) {
				t.Errorf("got %q\nwant one problem that says %q", got, test.want)
			}
		})
	}
}

func TestImageDefaults(t *testing.T) {
	b, err := prepare(t, with(block{"packer_force": true}))
	if err != nil {
		t.Fatal(err)
	}
	c := b.config
	if c.IMDSSupport != "v2.0" || !c.SkipAMIRunTags.True() || !c.ForceDeregister || c.ForceDeleteSnapshot || c.EncryptBoot != config.TriUnset {
		t.Errorf("%+v", c.ImageConfig)
	}
}

func TestWaitLimit(t *testing.T) {
	for p, want := range map[AWSPolling]time.Duration{
		{}:        time.Hour,
		{30, 0}:   20 * time.Minute,
		{0, 4}:    time.Minute,
		{30, 480}: 4 * time.Hour,
	} {
		c := ImageConfig{AWSPolling: p}
		if got := c.waitLimit(time.Hour); got != want {
			t.Errorf("%+v: %s, want %s", p, got, want)
		}
	}
}

func TestDeprecation(t *testing.T) {
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	for after, want := range map[string]string{"": "", "90d": "2026-09-29", "2w": "2026-07-15", "36h": "2026-07-02"} {
		c := ImageConfig{DeprecateAfter: after}
		got := c.deprecation(now)
		if (want == "") != got.IsZero() || want != "" && got.Format(time.DateOnly) != want {
			t.Errorf("%q: %s, want %s", after, got, want)
		}
	}
}

// Variables of JSON templates are filled in everywhere but in the tags, which wait for the source image.
func TestCopyIsRendered(t *testing.T) {
	b, err := prepare(t, with(block{
		"packer_user_variables": map[string]string{"role": copier, "place": "us-west-2", "key": "alias/there"},
		"ami_copy": []block{{
			"role_arn": "{{user `role`}}", "regions": []string{"{{user `place`}}"},
			"region_kms_key_ids": block{"us-west-2": "{{user `key`}}"}, "tags": block{"Of": "{{ .SourceAMI }}"},
		}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	c := b.config.AMICopies[0]
	if key, _ := c.key("us-west-2"); c.RoleARN != copier || c.Regions[0] != "us-west-2" || key != "alias/there" || c.Tags["Of"] != "{{ .SourceAMI }}" {
		t.Errorf("%+v", c)
	}
	if _, err := prepare(t, with(block{"ami_copy": []block{{"role_arn": copier, "session_name": "{{ .SourceAMI }}"}}})); err == nil {
		t.Error("what only the plan knows is taken for a session's name")
	}
}
