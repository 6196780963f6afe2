package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const mib = 1 << 20

// A fixture is a file or a folder to transfer, the same bytes in every run.
type fixture struct {
	name  string // "64 MiB incompressible"
	path  string // on this side
	size  int64
	files int // 0: it is a file itself
	sum   string
}

// makeFile writes random bytes, which nothing can compress.
func makeFile(dir, label string, size int64) (fixture, error) {
	f := fixture{name: label, path: filepath.Join(dir, strings.ReplaceAll(label, " ", "-")), size: size}
	source := rand.NewChaCha8(sha256.Sum256([]byte(label)))
	to, err := os.Create(f.path)
	if err != nil {
		return f, err
	}
	_, err = io.CopyN(to, source, size)
	if closeErr := to.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		f.sum, err = sumOf(f.path)
	}
	return f, err
}

// makeSparse makes a file that has a size and no blocks.
func makeSparse(dir string, size int64) (fixture, error) {
	f := fixture{name: "sparse file", path: filepath.Join(dir, "sparse"), size: size}
	to, err := os.Create(f.path)
	if err != nil {
		return f, err
	}
	err = to.Truncate(size)
	if closeErr := to.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		f.sum, err = sumOf(f.path)
	}
	return f, err
}

// The sizes of source files are log-normal. These are larger than most repositories' (Go's own library has a middle of 3 KiB), and so
// fewer, which is to the advantage of whoever copies file by file.
const (
	middleSize = 24 << 10
	spread     = 1.4
	largest    = 1 << 20
	perFolder  = 12
)

// makeTree writes a tree of text files in nested folders.
func makeTree(dir, label string, size int64) (fixture, error) {
	f := fixture{name: label, path: filepath.Join(dir, strings.ReplaceAll(label, " ", "-")), size: size}
	random := rand.New(rand.NewPCG(1, uint64(size)))
	for left := size; left > 0; f.files++ {
		n := min(int64(middleSize*math.Exp(spread*random.NormFloat64()))+1, left, largest)
		if err := writeSource(treePath(f.path, f.files), prose(random, int(n))); err != nil {
			return f, err
		}
		left -= n
	}
	var err error
	f.sum, err = sumOf(f.path)
	return f, err
}

func treePath(root string, i int) string {
	folder := i / perFolder
	return filepath.Join(root, fmt.Sprintf("area%d", folder%7), fmt.Sprintf("package%d", folder), fmt.Sprintf("file%d.go", i))
}

func writeSource(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// prose is text that compresses as source code does, to about a quarter: indented lines of words, some of them often used,
// some new, and between them the lines that stand everywhere.
func prose(random *rand.Rand, size int) []byte {
	text := make([]byte, 0, size+128)
	for len(text) < size {
		text = append(text, strings.Repeat("\t", random.IntN(4))...)
		if random.IntN(10) < 3 {
			text = append(text, idioms[random.IntN(len(idioms))]...)
			continue
		}
		for range 2 + random.IntN(6) {
			text = append(text, word(random)...)
			text = append(text, " .(),=:"[random.IntN(7)])
		}
		text = append(text, '\n')
	}
	return text[:size]
}

var idioms = []string{
	"if err != nil {\n\t\treturn nil, err\n\t}\n", "}\n\n", "return nil\n}\n\n", "defer mutex.Unlock()\n", "for i := range values {\n",
	"if !ok {\n\t\treturn fmt.Errorf(\"value is missing\")\n\t}\n", "default:\n\t\treturn nil\n\t}\n", "t.Parallel()\n",
}

var keywords = strings.Fields("func return if err nil for range string int error context struct type package import var " +
	"switch case default const len append make map chan select go defer fmt Errorf value name index size")

func word(random *rand.Rand) string {
	if random.IntN(10) < 7 {
		return keywords[random.IntN(len(keywords))]
	}
	// Names repeat too, the early ones of a vocabulary of some thousands the most.
	n := int(math.Exp(random.Float64() * 7))
	return fmt.Sprintf("%s%s%d", keywords[n%len(keywords)], keywords[n/7%len(keywords)], n%100)
}

// sumOf is the checksum of a file, or of a folder: of the lines that sha256sum prints of its files, sorted by name.
func sumOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return sumFile(path)
	}
	var lines []string
	err = filepath.WalkDir(path, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		sum, err := sumFile(at)
		rel, relErr := filepath.Rel(path, at)
		lines = append(lines, sum+"  ./"+filepath.ToSlash(rel)+"\n")
		if err == nil {
			err = relErr
		}
		return err
	})
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	whole := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(whole[:]), err
}

func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// sumScript prints the same checksum of a path on the instance.
func sumScript(path string) string {
	return fmt.Sprintf(`p='%s'
if [ -d "$p" ]; then cd "$p" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum | sha256sum
else sha256sum <"$p"; fi | cut -d' ' -f1`, path)
}
