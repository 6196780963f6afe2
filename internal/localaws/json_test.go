package localaws

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type jsonInput struct {
	Target     string `json:"Target" required:"true"`
	Plain      string
	Parameters map[string][]string
	Tags       []struct {
		Key string `required:"true"`
	}
	Hidden string `json:"-"`
}

func TestDecodeJSON(t *testing.T) {
	var got jsonInput
	body := `{"Target":"i-1","Plain":"p","Parameters":{"portNumber":["22"]},"Tags":[{"Key":"k"}]}`
	if err := decodeJSON(&call{service: "ssm", body: []byte(body)}, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"portNumber": {"22"}}, got.Parameters); diff != "" || got.Plain != "p" || got.Tags[0].Key != "k" {
		t.Error(diff, got)
	}
}

func TestDecodeJSONRefuses(t *testing.T) {
	const unfit, strange = "ValidationException: 1 validation error detected: ", "NotInLocalaws: localaws does not have a parameter "
	for body, want := range map[string]string{
		`{`:                          "SerializationException: The request is not valid JSON: unexpected end of JSON input",
		`{}`:                         unfit + "Value null at 'target' failed to satisfy constraint: Member must not be null",
		``:                           unfit + "Value null at 'target' failed to satisfy constraint: Member must not be null",
		`{"Target":null}`:            unfit + "Value null at 'target' failed to satisfy constraint: Member must not be null",
		`{"target":"i-1"}`:           strange + "target of ssm:Test; as far as it knows AWS has none either, and would ignore it",
		`{"Target":"i","Hidden":""}`: strange + "Hidden of ssm:Test; as far as it knows AWS has none either, and would ignore it",
		`{"Target":"i","Tags":[{}]}`: unfit + "Value null at 'tags[0].key' failed to satisfy constraint: Member must not be null",
		`{"Target":7}`:               "SerializationException: NUMBER_VALUE can not be converted to a String",
		`{"Target":"i","Parameters":{"a":"secret"}}`: "SerializationException: Unrecognized collection type class java.lang.String",
	} {
		var in jsonInput
		if err := decodeJSON(&call{service: "ssm", action: "Test", body: []byte(body)}, &in); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

func TestEpochSeconds(t *testing.T) {
	when := epochSeconds(time.UnixMilli(1700000000042))
	if got, err := when.MarshalJSON(); err != nil || string(got) != "1700000000.042" {
		t.Errorf("%s %v", got, err)
	}
	if got, err := (epochSeconds{}).MarshalJSON(); err != nil || string(got) != "null" {
		t.Errorf("%s %v", got, err)
	}
}
