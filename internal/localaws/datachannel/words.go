package datachannel

import "errors"

// splitWords cuts a command line into words as the agent does, without a shell: single quotes keep everything, double quotes
// all but backslash escapes, and # begins a comment where a word would.
func splitWords(line string) ([]string, error) {
	var w words
	for _, r := range line {
		w.take(r)
	}
	switch w.state {
	case singleQuoted, doubleQuoted:
		return nil, errors.New("EOF found when expecting closing quote")
	case escaped, escapedInQuotes:
		return nil, errors.New("EOF found after escape character")
	case between, inWord, comment:
	}
	if w.state == inWord {
		w.finish()
	}
	return w.done, nil
}

type wordState int

const (
	between wordState = iota
	inWord
	escaped
	singleQuoted
	doubleQuoted
	escapedInQuotes
	comment
)

type words struct {
	state wordState
	word  []rune
	done  []string
}

func (w *words) finish() {
	w.done = append(w.done, string(w.word))
	w.word, w.state = nil, between
}

func (w *words) add(r rune, next wordState) {
	w.word = append(w.word, r)
	w.state = next
}

func (w *words) take(r rune) {
	switch w.state {
	case between, inWord:
		w.takePlain(r)
	case escaped:
		w.add(r, inWord)
	case escapedInQuotes:
		w.add(r, doubleQuoted)
	case singleQuoted:
		w.takeQuoted(r, '\'')
	case doubleQuoted:
		if r == '\\' {
			w.state = escapedInQuotes
			return
		}
		w.takeQuoted(r, '"')
	case comment:
		if r == '\n' {
			w.state = between
		}
	}
}

func (w *words) takeQuoted(r, quote rune) {
	if r == quote {
		w.state = inWord
		return
	}
	w.word = append(w.word, r)
}

func (w *words) takePlain(r rune) {
	switch r {
	case ' ', '\t', '\r', '\n':
		if w.state == inWord {
			w.finish()
		}
	case '\'':
		w.state = singleQuoted
	case '"':
		w.state = doubleQuoted
	case '\\':
		w.state = escaped
	default:
		if r == '#' && w.state == between {
			w.state = comment
			return
		}
		w.add(r, inWord)
	}
}
