package localaws

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

func putString(t *testing.T, c *ssm.Client, name, value string, change ...func(*ssm.PutParameterInput)) (int64, error) {
	t.Helper()
	in := &ssm.PutParameterInput{Name: &name, Value: &value, Type: types.ParameterTypeString, Overwrite: aws.Bool(true)}
	for _, f := range change {
		f(in)
	}
	out, err := c.PutParameter(t.Context(), in)
	if err != nil {
		return 0, err
	}
	return out.Version, nil
}

func TestParameterHistoryAndLabels(t *testing.T) {
	t.Parallel()
	c := ssmClient(t, startServer(t, Options{}))
	for _, value := range []string{"one", "two"} {
		_, err := putString(t, c, "/a/b", value)
		ok(t, err)
	}
	labelled, err := c.LabelParameterVersion(t.Context(), &ssm.LabelParameterVersionInput{Name: aws.String("/a/b"), ParameterVersion: aws.Int64(1), Labels: []string{"prod", "awsome", "1st"}})
	ok(t, err)
	if len(labelled.InvalidLabels) != 2 {
		t.Errorf("%v", labelled.InvalidLabels)
	}
	got, err := c.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/a/b:prod")})
	ok(t, err)
	if *got.Parameter.Value != "one" || *got.Parameter.Selector != ":prod" {
		t.Errorf("%s %s", *got.Parameter.Value, *got.Parameter.Selector)
	}
	_, err = c.LabelParameterVersion(t.Context(), &ssm.LabelParameterVersionInput{Name: aws.String("/a/b"), Labels: []string{"prod"}})
	ok(t, err)
	history, err := c.GetParameterHistory(t.Context(), &ssm.GetParameterHistoryInput{Name: aws.String("/a/b")})
	ok(t, err)
	if h := history.Parameters; len(h) != 2 || len(h[0].Labels) != 0 || h[1].Labels[0] != "prod" || *h[1].Value != "two" {
		t.Errorf("%+v", h)
	}
	_, err = c.LabelParameterVersion(t.Context(), &ssm.LabelParameterVersionInput{Name: aws.String("/a/b"), ParameterVersion: aws.Int64(9), Labels: []string{"x"}})
	wantAPIError(t, err, "ParameterVersionNotFound")
}

func TestParametersAreRefusedAsAWSRefusesThem(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	c := ssmClient(t, s)
	_, err := putString(t, c, "x", "")
	wantAPIError(t, err, "ValidationException", "Value '' at 'value'")
	_, err = putString(t, c, "x", "v")
	ok(t, err)
	for name, want := range map[string][2]string{
		"aws-x": {"ValidationException", `"aws" or "ssm"`}, "SSM.x": {"ValidationException", `"aws" or "ssm"`}, "/ssm/x": {"ValidationException", `with "ssm"`},
		"/aws/x": {"AccessDeniedException", "/aws/x"},
	} {
		_, err = putString(t, c, name, "v")
		wantAPIError(t, err, want[0], want[1])
	}
	_, err = c.DescribeParameters(t.Context(), &ssm.DescribeParametersInput{
		Filters:          []types.ParametersFilter{{Key: types.ParametersFilterKeyName, Values: []string{"x"}}},
		ParameterFilters: []types.ParameterStringFilter{{Key: aws.String("Name"), Values: []string{"x"}}},
	})
	wantAPIError(t, err, "ValidationException", "either Filters or ParameterFilters")
	secret := func(in *ssm.PutParameterInput) { in.Type = types.ParameterTypeSecureString }
	_, err = putString(t, c, "x", "v", secret)
	wantAPIError(t, err, "HierarchyTypeMismatchException")
	_, err = putString(t, c, "y", "v", secret, func(in *ssm.PutParameterInput) { in.KeyId = aws.String("alias/none") })
	wantAPIError(t, err, "InvalidKeyId", "alias/none")
	// AWS looks at the image later: the call succeeds, and the version is never made
	image := func(in *ssm.PutParameterInput) { in.DataType = aws.String("aws:ec2:image") }
	version, err := putString(t, c, "image", "ami-0123456789abcdef0", image)
	if err != nil || version != 1 {
		t.Error(version, err)
	}
	_, err = c.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("image")})
	wantAPIError(t, err, "ParameterNotFound")
	_, err = putString(t, c, "image", amazonImage(t, ec2Client(t, s, DefaultAccount), "amzn2-ami-hvm-*-x86_64-gp2"), image)
	ok(t, err)
	_, err = c.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("image")})
	ok(t, err)
}

func TestPublicParametersThatAreNotHere(t *testing.T) {
	t.Parallel()
	c := ssmClient(t, startServer(t, Options{}))
	const ubuntu, regions = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id", "/aws/service/global-infrastructure/regions"
	_, err := c.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String(ubuntu)})
	wantAPIError(t, err, "NotInLocalaws", "/aws/service/canonical")
	_, err = c.GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{ubuntu}})
	wantAPIError(t, err, "NotInLocalaws")
	_, err = c.GetParametersByPath(t.Context(), &ssm.GetParametersByPathInput{Path: aws.String(regions)})
	wantAPIError(t, err, "NotInLocalaws", "global-infrastructure")
	_, err = c.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/aws/service/ami-amazon-linux-latest/none")})
	wantAPIError(t, err, "ParameterNotFound")
}

func TestTagsOfParameters(t *testing.T) {
	t.Parallel()
	c := ssmClient(t, startServer(t, Options{}))
	_, err := putString(t, c, "x", "v")
	ok(t, err)
	add := func(id string, tags ...types.Tag) error {
		_, err := c.AddTagsToResource(t.Context(), &ssm.AddTagsToResourceInput{ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: &id, Tags: tags})
		return err
	}
	tag := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
	ok(t, add("x", tag("a", "1"), tag("b", "2")))
	ok(t, add("x", tag("a", "3")))
	wantAPIError(t, add("none", tag("a", "1")), "InvalidResourceId")
	wantAPIError(t, add("x", tag("aws:a", "1")), "ValidationException")
	wantAPIError(t, add("x", tag("c", "1"), tag("c", "2")), "ValidationException")
	_, err = c.RemoveTagsFromResource(t.Context(), &ssm.RemoveTagsFromResourceInput{ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: aws.String("x"), TagKeys: []string{"b", "z"}})
	ok(t, err)
	listed, err := c.ListTagsForResource(t.Context(), &ssm.ListTagsForResourceInput{ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: aws.String("x")})
	ok(t, err)
	if len(listed.TagList) != 1 || *listed.TagList[0].Value != "3" {
		t.Errorf("%+v", listed.TagList)
	}
}

func TestDocumentsThatAreNotHere(t *testing.T) {
	t.Parallel()
	c := ssmClient(t, startServer(t, Options{}))
	for name, code := range map[string]string{"AWS-RunPatchBaseline": "NotInLocalaws", "AWS-None": "InvalidDocument"} {
		_, err := c.DescribeDocument(t.Context(), &ssm.DescribeDocumentInput{Name: &name})
		wantAPIError(t, err, code, name)
	}
	create := func(content string, format types.DocumentFormat) error {
		_, err := c.CreateDocument(t.Context(), &ssm.CreateDocumentInput{Name: aws.String("mine"), Content: &content, DocumentType: types.DocumentTypeCommand, DocumentFormat: format})
		return err
	}
	wantAPIError(t, create(`{"schemaVersion":"2.2","mainSteps":[{"action":"aws:none","name":"a"}]}`, ""), "InvalidDocumentContent", "aws:none")
	wantAPIError(t, create("schemaVersion: '2.2'", types.DocumentFormatYaml), "NotInLocalaws", "YAML")
}
