package amazonlinux

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

var update = flag.Bool("update", false, "write the golden files again")

// a block is a source block as Packer hands it to Prepare.
type block = map[string]any

// with is the smallest template that works, and more.
func with(more block) block {
	t := block{"region": "us-east-1", "ami_name": "web-1", "instance_type": "t3.small"}
	for key, value := range more {
		t[key] = value
	}
	return t
}

func prepare(t *testing.T, raw block) (*Builder, error) {
	t.Helper()
	b := new(Builder)
	_, _, err := b.Prepare(raw)
	return b, err
}

// problems are what Prepare says, one each.
func problems(err error) []string {
	var many *packersdk.MultiError
	if !errors.As(err, &many) {
		return nil
	}
	list := make([]string, len(many.Errors))
	for i, e := range many.Errors {
		list[i] = e.Error()
	}
	return list
}

func TestPrepareDefaults(t *testing.T) {
	b, err := prepare(t, with(nil))
	if err != nil {
		t.Fatal(err)
	}
	c := b.config
	got := []any{
		c.Comm.Type, c.Comm.SSHUsername, c.Comm.SSHFileTransferMethod, c.Comm.SSHPort,
		c.SSMTimeout, c.InstanceTTL, c.ShutdownBehavior,
		c.MetadataOptions.HTTPTokens, c.MetadataOptions.HTTPEndpoint, c.userData,
		c.parameter(archX86),
	}
	want := []any{
		"ssm", "ec2-user", "sftp", 22,
		10 * time.Minute, 12 * time.Hour, "terminate",
		"required", "enabled", "",
		"/aws/service/ami-amazon-linux-latest/amzn2-ami-kernel-5.10-hvm-x86_64-gp2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPrepareAccepts(t *testing.T) {
	script := filepath.Join(t.TempDir(), "user-data")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, more := range map[string]block{
		"release 2023":           {"release": "2023", "kernel": "6.12", "architecture": "x86_64"},
		"kernel 4.14":            {"kernel": "4.14"},
		"arm by type":            {"instance_type": "c7gn.large", "architecture": "arm64"},
		"a1":                     {"instance_type": "a1.medium", "architecture": "arm64"},
		"a GPU is not Graviton":  {"instance_type": "g4dn.xlarge", "architecture": "x86_64"},
		"no instance type":       {"instance_type": "", "architecture": "arm64"},
		"source_ami":             {"source_ami": "ami-0123456789abcdef0"},
		"old id":                 {"source_ami": "ami-01234567"},
		"filter":                 {"source_ami_filter": block{"owners": []string{"amazon"}, "filters": block{"name": "al2023-*"}, "most_recent": true}},
		"filter by block":        {"source_ami_filter": block{"owners": []string{"amazon"}, "filter": []block{{"key": "name", "value": "al2023-*"}}}},
		"parameter":              {"source_ami_parameter": "/golden/base"},
		"gp3":                    {"root_volume": block{"size": 20, "type": "gp3", "iops": 4000, "throughput": 250, "encrypted": true, "kms_key_id": "alias/x"}},
		"io2":                    {"root_volume": block{"type": "io2", "iops": 100}},
		"user data":              {"user_data": "#cloud-config\n"},
		"user data file":         {"user_data_file": script},
		"fields":                 {"tags": block{"a": "{{ .SourceAMITags.Foo }}{{ with .SourceAMITags }}{{ .Bar }}{{ end }}", "b": "{{ if .SourceAMI }}{{ isotime }}{{ else }}{{ .BuildRegion | upper }}{{ end }}"}},
		"ssh as amazon-ebs":      {"communicator": "ssh", "ssh_username": "ec2-user"},
		"ssh with a password":    {"communicator": "ssh", "ssh_password": "x"},
		"none":                   {"communicator": "none"},
		"one group":              {"security_group_id": "sg-0123456789abcdef0"},
		"groups":                 {"security_group_ids": []string{"sg-0123456789abcdef0", "sg-01234567"}},
		"assume role":            {"assume_role": block{"role_arn": "arn:aws:iam::123456789012:role/x", "duration_seconds": 3600}},
		"late templates":         {"tags": block{"Base": "{{ .SourceAMI }} in {{ .BuildRegion }}"}, "ami_description": "from {{ .SourceAMIName }}"},
		"tag blocks":             {"tag": []block{{"key": "a", "value": "b"}}, "run_tag": []block{{"key": "c", "value": "d"}}},
		"name with all it takes": {"ami_name": "a(b)[c] d.e/f-g'h@i_j"},
		"cleaned name":           {"ami_name": "{{ clean_resource_name `a:b` }}"},
		"types":                  {"instance_type": "", "instance_types": []string{"t3.small", "c5.large"}},
		"spot types":             {"instance_type": "", "spot_instance_types": []string{"t3.small", "t3a.small"}},
		"spot, then others":      {"instance_type": "", "spot_instance_types": []string{"t3.small"}, "instance_types": []string{"c5.large"}},
		"spot price":             {"spot_price": "0.05", "spot_allocation_strategy": "lowest-price", "spot_tags": block{"a": "b"}, "fleet_tags": block{"a": "b"}},
		"spot by itself":         {"spot_price": "auto", "spot_only": true},
		"spot off":               {"spot_price": "0"},
		"subnets":                {"subnet_ids": []string{"subnet-0123456789abcdef0", "subnet-01234567"}},
		"subnet filter":          {"subnet_filter": block{"filters": block{"tag:Class": "build"}, "most_free": true}},
		"vpc and group filters":  {"vpc_filter": block{"filters": block{"isDefault": "true"}}, "security_group_filter": block{"filter": []block{{"name": "group-name", "value": "web"}}}},
		"zone":                   {"availability_zone": "us-east-1a"},
		"local zone":             {"availability_zone": "us-west-2-lax-1a"},
		"host":                   {"placement": block{"host_id": "h-0123456789abcdef0"}},
		"tenancy":                {"tenancy": "dedicated"},
		"reservation":            {"capacity_reservation_id": "cr-0123456789abcdef0"},
		"reservations":           {"capacity_reservation_preference": "open"},
		"credits":                {"enable_unlimited_credits": true},
		"devices":                {"launch_block_device_mappings": []block{{"device_name": "/dev/sdf", "volume_size": 10, "volume_type": "gp3", "encrypted": true, "kms_key_id": "alias/k"}, {"device_name": "/dev/sdg", "no_device": true}, {"device_name": "/dev/sdh", "virtual_name": "ephemeral0"}}},
		"stops by itself":        {"disable_stop_instance": true, "shutdown_behavior": "stop"},
		"no profile":             {"iam_mode": "default_host_management"},
		"existing profile":       {"iam_mode": "existing", "iam_instance_profile": "builders"},
		"shared profile":         {"shared_iam_instance_profile": "packer", "temporary_iam_instance_profile_path": "/ci/", "temporary_iam_instance_profile_permissions_boundary": "arn:aws:iam::123456789012:policy/b"},
		"managed policies":       {"temporary_iam_instance_profile_policy_arns": []string{"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}},
		"endpoint":               {"custom_endpoint_ec2": "https://vpce-0abc.ec2.us-east-1.vpce.amazonaws.com"},
		"endpoints of AWS":       {"use_dualstack_endpoint": true, "use_fips_endpoint": true, "skip_metadata_api_check": true, "skip_credential_validation": true, "decode_authorization_messages": true},
		"assume role in full": {"assume_role": block{"role_arn": "arn:aws:iam::123456789012:role/x", "duration_seconds": 3600, "external_id": "e", "policy": "{}",
			"policy_arns": []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}, "session_name": "s", "tags": block{"a": "b"}, "transitive_tag_keys": []string{"a"}}},
		"extra statements": {"temporary_iam_instance_profile_policy_document": block{"Version": "2012-10-17", "Statement": []block{{"Effect": "Allow", "Action": []string{"s3:GetObject"}, "Resource": []string{"*"}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := prepare(t, with(more)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Each template has one fault, and Prepare names it, and nothing else.
func TestPrepareRefuses(t *testing.T) {
	id := "sg-0123456789abcdef0"
	statement := block{"Effect": "Allow", "Action": []string{"s3:GetObject"}, "Resource": []string{"*"}}
	for name, test := range map[string]struct {
		more block
		want string // in the one problem
	}{
		"region":               {block{"region": "us-east"}, `region: "us-east" is not allowed`},
		"half a key":           {block{"access_key": "AKIA"}, "access_key and secret_key: only one"},
		"role arn":             {block{"assume_role": block{"role_arn": "admin"}}, "assume_role.role_arn"},
		"role without arn":     {block{"assume_role": block{"session_name": "x"}}, "role_arn is missing"},
		"release":              {block{"release": "3"}, `release: "3" is not allowed; it takes "2" or "2023"`},
		"kernel":               {block{"kernel": "6.1"}, `kernel: "6.1" is not allowed`},
		"architecture":         {block{"architecture": "amd64"}, `architecture: "amd64" is not allowed`},
		"graviton as x86":      {block{"instance_type": "t4g.small", "architecture": "x86_64"}, `"x86_64" does not fit instance_type "t4g.small", which is arm64`},
		"x86 as arm":           {block{"architecture": "arm64"}, `"arm64" does not fit instance_type "t3.small", which is x86_64`},
		"two sources":          {block{"source_ami": "ami-01234567", "source_ami_parameter": "/x"}, "source_ami and source_ami_parameter: each names the source image"},
		"source and release":   {block{"source_ami": "ami-01234567", "release": "2"}, "release and source_ami"},
		"source_ami":           {block{"source_ami": "amazon-linux"}, `source_ami: "amazon-linux" is not allowed`},
		"filter without owner": {block{"source_ami_filter": block{"filters": block{"name": "x"}}}, "owners is missing"},
		"filter without any":   {block{"source_ami_filter": block{"owners": []string{"amazon"}}}, "filters is empty"},
		"instance_type":        {block{"instance_type": "small"}, `instance_type: "small" is not allowed`},
		"vpc_id":               {block{"vpc_id": "default"}, `vpc_id: "default" is not allowed`},
		"subnet_id":            {block{"subnet_id": "subnet-1"}, `subnet_id: "subnet-1" is not allowed`},
		"group":                {block{"security_group_ids": []string{"web"}}, `security_group_ids[0]: "web" is not allowed`},
		"both groups":          {block{"security_group_id": id, "security_group_ids": []string{id}}, "both are given"},
		"profile and policy":   {block{"iam_instance_profile": "x", "temporary_iam_instance_profile_policy_document": block{"Statement": []block{statement}}}, "which iam_instance_profile replaces"},
		"old policy":           {block{"temporary_iam_instance_profile_policy_document": block{"Version": "2008-10-17", "Statement": []block{{"Effect": "Allow", "Action": []string{"s3:GetObject"}, "Resource": []string{"*"}}}}}, `Version: "2008-10-17"`},
		"empty policy":         {block{"temporary_iam_instance_profile_policy_document": block{"Version": "2012-10-17"}}, "it has no Statement"},
		"volume type":          {block{"root_volume": block{"type": "ssd"}}, `root_volume.type: "ssd" is not allowed`},
		"iops on gp2":          {block{"root_volume": block{"type": "gp2", "iops": 3000}}, `root_volume.iops: type "gp2" does not take it`},
		"iops on no type":      {block{"root_volume": block{"iops": 3000}}, "given without type"},
		"few iops":             {block{"root_volume": block{"type": "gp3", "iops": 100}}, `3000 to 80000 for type "gp3"`},
		"io1 without iops":     {block{"root_volume": block{"type": "io1"}}, `type "io1" needs it`},
		"throughput on io2":    {block{"root_volume": block{"type": "io2", "iops": 100, "throughput": 125}}, `root_volume.throughput: type "io2" does not take it`},
		"negative size":        {block{"root_volume": block{"size": -1}}, "root_volume.size: -1 is not allowed"},
		"key without encrypt":  {block{"root_volume": block{"kms_key_id": "alias/x"}}, "without encrypted = true"},
		"http_tokens":          {block{"metadata_options": block{"http_tokens": "yes"}}, `metadata_options.http_tokens: "yes" is not allowed`},
		"http_endpoint off":    {block{"metadata_options": block{"http_endpoint": "disabled"}}, "cuts the agent off"},
		"hops":                 {block{"metadata_options": block{"http_put_response_hop_limit": 65}}, "1 to 64"},
		"both user data":       {block{"user_data": "x", "user_data_file": os.DevNull}, "user_data and user_data_file: both"},
		"unreadable user data": {block{"user_data_file": "/nowhere/at-all"}, "user_data_file: open /nowhere/at-all"},
		"long user data":       {block{"user_data": strings.Repeat("x", 17<<10)}, "17408 bytes are too many"},
		"negative timeout":     {block{"ssm_timeout": "-1m"}, "ssm_timeout: -1m0s is not allowed"},
		"no duration":          {block{"ssm_timeout": "soon"}, "ssm_timeout"},
		"short life":           {block{"instance_ttl": "1m"}, "instance_ttl: 1m0s is not allowed"},
		"negative pause":       {block{"pause_before_connecting": "-1s"}, "pause_before_connecting"},
		"shutdown":             {block{"shutdown_behavior": "hibernate"}, `shutdown_behavior: "hibernate" is not allowed`},
		"no name":              {block{"ami_name": ""}, "ami_name: it is missing"},
		"short name":           {block{"ami_name": "ab"}, "3 to 128 characters"},
		"bad name":             {block{"ami_name": "web:1"}, `ami_name: "web:1" is not allowed`},
		"bad name by template": {block{"ami_name": "web-{{isotime}}"}, "clean_resource_name"},
		"description":          {block{"ami_description": strings.Repeat("x", 256)}, "at most 255"},
		"tag key":              {block{"tags": block{"aws:x": "y"}}, "AWS keeps for itself"},
		"long tag":             {block{"run_tags": block{"x": strings.Repeat("y", 257)}}, "run_tags.x"},
		"bad template":         {block{"tags": block{"x": "{{ .SourceAMI"}}, `tags: template`},
		"communicator":         {block{"communicator": "winrm"}, `communicator: "winrm" is not allowed; it takes "ssm" or "ssh" or "none"`},
		"ssm with a password":  {block{"ssh_password": "x"}, `set communicator = "ssh"`},
		"two types":            {block{"instance_types": []string{"t3.micro"}}, "instance_type and instance_types: both are given"},
		"bad type in a list":   {block{"instance_type": "", "instance_types": []string{"small"}}, `instance_types[0]: "small" is not allowed`},
		"a type twice":         {block{"instance_type": "", "instance_types": []string{"t3.small", "t3.small"}}, "in the list twice"},
		"mixed types":          {block{"instance_type": "", "instance_types": []string{"t3.small", "t4g.small"}}, "t3.small is x86_64, and t4g.small is arm64"},
		"type and spot types":  {block{"spot_instance_types": []string{"t3.micro"}}, "instance_type and spot_instance_types: both are given"},
		"price of words":       {block{"spot_price": "cheap"}, `spot_price: "cheap" is not allowed`},
		"strategy":             {block{"spot_price": "auto", "spot_allocation_strategy": "best"}, "spot_allocation_strategy"},
		"spot tags alone":      {block{"spot_tags": block{"a": "b"}}, `spot_tags: no spot instance is asked for`},
		"spot types for none":  {block{"instance_type": "", "spot_instance_types": []string{"t3.small"}, "spot_price": "0"}, "asks for no spot instance"},
		"spot on a host":       {block{"spot_price": "auto", "placement": block{"host_id": "h-0123456789abcdef0"}}, "spot instances don't run on dedicated hosts"},
		"two subnets options":  {block{"subnet_id": "subnet-01234567", "subnet_ids": []string{"subnet-01234568"}}, "subnet_id and subnet_ids: both are given"},
		"subnet twice":         {block{"subnet_ids": []string{"subnet-01234567", "subnet-01234567"}}, "in the list twice"},
		"empty subnet filter":  {block{"subnet_filter": block{"random": true}}, "subnet_filter: filters is empty"},
		"free and random":      {block{"subnet_filter": block{"filters": block{"a": "b"}, "random": true, "most_free": true}}, "most_free and random are both set"},
		"zone's name":          {block{"availability_zone": "us-east-1"}, "availability_zone"},
		"tenancy name":         {block{"tenancy": "shared"}, `tenancy: "shared" is not allowed`},
		"tenancy twice":        {block{"tenancy": "host", "placement": block{"tenancy": "host"}}, "tenancy and placement.tenancy: both are given"},
		"two hosts":            {block{"placement": block{"host_id": "h-01234567", "host_resource_group_arn": "arn:aws:resource-groups:us-east-1:123456789012:group/g"}}, "both are given"},
		"dedicated on a host":  {block{"tenancy": "dedicated", "placement": block{"host_id": "h-01234567"}}, `tenancy "dedicated" runs on no host of yours`},
		"reservation's id":     {block{"capacity_reservation_id": "mine"}, "capacity_reservation_id"},
		"two reservations":     {block{"capacity_reservation_id": "cr-01234567", "capacity_reservation_preference": "open"}, "both are given"},
		"credits of none":      {block{"instance_type": "m5.large", "enable_unlimited_credits": true}, "m5.large has no CPU credits"},
		"device without name":  {block{"launch_block_device_mappings": []block{{"volume_size": 10}}}, "launch_block_device_mappings[0].device_name: it is missing"},
		"device twice":         {block{"launch_block_device_mappings": []block{{"device_name": "/dev/sdf", "volume_size": 10}, {"device_name": "/dev/sdf", "volume_size": 10}}}, "is there already"},
		"no device with size":  {block{"launch_block_device_mappings": []block{{"device_name": "/dev/sdf", "no_device": true, "volume_size": 1}}}, "go with device_name alone"},
		"device's type":        {block{"launch_block_device_mappings": []block{{"device_name": "/dev/sdf", "volume_type": "ssd"}}}, `launch_block_device_mappings[0].volume_type: "ssd"`},
		"device's key":         {block{"launch_block_device_mappings": []block{{"device_name": "/dev/sdf", "kms_key_id": "alias/k"}}}, "without encrypted = true"},
		"stop and terminate":   {block{"disable_stop_instance": true}, `set shutdown_behavior = "stop" too`},
		"mode":                 {block{"iam_mode": "none"}, `iam_mode: "none" is not allowed`},
		"existing none":        {block{"iam_mode": "existing"}, `"existing" needs iam_instance_profile`},
		"temporary existing":   {block{"iam_mode": "temporary", "iam_instance_profile": "x"}, `"temporary" uses no iam_instance_profile`},
		"two profiles":         {block{"iam_instance_profile": "x", "shared_iam_instance_profile": "y"}, "both are given"},
		"shared with policies": {block{"shared_iam_instance_profile": "y", "temporary_iam_instance_profile_policy_arns": []string{"arn:aws:iam::aws:policy/x"}}, "which shared_iam_instance_profile replaces"},
		"policy arn":           {block{"temporary_iam_instance_profile_policy_arns": []string{"AmazonS3ReadOnlyAccess"}}, "policy_arns[0]"},
		"boundary":             {block{"temporary_iam_instance_profile_permissions_boundary": "b"}, "permissions_boundary"},
		"path":                 {block{"temporary_iam_instance_profile_path": "ci"}, "begins and ends with /"},
		"endpoint's URL":       {block{"custom_endpoint_ec2": "ec2.example"}, "custom_endpoint_ec2"},
		"endpoint and FIPS":    {block{"custom_endpoint_ec2": "https://ec2.example", "use_fips_endpoint": true}, "custom_endpoint_ec2 and use_fips_endpoint"},
		"unknown option":       {block{"ami_nom": "x"}, "ami_nom"},
		"no such field":        {block{"tags": block{"from": "{{ .SourceAMIx }}"}}, "tags.from: \"{{ .SourceAMIx }}\": there is no .SourceAMIx; there are .BuildRegion, .SourceAMI,"},
		"field of a key":       {block{"run_tags": block{"{{ if .Foo }}x{{ end }}": "y"}}, "there is no .Foo"},
		"user in HCL":          {block{"ami_description": "{{ user `x` | lower }}"}, "in HCL, write ${var.name}"},
		"two timeouts":         {block{"ssh_timeout": "5m", "ssh_wait_timeout": "5m"}, "two names of the same; keep ssh_timeout"},
		"silence unasked":      {block{"ssh_read_write_timeout": "9s", "ssh_keep_alive_interval": "-1s"}, "with ssh_keep_alive_interval = -1s none is sent"},
		"negative silence":     {block{"ssh_read_write_timeout": "-9s"}, "ssh_read_write_timeout: -9s is not allowed"},
		"sessions":             {block{"ssm_transfer_sessions": 17}, "ssm_transfer_sessions: 17 is not allowed; it takes 1 to 16"},
		"negative sessions":    {block{"ssm_transfer_sessions": -1}, "ssm_transfer_sessions: -1"},
		"two names of a tag":   {block{"run_volume_tag": []block{{"name": "a", "key": "b", "value": "c"}}}, "run_volume_tag[0]"},
		"test of a condition":  {conditioned(block{"Test": "Equals", "Variable": "aws:SourceVpc", "Values": []string{"vpc-1"}}), "Statement[0].Condition[0].Test"},
		"key of a condition":   {conditioned(block{"Test": "StringEquals", "Variable": "vpc", "Values": []string{"vpc-1"}}), "Statement[0].Condition[0].Variable"},
		"no values":            {conditioned(block{"Test": "StringEquals", "Variable": "aws:SourceVpc"}), "Condition[0].Values: it is missing"},
		"condition twice": {conditioned(
			block{"Test": "Bool", "Variable": "aws:SecureTransport", "Values": []string{"true"}},
			block{"Test": "Bool", "Variable": "aws:SecureTransport", "Values": []string{"false"}},
		), "put all values in one"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := prepare(t, with(test.more))
			if err == nil {
				t.Fatal("accepted")
			}
			got := problems(err)
			if got == nil {
				got = []string{err.Error()}
			}
			if len(got) != 1 || !strings.Contains(got[0], test.want) {
				t.Errorf("got %q\nwant one problem that says %q", got, test.want)
			}
		})
	}
}

// conditioned is a template whose temporary role has a statement under conditions.
func conditioned(conditions ...block) block {
	return block{"temporary_iam_instance_profile_policy_document": block{"Statement": []block{
		{"Effect": "Allow", "Action": []string{"s3:GetObject"}, "Resource": []string{"*"}, "Condition": conditions},
	}}}
}

// What can't be decoded is told with all the rest, each by itself.
func TestUndecodedIsTold(t *testing.T) {
	_, err := prepare(t, with(block{"ssm_timeout": "5", "ssh_timeout": "soon", "release": "3"}))
	want := []string{
		`error decoding 'ssh_timeout': time: invalid duration "soon"; it takes a number and its unit, such as "10m"`,
		`error decoding 'ssm_timeout': time: missing unit in duration "5"; it takes a number and its unit, such as "10m"`,
		`release: "3" is not allowed; it takes "2" or "2023"`,
	}
	if diff := cmp.Diff(want, problems(err)); diff != "" {
		t.Error(diff)
	}
}

// What can't be rendered is told with all the rest, and by nothing else: its value is not known.
func TestUnrenderedIsTold(t *testing.T) {
	raw := with(block{
		"ami_name": "web-{{ timestmp }}", "instance_type": "{{ if }}", "ssm_timeout": "{{ minutes 5 }}", "release": "3",
		"run_tags": block{"a": "b", "c": "{{ nothing }}"}, "root_volume": block{"type": "{{ ssd }}", "size": 20}, "vpc_id": "default",
	})
	_, err := prepare(t, raw)
	want := []string{
		`ami_name: template: root:1: function "timestmp" not defined`,
		`instance_type: template: root:1: missing value for if`,
		`release: "3" is not allowed; it takes "2" or "2023"`,
		`root_volume: template: root:1: function "ssd" not defined`,
		`run_tags: template: root:1: function "nothing" not defined`,
		`ssm_timeout: template: root:1: function "minutes" not defined`,
		`vpc_id: "default" is not allowed; it takes an id such as "vpc-0123456789abcdef0"`,
	}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(problems(err)))); diff != "" {
		t.Error(diff)
	}
	if tags := fmt.Sprint(raw["run_tags"]); raw["ami_name"] != "web-{{ timestmp }}" || tags != "map[a:b c:{{ nothing }}]" {
		t.Errorf("the template that was given has changed: %v", raw)
	}
}

// A template with everything wrong gets everything told, in one go.
func TestPrepareTellsAllAtOnce(t *testing.T) {
	_, err := prepare(t, block{
		"region": "mars", "release": "1", "architecture": "sparc", "ami_name": "x", "source_ami": "x",
		"source_ami_filter": block{"most_recent": true},
		"instance_type":     "small", "vpc_id": "v", "subnet_id": "s", "security_group_id": "g",
		"root_volume":    block{"type": "gp2", "iops": 100},
		"user_data_file": "/nowhere", "user_data": "secret-looking text",
		"ssm_timeout": "-5m", "ssh_interface": "session_manager", "winrm_username": "Administrator",
	})
	golden(t, "all-wrong.txt", strings.Join(problems(err), "\n")+"\n")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), run with -update if this is meant:\n%s", file, diff)
	}
}

// What amazon-ebs has and this builder needs no more is told by name, with the reason.
func TestNeedlessOptions(t *testing.T) {
	given := block{
		"ssh_interface": "session_manager", "pause_before_ssm": "10s", "session_manager_port": 8001,
		"temporary_security_group_source_cidrs": []string{"10.0.0.0/8"}, "ena_support": false,
		"ssh_keypair_name": "k", "temporary_key_pair_type": "ed25519", "ssh_bastion_host": "b", "ssh_host": "h",
		"ssh_clear_authorized_keys": true, "winrm_port": 5985, "ami_virtualization_type": "hvm",
		"snapshot_groups": []string{"all"}, "vault_aws_engine": block{"name": "packer", "engine_name": "aws"}, "mfa_code": "123456",
		"fast_launch": block{"enable_fast_launch": true}, "ebs_optimized": true, "enable_nitro_enclave": true, "block_duration_minutes": 60,
		"license_specifications": []block{{"license_configuration_request": block{"license_configuration_arn": "arn:x"}}},
	}
	_, err := prepare(t, with(given))
	got := problems(err)
	if len(got) != len(given) {
		t.Errorf("%d options given, %d problems told: %q", len(given), len(got), got)
	}
	for option := range given {
		if !slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, option+": delete it: ") }) {
			t.Errorf("%s: no problem tells to delete it", option)
		}
	}
}

// The HCL spec must have each needless option, or Packer refuses it before Prepare can say why.
func TestSpecHasNeedlessOptions(t *testing.T) {
	b := new(Builder)
	spec := b.ConfigSpec()
	for _, n := range append(b.config.needlessHere(), needlessOfSDK(&b.config.Comm)...) {
		if _, ok := spec[n.option]; !ok {
			t.Errorf("the spec lacks %s", n.option)
		}
	}
}

func TestUserDataIsEncodedOnce(t *testing.T) {
	const plain, encoded = "#!/bin/sh\necho hi\n", "IyEvYmluL3NoCmVjaG8gaGkK"
	for given, want := range map[string]string{plain: encoded, encoded: encoded, "": "", "abcd": "YWJjZA=="} {
		b, err := prepare(t, with(block{"user_data": given}))
		if err != nil || b.config.userData != want {
			t.Errorf("user_data %q: got %q, %v; want %q", given, b.config.userData, err, want)
		}
	}
}

func TestSecretsAreFiltered(t *testing.T) {
	b, err := prepare(t, with(block{"access_key": "AKIAXXXXXXXXXXXXXXXX", "secret_key": "sesame", "token": "tok", "communicator": "ssh", "ssh_password": "pw"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := packersdk.LogSecretFilter.FilterString("sesame tok pw"); got != "<sensitive> <sensitive> <sensitive>" {
		t.Errorf("filtered: %q", got)
	}
	if diff := cmp.Diff([]string{"sesame", "tok", "pw"}, b.config.secrets()); diff != "" {
		t.Error(diff)
	}
}

func TestParameter(t *testing.T) {
	const public = "/aws/service/ami-amazon-linux-latest/"
	for _, test := range []struct {
		c    SourceConfig
		arch string
		want string
	}{
		{SourceConfig{}, archX86, public + "amzn2-ami-kernel-5.10-hvm-x86_64-gp2"},
		{SourceConfig{}, archARM, public + "amzn2-ami-kernel-5.10-hvm-arm64-gp2"},
		{SourceConfig{Kernel: "4.14"}, archX86, public + "amzn2-ami-hvm-x86_64-gp2"},
		{SourceConfig{Release: "2023"}, archARM, public + "al2023-ami-kernel-default-arm64"},
		{SourceConfig{Release: "2023", Kernel: "6.1"}, archX86, public + "al2023-ami-kernel-6.1-x86_64"},
		{SourceConfig{SourceAMIParameter: "/mine"}, archX86, "/mine"},
	} {
		if got := test.c.parameter(test.arch); got != test.want {
			t.Errorf("%+v %s: %s, want %s", test.c, test.arch, got, test.want)
		}
	}
}

// What a template says of SSH is what the communicator gets.
func TestSSHOptionsPassThrough(t *testing.T) {
	b := testBuild(t, block{
		"ssh_read_write_timeout": "3m", "ssh_keep_alive_interval": "7s", "ssh_pty": true, "ssh_file_transfer_method": "scp",
		"ssh_ciphers": []string{"aes128-gcm@openssh.com"}, "ssh_key_exchange_algorithms": []string{"curve25519-sha256"},
		"ssh_local_tunnels": []string{"8080:127.0.0.1:80"}, "ssh_remote_tunnels": []string{"9090:127.0.0.1:90"},
		"ssh_disable_agent_forwarding": true, "ssh_wait_timeout": "8m", "ssh_handshake_attempts": 4, "ssh_username": "root",
	})
	cfg := communicatorConfig(b)
	c := cfg.SSH.SSH
	got := []any{
		cfg.User, c.SSHReadWriteTimeout, c.SSHKeepAliveInterval, c.SSHPty, c.SSHFileTransferMethod, c.SSHCiphers, c.SSHKEXAlgos,
		c.SSHLocalTunnels, c.SSHRemoteTunnels, c.SSHDisableAgentForwarding, c.SSHTimeout, c.SSHHandshakeAttempts,
	}
	want := []any{
		"root", 3 * time.Minute, 7 * time.Second, true, "scp", []string{"aes128-gcm@openssh.com"}, []string{"curve25519-sha256"},
		[]string{"8080:127.0.0.1:80"}, []string{"9090:127.0.0.1:90"}, true, 8 * time.Minute, 4,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
