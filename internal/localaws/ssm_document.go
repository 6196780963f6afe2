package localaws

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

//go:embed ssm_documents/*.json
var awsDocumentFiles embed.FS

// shellDocument is what sessions without a document run; an account can make its own of that name.
const shellDocument = "SSM-SessionManagerRunShell"

const shellDocumentContent = `{"schemaVersion":"1.0","description":"Document to hold regional settings for Session Manager","sessionType":"Standard_Stream","inputs":{}}`

// awsDocuments are the documents that AWS owns, by name.
var awsDocuments = readAWSDocuments()

// An ssmDocument is one document in its only version.
type ssmDocument struct {
	name    string
	kind    string // "Command" or "Session"
	owner   string // "Amazon" or an account
	content string // as it was given
	format  string // "JSON"
	created time.Time
	parsed  documentContent
	tags    []ssmTag

	displayName, versionName, targetType string
}

type ssmTag struct {
	Key   string `json:"Key" required:"true"`
	Value string `json:"Value" required:"true"`
}

// documentContent is as much of a document as is acted on; the rest is kept as text.
type documentContent struct {
	SchemaVersion string                       `json:"schemaVersion"`
	Description   string                       `json:"description"`
	SessionType   string                       `json:"sessionType"`
	Parameters    map[string]documentParameter `json:"parameters"`
	Properties    map[string]any               `json:"properties"`
	Inputs        sessionInputs                `json:"inputs"`
	RuntimeConfig map[string]struct {
		Properties any `json:"properties"` // a list of steps, or one
	} `json:"runtimeConfig"`
	MainSteps []struct {
		Action string         `json:"action"`
		Name   string         `json:"name"`
		Inputs map[string]any `json:"inputs"`
	} `json:"mainSteps"`
}

type sessionInputs struct {
	IdleSessionTimeout string `json:"idleSessionTimeout"` // minutes
	MaxSessionDuration string `json:"maxSessionDuration"` // minutes
}

type documentParameter struct {
	Type           string `json:"type"`
	Description    string `json:"description"`
	Default        any    `json:"default"`
	AllowedPattern string `json:"allowedPattern"`
	AllowedValues  []any  `json:"allowedValues"`
	MinItems       *int   `json:"minItems"`
	MaxItems       *int   `json:"maxItems"`
	MinChars       *int   `json:"minChars"`
	MaxChars       *int   `json:"maxChars"`
}

func readAWSDocuments() map[string]*ssmDocument {
	documents := map[string]*ssmDocument{}
	files, err := awsDocumentFiles.ReadDir("ssm_documents")
	if err != nil {
		panic(err) // the files are part of the program
	}
	for _, file := range files {
		content, err := awsDocumentFiles.ReadFile(path.Join("ssm_documents", file.Name()))
		if err != nil {
			panic(err)
		}
		name := strings.TrimSuffix(file.Name(), ".json")
		documents[name] = mustDocument(name, string(content))
	}
	documents[shellDocument] = mustDocument(shellDocument, shellDocumentContent)
	return documents
}

func mustDocument(name, content string) *ssmDocument {
	d, err := newDocument(name, content)
	if err != nil {
		panic(err)
	}
	d.owner, d.created = "Amazon", time.Date(2019, 8, 29, 15, 0, 0, 0, time.UTC)
	return d
}

func newDocument(name, content string) (*ssmDocument, error) {
	d := &ssmDocument{name: name, content: content, format: "JSON", kind: "Command"}
	if err := json.Unmarshal([]byte(content), &d.parsed); err != nil {
		return nil, err
	}
	if d.parsed.SessionType != "" {
		d.kind = "Session"
	}
	for _, p := range d.parsed.Parameters {
		if _, err := regexp.Compile(p.AllowedPattern); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// document finds a document by name or ARN: the account's own or AWS's.
func (c *call) document(nameOrARN string) *ssmDocument {
	name := nameOrARN
	if strings.HasPrefix(name, "arn:") {
		_, name, _ = strings.Cut(name, ":document/")
	}
	if own := c.ssm().documents[name]; own != nil {
		return own
	}
	if name == shellDocument && nameOrARN != "" {
		return nil // it is there only once the account has made it
	}
	return awsDocuments[name]
}

// missingDocuments are documents of AWS's own that are not here.
var missingDocuments = []string{
	"AWS-ApplyAnsiblePlaybooks", "AWS-ApplyChefRecipes", "AWS-ApplyDSCMofs", "AWS-ApplyPatchBaseline", "AWS-ConfigureAWSPackage", "AWS-ConfigureDocker",
	"AWS-ConfigureWindowsUpdate", "AWS-FindWindowsUpdates", "AWS-GatherSoftwareInventory", "AWS-InstallApplication", "AWS-InstallMissingWindowsUpdates",
	"AWS-InstallPowerShellModule", "AWS-InstallSpecificWindowsUpdates", "AWS-JoinDirectoryServiceDomain", "AWS-ListWindowsInventory", "AWS-PasswordReset",
	"AWS-RefreshAssociation", "AWS-RunAnsiblePlaybook", "AWS-RunDockerAction", "AWS-RunDocument", "AWS-RunInspecChecks", "AWS-RunPatchBaseline",
	"AWS-RunPatchBaselineAssociation", "AWS-RunPatchBaselineWithHooks", "AWS-RunPowerShellScript", "AWS-RunRemoteScript", "AWS-RunSaltState",
	"AWS-StartPortForwardingSessionToSocket", "AWS-UpdateEC2Config", "AWS-UpdateSSMAgent", "AmazonCloudWatch-ManageAgent", "AWSEC2-CreateVssSnapshot",
	"AWSFIS-Run-CPU-Stress", "AWS-CreateImage", "AWS-UpdateLinuxAmi", "AWS-RestartEC2Instance", "AWS-StopEC2Instance", "AWS-StartEC2Instance",
}

func noDocument(name string) error {
	if slices.Contains(missingDocuments, name) {
		return notHere("the document %s", name)
	}
	return refuse("InvalidDocument", "Document with name %s does not exist.", name)
}

// resolve is what a document's parameters are for a call: checked, with defaults. Every value is a list, as the API has it.
func (d *ssmDocument) resolve(sent map[string][]string) (map[string][]string, error) {
	values := map[string][]string{}
	for name := range sent {
		if _, ok := d.parsed.Parameters[name]; !ok {
			return nil, fmt.Errorf("parameter %s is not defined in document %s", name, d.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.parsed.Parameters)) {
		p := d.parsed.Parameters[name]
		value, ok := sent[name]
		if !ok {
			if p.Default == nil {
				return nil, fmt.Errorf("parameter %s is required by document %s", name, d.name)
			}
			values[name] = p.defaults()
			continue
		}
		if err := p.check(name, value); err != nil {
			return nil, err
		}
		values[name] = value
	}
	return values, nil
}

func (p documentParameter) defaults() []string {
	if list, ok := p.Default.([]any); ok {
		values := make([]string, 0, len(list))
		for _, v := range list {
			values = append(values, fmt.Sprint(v))
		}
		return values
	}
	return []string{fmt.Sprint(p.Default)}
}

func (p documentParameter) check(name string, values []string) error {
	switch {
	case p.Type != "StringList" && len(values) != 1:
		return fmt.Errorf("parameter %s must have one value", name)
	case p.MinItems != nil && len(values) < *p.MinItems, p.MaxItems != nil && len(values) > *p.MaxItems:
		return fmt.Errorf("parameter %s has %d items", name, len(values))
	}
	for _, value := range values {
		if err := p.checkValue(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (p documentParameter) checkValue(name, value string) error {
	length := utf8.RuneCountInString(value)
	switch {
	case p.AllowedPattern != "" && !wholeMatch(p.AllowedPattern, value):
		return fmt.Errorf("parameter value for %s does not match the allowedPattern %s", name, p.AllowedPattern)
	case p.AllowedValues != nil && !slices.Contains(p.AllowedValues, any(value)):
		return fmt.Errorf("parameter value for %s is not one of the allowedValues %v", name, p.AllowedValues)
	case p.MaxChars != nil && length > *p.MaxChars, p.MinChars != nil && length < *p.MinChars:
		return fmt.Errorf("parameter value for %s has %d characters", name, length)
	}
	return nil
}

func wholeMatch(pattern, value string) bool {
	match, err := regexp.MatchString("^(?:"+pattern+")$", value)
	return err == nil && match
}

var placeholder = regexp.MustCompile(`\{\{\s*([a-zA-Z0-9_]+)\s*\}\}`)

// substitute puts parameters where a document names them, at any depth. A text that is nothing but the name of a list becomes
// the list.
func substitute(v any, parameters map[string][]string, lists map[string]bool) any {
	switch v := v.(type) {
	case string:
		if m := placeholder.FindStringSubmatch(v); m != nil && m[0] == strings.TrimSpace(v) && lists[m[1]] {
			return parameters[m[1]]
		}
		return placeholder.ReplaceAllStringFunc(v, func(text string) string {
			name := placeholder.FindStringSubmatch(text)[1]
			if value, ok := parameters[name]; ok {
				return strings.Join(value, ",")
			}
			return text
		})
	case map[string]any:
		out := map[string]any{}
		for key, item := range v {
			out[key] = substitute(item, parameters, lists)
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, substitute(item, parameters, lists))
		}
		return out
	}
	return v
}

// lists are the document's parameters that are lists.
func (d *ssmDocument) lists() map[string]bool {
	lists := map[string]bool{}
	for name, p := range d.parsed.Parameters {
		lists[name] = p.Type == "StringList"
	}
	return lists
}

func (d *ssmDocument) hash() string {
	sum := sha256.Sum256([]byte(d.content))
	return hex.EncodeToString(sum[:])
}
