//go:build linux

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// The guide of docs/migration.md, followed by a machine that knows nothing else: the plugin, the type, and what
// `packer validate` tells to delete.

const (
	peersType = "amazon-ebs"
	ourType   = "ssm-amazon-linux"
)

// follow moves the templates in dir, which args let Packer validate, by the guide. What it can't do is an error of the
// guide, or of what validation says.
func (w *world) follow(dir string, args ...string) {
	w.Helper()
	w.edit(dir, retype)
	keep := w.usesPeerBeside(dir)
	w.edit(dir, func(name string, text []byte) []byte { return replacePlugin(w, name, text, keep) })
	// Once is enough: validation names all of them at once.
	o := w.run(w.Context(), dir, append(append([]string{"validate"}, args...), target(dir))...)
	if options := toDelete(o.output); len(options) > 0 {
		w.edit(dir, func(name string, text []byte) []byte { return deleteOptions(w, name, text, options) })
	}
	w.must(dir, append(append([]string{"validate"}, args...), target(dir))...)
}

// edit rewrites each template in dir.
func (w *world) edit(dir string, rewrite func(name string, text []byte) []byte) {
	w.Helper()
	for _, path := range templates(w, dir) {
		text, err := os.ReadFile(path)
		if err != nil {
			w.Fatal(err)
		}
		if err := os.WriteFile(path, rewrite(filepath.Base(path), text), 0o600); err != nil {
			w.Fatal(err)
		}
	}
}

// templates are the files in dir that Packer reads as such.
func templates(w *world, dir string) []string {
	w.Helper()
	var all []string
	for _, pattern := range []string{"*.pkr.hcl", "template.json"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, paths...)
	}
	return all
}

// target is what packer is given: the folder, or the one template in JSON.
func target(dir string) string {
	if _, err := os.Stat(filepath.Join(dir, "template.json")); err == nil {
		return "template.json"
	}
	return "."
}

// retype is the guide's second step: the type wherever it stands.
func retype(_ string, text []byte) []byte {
	return bytes.ReplaceAll(text, []byte(peersType), []byte(ourType))
}

var peersOther = regexp.MustCompile(`"amazon-(ami|parameterstore|secretsmanager|import|instance|chroot|ebssurrogate|ebsvolume)"`)

// usesPeerBeside tells whether the templates use more of the amazon plugin than the builder that they leave.
func (w *world) usesPeerBeside(dir string) bool {
	w.Helper()
	for _, path := range templates(w, dir) {
		text, err := os.ReadFile(path)
		if err != nil {
			w.Fatal(err)
		}
		if peersOther.Match(text) {
			return true
		}
	}
	return false
}

// replacePlugin is the guide's first step. Templates in JSON name no plugins.
func replacePlugin(w *world, name string, text []byte, keep bool) []byte {
	if !strings.HasSuffix(name, ".hcl") {
		return text
	}
	file := parse(w, name, text)
	for _, block := range file.Body().Blocks() {
		if block.Type() != "packer" {
			continue
		}
		plugins := block.Body().FirstMatchingBlock("required_plugins", nil)
		if plugins == nil || plugins.Body().GetAttribute("amazon") == nil {
			continue
		}
		if !keep {
			plugins.Body().RemoveAttribute("amazon")
		}
		plugins.Body().SetAttributeRaw("ssm", hclwrite.TokensForObject([]hclwrite.ObjectAttrTokens{
			{Name: hclwrite.TokensForIdentifier("version"), Value: hclwrite.TokensForValue(cty.StringVal(">= 0.1.0"))},
			{Name: hclwrite.TokensForIdentifier("source"), Value: hclwrite.TokensForValue(cty.StringVal("github.com/taccoform/ssm"))},
		}))
	}
	return hclwrite.Format(file.Bytes())
}

func parse(w *world, name string, text []byte) *hclwrite.File {
	file, problems := hclwrite.ParseConfig(text, name, hcl.InitialPos)
	if problems.HasErrors() {
		w.Fatal(problems)
	}
	return file
}

var deletion = regexp.MustCompile(`(?m)^\W*([a-z0-9_]+): delete it: `)

// toDelete are the options that validation tells to delete.
func toDelete(output string) []string {
	var options []string
	for _, match := range deletion.FindAllStringSubmatch(output, -1) {
		if !slices.Contains(options, match[1]) {
			options = append(options, match[1])
		}
	}
	return options
}

// deleteOptions is the guide's third step.
func deleteOptions(w *world, name string, text []byte, options []string) []byte {
	if !strings.HasSuffix(name, ".hcl") {
		return deleteKeys(text, options)
	}
	file := parse(w, name, text)
	for _, block := range file.Body().Blocks() {
		if block.Type() == "source" && block.Labels()[0] == ourType {
			deleteFrom(block.Body(), options)
		}
	}
	return hclwrite.Format(file.Bytes())
}

func deleteFrom(body *hclwrite.Body, options []string) {
	for _, option := range options {
		body.RemoveAttribute(option)
	}
	for _, block := range body.Blocks() {
		name := block.Type()
		if name == "dynamic" {
			name = block.Labels()[0]
		}
		if slices.Contains(options, name) {
			body.RemoveBlock(block)
		}
	}
}

// deleteKeys deletes members that have a line of their own, as those of a builder in JSON have.
func deleteKeys(text []byte, options []string) []byte {
	for _, option := range options {
		last := regexp.MustCompile(`,(\s*)"` + option + `":[^\n]*[^,\n](\n\s*\})`)
		text = last.ReplaceAll(text, []byte("$2"))
		member := regexp.MustCompile(`(?m)^\s*"` + option + `":.*,\n`)
		text = member.ReplaceAll(text, nil)
	}
	return text
}
