package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/taccoform/packer-plugin-ssm"

// A layer says what one package and the packages of this module below it must never import, and why. What a foreign
// module imports is its own affair.
type layer struct {
	pkg       string // below the module; "" is the plugin's main package
	forbidden map[string]string
}

// Each key forbids that package and everything below it.
var layers = []layer{
	{"session/internal/agentmsg", map[string]string{
		"github.com": "the codec is the standard library's alone, so that it can be read and fuzzed by itself",
		"golang.org": "the codec is the standard library's alone, so that it can be read and fuzzed by itself",
		"net":        "a codec does no input or output",
		"os":         "a codec does no input or output",
	}},
	{"session", map[string]string{
		"github.com/hashicorp":    "other Go programs use session; it knows nothing of Packer",
		"github.com/aws":          "the caller gives session functions that start, resume and sign; it has no client of its own",
		module + "/communicator":  "communicator stands on session, not the other way round",
		module + "/builder":       "the builder stands on session, not the other way round",
		module + "/internal":      "session is a library of its own; what it needs is below it",
		"golang.org/x/crypto/ssh": "session hands out connections; what is spoken on them is the caller's",
		"github.com/pkg/sftp":     "session hands out connections; what is spoken on them is the caller's",
		"github.com/gorilla":      "one websocket library; the other belongs to the double",
	}},
	{"communicator", map[string]string{
		"github.com/aws":               "the builder supplies the calls to AWS through communicator.Link",
		module + "/builder":            "the builder stands on communicator, not the other way round",
		module + "/internal/awsclient": "the builder supplies the calls to AWS through communicator.Link",
		module + "/internal/localaws":  "nothing that ships contains the simulated AWS",
	}},
	{"internal/runcommand", map[string]string{
		module + "/communicator": "Run Command is below the communicator, which is given a function that runs",
		module + "/builder":      "Run Command is below the builder",
	}},
	{"internal/awsclient", map[string]string{
		module + "/communicator": "clients are below what uses them",
		module + "/builder":      "clients are below what uses them",
	}},
	{"internal/localaws", map[string]string{
		module + "/session":                      "a double that shares code with the client proves nothing",
		module + "/communicator":                 "a double that shares code with the client proves nothing",
		module + "/builder":                      "a double that shares code with the client proves nothing",
		module + "/internal/runcommand":          "a double that shares code with the client proves nothing",
		"github.com/coder/websocket":             "the client's websocket library; the double uses another",
		"github.com/hashicorp/packer-plugin-sdk": "AWS knows nothing of Packer",
	}},
	{"", map[string]string{
		module + "/internal/localaws": "nothing that ships contains the simulated AWS",
		"github.com/gorilla":          "the double's websocket library",
	}},
}

// listed is what `go list -json` says of one package.
type listed struct {
	ImportPath string
	Dir        string
	Imports    []string
}

// list runs go list and decodes its stream of packages.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", "-json=ImportPath,Dir,Imports"}, args...)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.Bytes())
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func below(pkg, root string) bool { return pkg == root || strings.HasPrefix(pkg, root+"/") }

// reach follows the imports of a package through this module and hands each import that it meets to visit, with the
// chain that leads there.
func reach(all map[string]listed, from string, visit func(imported string, chain []string)) {
	type step struct {
		pkg   string
		chain []string
	}
	seen := map[string]bool{from: true}
	for queue := []step{{from, []string{from}}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, imported := range all[at.pkg].Imports {
			chain := append(slices.Clone(at.chain), imported)
			visit(imported, chain)
			if below(imported, module) && !seen[imported] {
				seen[imported] = true
				queue = append(queue, step{imported, chain})
			}
		}
	}
}

func TestLayers(t *testing.T) {
	all := map[string]listed{}
	for _, p := range list(t, "./...") {
		all[p.ImportPath] = p
	}
	for _, l := range layers {
		from := path.Join(module, l.pkg)
		t.Run(path.Join(".", l.pkg), func(t *testing.T) {
			if _, found := all[from]; !found {
				t.Fatalf("there is no package %s; take it out of the list or mend its name", from)
			}
			reach(all, from, func(imported string, chain []string) {
				for root, why := range l.forbidden {
					if below(imported, root) {
						t.Errorf("%s: %s", strings.Join(chain, "\n\t-> "), why)
					}
				}
			})
		})
	}
}

// TestShipped keeps the simulated AWS out of every package that others can import; what the plugin itself imports is
// among the layers.
func TestShipped(t *testing.T) {
	double := module + "/internal/localaws"
	for _, p := range list(t, "./...") {
		if below(p.ImportPath, module+"/internal") || below(p.ImportPath, module+"/cmd/localaws") {
			continue
		}
		for _, imported := range p.Imports {
			if below(imported, double) {
				t.Errorf("%s imports %s: nothing that ships contains the simulated AWS", p.ImportPath, imported)
			}
		}
	}
}

// TestPackageComments holds every package to exactly one package comment: none leaves a reader without a way in,
// two are one that nobody sees.
func TestPackageComments(t *testing.T) {
	for _, p := range list(t, "./...") {
		comments, err := packageComments(p.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(comments) != 1 {
			t.Errorf("%s has %d package comments, want 1: %s", p.ImportPath, len(comments), strings.Join(comments, ", "))
		}
	}
}

// packageComments names the files of a folder that carry a package comment, whatever system they are for.
func packageComments(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var with []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			return nil, err
		}
		if hasDoc(parsed) {
			with = append(with, filepath.Base(file))
		}
	}
	return with, nil
}

// hasDoc tells a package comment from a generator's header, which go doc doesn't show either.
func hasDoc(f *ast.File) bool {
	return f.Doc != nil && !ast.IsGenerated(f) && strings.TrimSpace(f.Doc.Text()) != ""
}

// TestDependenciesAreExplained holds ARCHITECTURE.md's list of dependencies to go.mod's, both ways.
func TestDependenciesAreExplained(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	explained := explainedDependencies(t)
	for _, required := range mod.Require {
		if at := slices.Index(explained, required.Path); at >= 0 {
			explained = slices.Delete(explained, at, at+1)
		} else if !required.Indirect {
			t.Errorf("%s is required and ARCHITECTURE.md doesn't say what for", required.Path)
		}
	}
	for _, name := range explained {
		t.Errorf("ARCHITECTURE.md explains %s, which is not required", name)
	}
}

// explainedDependencies are the modules in the first column of ARCHITECTURE.md's table. A name without a host goes on
// from the one before it: `service/ec2`.
func explainedDependencies(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Dependencies\n")
	var names []string
	for line := range strings.Lines(section) {
		row := strings.Split(line, "|")
		if len(row) < 3 {
			continue
		}
		var base string
		for i, word := range strings.Split(row[1], "`") {
			switch host, _, _ := strings.Cut(word, "/"); {
			case i%2 == 0:
			case strings.Contains(host, "."):
				base = word
				names = append(names, word)
			default:
				names = append(names, base+"/"+word)
			}
		}
	}
	return names
}
