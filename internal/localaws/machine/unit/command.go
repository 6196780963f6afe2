package unit

import (
	"os"
	"path/filepath"
	"strings"
)

// A Command is one ExecStart or the like.
type Command struct {
	Argv       []string
	MayFail    bool // "-": its exit status doesn't count
	Privileged bool // "+" or "!": User= does not apply
}

// Commands returns the unit's commands for key (ExecStartPre, ExecStart, ...), with specifiers and env expanded.
func (u *Unit) Commands(key string, env []string) []Command {
	var commands []Command
	for _, line := range u.All("Service", key) {
		c := Command{}
		for line != "" && strings.ContainsRune("-+!@:", rune(line[0])) {
			c.MayFail = c.MayFail || line[0] == '-'
			c.Privileged = c.Privileged || line[0] == '+' || line[0] == '!'
			line = line[1:]
		}
		c.Argv = expand(split(u.specifiers(line)), env)
		if len(c.Argv) > 0 {
			commands = append(commands, c)
		}
	}
	return commands
}

// specifiers replaces the common % sequences.
func (u *Unit) specifiers(s string) string {
	base := strings.TrimSuffix(u.Name, filepath.Ext(u.Name))
	prefix, instance, _ := strings.Cut(base, "@")
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return strings.NewReplacer("%%", "%", "%n", u.Name, "%N", base, "%p", prefix, "%i", instance, "%I", instance, "%H", host,
		"%t", "/run", "%S", "/var/lib", "%C", "/var/cache", "%L", "/var/log", "%h", "/root").Replace(s)
}

// Environment is the unit's Environment= and EnvironmentFile=, read below root.
func (u *Unit) Environment(root string) ([]string, error) {
	var env []string
	for _, value := range u.All("Service", "Environment") {
		env = append(env, split(u.specifiers(value))...)
	}
	for _, path := range u.All("Service", "EnvironmentFile") {
		path, optional := strings.CutPrefix(path, "-")
		more, err := readEnvironment(filepath.Join(root, path))
		if err != nil && !optional {
			return nil, err
		}
		env = append(env, more...)
	}
	return env, nil
}

func readEnvironment(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var env []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, value, ok := strings.Cut(line, "="); ok && line[0] != '#' {
			env = append(env, strings.TrimSpace(name)+"="+strings.Join(split(value), " "))
		}
	}
	return env, nil
}

// split cuts s into words as systemd does: quotes group, a backslash escapes.
func split(s string) []string {
	var words []string
	var word strings.Builder
	inWord, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			i++
			word.WriteByte(s[i])
			inWord = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, inWord = c, true
		case quote == 0 && (c == ' ' || c == '\t'):
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}

// expand replaces ${NAME} within words, and $NAME that is a word by the words of its value.
func expand(words, env []string) []string {
	lookup := func(name string) string {
		for i := len(env) - 1; i >= 0; i-- {
			if value, ok := strings.CutPrefix(env[i], name+"="); ok {
				return value
			}
		}
		return ""
	}
	var out []string
	for _, w := range words {
		if name, ok := strings.CutPrefix(w, "$"); ok && name != "" && !strings.ContainsAny(name, "{}/$") {
			out = append(out, strings.Fields(lookup(name))...)
			continue
		}
		out = append(out, replaceBraced(w, lookup))
	}
	return out
}

func replaceBraced(w string, lookup func(string) string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(w, "${")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			b.WriteString("${" + rest)
			return b.String()
		}
		b.WriteString(lookup(name))
		w = after
	}
}
