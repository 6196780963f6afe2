package localaws

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type queryPage struct {
	MaxResults *int64 `query:"MaxResults"`
}

type queryTag struct {
	Key   string `query:"Key"`
	Value string `query:"Value"`
}

type queryInput struct {
	queryPage
	ImageID string    `query:"ImageId,required"`
	DryRun  *bool     `query:"DryRun"`
	Ratio   float64   `query:"Ratio"`
	When    time.Time `query:"When"`
	Zones   []string  `query:"Zone"`
	Profile *struct {
		Name string `query:"Name"`
	} `query:"Profile"`
	Filters []struct {
		Name   string   `query:"Name"`
		Values []string `query:"Value"`
	} `query:"Filter"`
	Specs []struct {
		Type string     `query:"ResourceType"`
		Tags []queryTag `query:"Tag"`
	} `query:"TagSpecification"`
	Untagged string
}

func decode(service, query string, in any) error {
	form, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	return decodeQuery(&call{service: service, form: form}, in)
}

func TestDecodeQuery(t *testing.T) {
	var got queryInput
	err := decode("ec2", "Action=A&Version=V&ImageId=ami-1&DryRun=True&Ratio=0.5&When=2026-01-02T03:04:05Z&MaxResults=7"+
		"&Zone.2=b&Zone.1=a&Zone.10=c&Profile.Name=p"+
		"&Filter.1.Name=x&Filter.1.Value.1=1&Filter.1.Value.2=2&Filter.2.Name=y"+
		"&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=", &got)
	if err != nil {
		t.Fatal(err)
	}
	var want queryInput
	seven, yes := int64(7), true
	want.MaxResults, want.DryRun = &seven, &yes
	want.ImageID, want.Ratio = "ami-1", 0.5
	want.When = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want.Zones = []string{"a", "b", "c"}
	want.Profile = &struct {
		Name string `query:"Name"`
	}{"p"}
	want.Filters = append(want.Filters, struct {
		Name   string   `query:"Name"`
		Values []string `query:"Value"`
	}{"x", []string{"1", "2"}}, struct {
		Name   string   `query:"Name"`
		Values []string `query:"Value"`
	}{"y", nil})
	want.Specs = append(want.Specs, struct {
		Type string     `query:"ResourceType"`
		Tags []queryTag `query:"Tag"`
	}{"instance", []queryTag{{"k", ""}}})
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(queryInput{})); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeQueryMembers(t *testing.T) {
	var got struct {
		Tags []queryTag `query:"Tags"`
		Keys []string   `query:"Keys"`
	}
	if err := decode("iam", "Tags.member.1.Key=a&Tags.member.1.Value=b&Keys=", &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]queryTag{{"a", "b"}}, got.Tags); diff != "" || len(got.Keys) != 0 {
		t.Error(diff, got.Keys)
	}
}

func TestDecodeQueryRefuses(t *testing.T) {
	for query, want := range map[string]string{
		"":                                         "MissingParameter: The request must contain the parameter ImageId",
		"ImageId=a&Nonsense=1":                     "UnknownParameter: The parameter Nonsense is not recognized",
		"ImageId=a&Filter.1.Nonsense=1":            "UnknownParameter: The parameter Filter.1.Nonsense is not recognized",
		"ImageId=a&Filter.x.Name=1":                "UnknownParameter: The parameter Filter.x.Name is not recognized",
		"ImageId=a&Filter.01.Name=1":               "UnknownParameter: The parameter Filter.01.Name is not recognized",
		"ImageId=a&ImageId.1=a":                    "UnknownParameter: The parameter ImageId.1 is not recognized",
		"ImageId=a&Untagged=1":                     "UnknownParameter: The parameter Untagged is not recognized",
		"ImageId=a&ImageId=b":                      "MalformedQueryString: The query string contains the parameter ImageId more than once",
		"ImageId=a&DryRun=1":                       "InvalidParameterValue: Value (1) for parameter dryRun is invalid. True or false is expected",
		"ImageId=a&MaxResults=many":                "InvalidParameterValue: Value (many) for parameter maxResults is invalid. An integer is expected",
		"ImageId=a&MaxResults=9223372036854775808": "InvalidParameterValue: Value (9223372036854775808) for parameter maxResults is invalid. An integer is expected",
		"ImageId=a&When=today":                     "InvalidParameterValue: Value (today) for parameter when is invalid. A timestamp is expected",
		"ImageId=a&Zone=b":                         "InvalidParameterValue: Value (b) for parameter zone is invalid. A list is expected",
	} {
		var in queryInput
		err := decode("ec2", query, &in)
		var refusal *apiError
		if !errors.As(err, &refusal) || refusal.Error() != want {
			t.Errorf("%s: %v, want %s", query, err, want)
		}
	}
	var in struct {
		Name string `query:"RoleName,required"`
	}
	want := "ValidationError: 1 validation error detected: Value null at 'roleName' failed to satisfy constraint: Member must not be null"
	if err := decode("iam", "", &in); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
