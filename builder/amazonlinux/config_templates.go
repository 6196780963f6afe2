package amazonlinux

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"
)

// checkTemplates finds, before AWS is asked, what can't be rendered at plan time whatever the source image is.
func (c *Config) checkTemplates(r *report, interp *interpolate.Context) {
	checkTemplate(r, interp, "ami_description", c.AMIDescription)
	for _, set := range c.tagSets() {
		for _, key := range slices.Sorted(maps.Keys(set.tags)) {
			checkTemplate(r, interp, set.option, key)
			checkTemplate(r, interp, set.option+"."+key, set.tags[key])
		}
	}
}

// checkTemplate leaves forms and functions that are wrong to the SDK, which has seen them when it decoded the template.
func checkTemplate(r *report, interp *interpolate.Context, option, text string) {
	parsed, err := template.New("").Funcs(interpolate.Funcs(interp)).Parse(text)
	if err != nil || parsed.Tree == nil {
		return
	}
	for _, node := range nodes(parsed.Root) {
		switch node := node.(type) {
		case *parse.FieldNode:
			if !slices.Contains(sourceFields, node.Ident[0]) {
				r.addf("%s: %q: there is no .%s; there are .%s", option, shorten(text), node.Ident[0], strings.Join(sourceFields, ", ."))
			}
		case *parse.IdentifierNode:
			if node.Ident == "user" && interp.UserVariables == nil {
				r.addf("%s: %q: user is for templates in JSON; in HCL, write ${var.name}", option, shorten(text))
			}
		}
	}
}

// sourceFields are what templates of tags and descriptions can use.
var sourceFields = func() (names []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[buildInfo]()) {
		names = append(names, field.Name)
	}
	return names
}()

// nodes are the fields and functions of a template that speak of what it is given: not of what with and range have made the dot.
func nodes(node parse.Node) (all []parse.Node) {
	switch node := node.(type) {
	case *parse.ListNode:
		if node == nil {
			return nil
		}
		for _, each := range node.Nodes {
			all = append(all, nodes(each)...)
		}
	case *parse.ActionNode:
		return nodes(node.Pipe)
	case *parse.IfNode:
		return slices.Concat(nodes(node.Pipe), nodes(node.List), nodes(node.ElseList))
	case *parse.WithNode:
		return slices.Concat(nodes(node.Pipe), nodes(node.ElseList))
	case *parse.RangeNode:
		return slices.Concat(nodes(node.Pipe), nodes(node.ElseList))
	case *parse.PipeNode:
		for _, command := range node.Cmds {
			for _, argument := range command.Args {
				all = append(all, nodes(argument)...)
			}
		}
	case *parse.FieldNode, *parse.IdentifierNode:
		return []parse.Node{node}
	}
	return all
}
