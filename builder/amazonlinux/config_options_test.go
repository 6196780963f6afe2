package amazonlinux

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/zclconf/go-cty/cty"
)

// testdata/options.tsv lists every option of amazon-ebs and every one of the
// plugin's own, what became of it, and the test that shows its effect. These
// tests hold the code, the documentation and the tests to it.

// A row is an option in the table.
type row struct {
	option  string // with dots where it is in a block
	verdict string // M, N or I of amazon-ebs's, - for one of the plugin's own
	here    string // kept, refused, ours, or kept under a condition
	test    string
}

const refused = "refused"

// amazonEBS is how many options amazon-ebs has, blocks counted as one and Packer's own left out.
const amazonEBS = 148

func optionTable(t *testing.T) map[string]row {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "options.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	rows := map[string]row{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		f := strings.Split(lines.Text(), "\t")
		if len(f) != 4 || slices.Contains(f, "") || rows[f[0]].option != "" {
			t.Fatalf("malformed or twice: %q", lines.Text())
		}
		rows[f[0]] = row{f[0], f[1], f[2], f[3]}
	}
	return rows
}

// specified are the names in an HCL spec, those in blocks with dots.
func specified(spec hcldec.ObjectSpec, prefix string) []string {
	var names []string
	for name, s := range spec {
		names = append(names, prefix+name)
		var nested hcldec.Spec
		switch s := s.(type) {
		case *hcldec.BlockSpec:
			nested = s.Nested
		case *hcldec.BlockListSpec:
			nested = s.Nested
		}
		if inside, ok := nested.(hcldec.ObjectSpec); ok {
			names = append(names, specified(inside, prefix+name+".")...)
		}
	}
	return names
}

// ofPacker are in every builder's spec.
func ofPacker(option string) bool { return strings.HasPrefix(option, "packer_") }

// The HCL spec and the table have the same options.
func TestEveryOptionIsInTheSpec(t *testing.T) {
	rows := optionTable(t)
	spec := slices.DeleteFunc(specified(new(Builder).ConfigSpec(), ""), ofPacker)
	for _, option := range slices.Sorted(maps.Keys(rows)) {
		if !slices.Contains(spec, option) {
			t.Errorf("the HCL spec lacks %s; run make generate, or take it from the table", option)
		}
	}
	for _, option := range spec {
		if rows[option].option == "" {
			t.Errorf("the table lacks %s, and what shows its effect", option)
		}
	}
	theirs := 0
	for _, r := range rows {
		if !slices.Contains([]string{"M", "N", "I", "-"}, r.verdict) || (r.verdict == "-") != (r.here == "ours") {
			t.Errorf("%s: verdict %q, here %q", r.option, r.verdict, r.here)
		}
		if r.verdict != "-" && !strings.Contains(r.option, ".") {
			theirs++
		}
		block, _, nested := strings.Cut(r.option, ".")
		if (r.verdict == "M" || r.verdict == "N") && r.here != "kept" && (!nested || rows[block].here != "kept" || r.here == refused) {
			t.Errorf("%s has the verdict %s and is %s", r.option, r.verdict, r.here)
		}
	}
	if theirs != amazonEBS {
		t.Errorf("the table has %d options of amazon-ebs, want %d", theirs, amazonEBS)
	}
}

// What the table calls refused is, with what to delete, and nothing else is.
func TestRefusedOptionsAreTold(t *testing.T) {
	spec := new(Builder).ConfigSpec()
	b := new(Builder)
	var told []string
	for _, n := range append(b.config.needlessHere(), needlessOfSDK(&b.config.Comm)...) {
		told = append(told, n.option)
		if len(n.why) < len("no local port is opened") {
			t.Errorf("%s: %q is no reason", n.option, n.why)
		}
	}
	for _, r := range optionTable(t) {
		block, _, nested := strings.Cut(r.option, ".")
		conditional := r.here != "kept" && r.here != "ours"
		if is := slices.Contains(told, block); is != (r.here == refused) && (!is || !conditional) {
			t.Errorf("%s: refused: %v, and the table says %s", r.option, is, r.here)
		}
		if r.here != refused || nested {
			continue
		}
		_, err := prepare(t, with(map[string]any{r.option: sample(t, spec[r.option])}))
		if !slices.ContainsFunc(problems(err), func(p string) bool { return strings.HasPrefix(p, r.option+": delete it: ") }) {
			t.Errorf("%s is given, and nothing says to delete it: %v", r.option, err)
		}
	}
}

// sample is a value that somebody may have given.
func sample(t *testing.T, spec hcldec.Spec) any {
	t.Helper()
	switch s := spec.(type) {
	case *hcldec.BlockSpec:
		return block{}
	case *hcldec.BlockListSpec:
		return []block{{}}
	case *hcldec.AttrSpec:
		switch {
		case s.Type == cty.Bool:
			return true
		case s.Type == cty.Number:
			return 2
		case s.Type == cty.String && strings.HasSuffix(s.Name, "timeout"):
			return "5m"
		case s.Type == cty.String:
			return "x"
		case s.Type == cty.List(cty.Number):
			return []int{1}
		case s.Type == cty.List(cty.String):
			return []string{"x"}
		}
	}
	t.Fatalf("no sample of %T", spec)
	return nil
}

// Every option that is not refused is in the documentation by its name.
func TestEveryOptionIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", ".web-docs", "components", "builder", "amazon-linux", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range optionTable(t) {
		name := r.option[strings.LastIndex(r.option, ".")+1:]
		if r.here != refused && !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("%s is nowhere on the builder's page", r.option)
		}
	}
}

// The test that is to show an option's effect is there.
func TestEveryOptionHasATest(t *testing.T) {
	folders := map[string]string{"": ".", "communicator": filepath.Join("..", "..", "communicator"), "awsclient": filepath.Join("..", "..", "internal", "awsclient")}
	tests := map[string][]string{}
	for name, folder := range folders {
		tests[name] = testsIn(t, folder)
	}
	for _, r := range optionTable(t) {
		folder, name, other := strings.Cut(r.test, ".")
		if !other {
			folder, name = "", r.test
		}
		if !slices.Contains(tests[folder], name) {
			t.Errorf("%s: there is no test %s", r.option, r.test)
		}
	}
}

// testsIn are the names of the test functions in a folder, those of all systems.
func testsIn(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(fmt.Errorf("%s: %w", file, err))
		}
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}
