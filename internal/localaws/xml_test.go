package localaws

import (
	"strings"
	"testing"
	"time"
)

type xmlState struct {
	Code int64  `xml:"code"`
	Name string `xml:"name"`
}

type xmlPaging struct {
	NextToken *string `xml:"nextToken"`
}

type xmlOutput struct {
	xmlPaging
	Set      []xmlState `xml:"set>item"`
	Empty    []string   `xml:"empty>item"`
	Omitted  []string   `xml:"omitted>item,omitempty"`
	Pointer  *xmlState  `xml:"pointer"`
	Nil      *xmlState  `xml:"nil"`
	When     time.Time  `xml:"when"`
	Never    time.Time  `xml:"never"`
	Deep     string     `xml:"a>b"`
	Text     string     `xml:"text"`
	Flag     bool       `xml:"flag"`
	Ratio    float64    `xml:"ratio"`
	Blank    string     `xml:"blank,omitempty"`
	Untagged string
	hidden   string
}

func TestXMLAnswers(t *testing.T) {
	token := "t"
	out := &xmlOutput{
		xmlPaging: xmlPaging{&token},
		Set:       []xmlState{{16, "running"}, {48, "terminated"}},
		Pointer:   &xmlState{0, "pending"},
		When:      time.Date(2026, 1, 2, 3, 4, 5, 67e6, time.UTC),
		Deep:      "d", Text: "<&>", Flag: true, Ratio: 0.25, Untagged: "u", hidden: "h",
	}
	const fields = `<nextToken>t</nextToken>` +
		`<set><item><code>16</code><name>running</name></item><item><code>48</code><name>terminated</name></item></set><empty></empty>` +
		`<pointer><code>0</code><name>pending</name></pointer><when>2026-01-02T03:04:05.067Z</when><a><b>d</b></a>` +
		`<text>&lt;&amp;&gt;</text><flag>true</flag><ratio>0.25</ratio><Untagged>u</Untagged>`
	for service, want := range map[string]string{
		"ec2": `<DoResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>` + fields + `</DoResponse>`,
		"iam": `<DoResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><DoResult>` + fields + `</DoResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DoResponse>`,
	} {
		_, body, _ := strings.Cut(string(xmlResult(&call{service: service, action: "Do", requestID: "r"}, out)), "\n")
		if body != want {
			t.Errorf("%s:\n%s\nwant\n%s", service, body, want)
		}
	}
}

func TestXMLWithoutResult(t *testing.T) {
	var none *struct{}
	_, body, _ := strings.Cut(string(xmlResult(&call{service: "iam", action: "Do", requestID: "r"}, none)), "\n")
	want := `<DoResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DoResponse>`
	if body != want {
		t.Errorf("%s\nwant\n%s", body, want)
	}
}
