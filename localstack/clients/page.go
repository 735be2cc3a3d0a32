package clients

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

const head = `# Clients

Clients that others wrote, unchanged but for base URL and key, against the local cloud. This page is made by
` + "`make test-clients`" + `, which installs the pinned versions, runs a program of a few lines for each cell
(` + "`localstack/clients`" + `) and holds it to the table; it is not edited by hand.

- **good**: three requests, all answered; the client reads the answers.
- **again**: each is refused twice with 503 before it is answered.
- **failing**: each is refused with 400. The batch completes with an error file and no output file; the client tells of each
  request why.
- **cancel**: the client cancels a batch that is under way and sees it cancelled.
- **list**: it finds its batch among those of its tenant.

**no** is a fault of the client, told below with the client's own line; – is what it does not have.

`

// Page renders docs/clients.md from the matrix and the versions that the checkout pins.
func Page(checkout fs.FS) (string, error) {
	var b strings.Builder
	var notes notes
	b.WriteString(head + "| client | language | version |")
	for _, c := range Cases() {
		fmt.Fprintf(&b, " %s |", c)
	}
	b.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(Cases())) + "\n")
	for _, client := range All() {
		version, err := client.Version(checkout)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "| %s | %s | %s%s |", client.Name, client.Language, version, notes.add(client.Name, client.Note))
		for _, c := range Cases() {
			fmt.Fprintf(&b, " %s |", cell(client, c, &notes))
		}
		b.WriteString("\n")
	}
	for i, note := range notes {
		fmt.Fprintf(&b, "\n%d. %s", i+1, note)
	}
	return b.String() + "\n" + tail(), nil
}

// cell tells how a case goes with a client.
func cell(client Client, c Case, notes *notes) string {
	gap, not := client.Gap(c)
	if !not {
		return "yes"
	}
	told, why := "–", gap.Why
	if gap.Says != "" {
		told = "**no**"
	}
	if gap.At != "" {
		why += fmt.Sprintf(" `%s`: `%s`", gap.At, gap.Line)
	}
	return told + notes.add(fmt.Sprintf("%s, %s", client.Name, c), why)
}

// notes are what stands below the table.
type notes []string

// add returns a reference to a note.
func (n *notes) add(of, text string) string {
	if text == "" {
		return ""
	}
	*n = append(*n, of+": "+text)
	return fmt.Sprintf(" (%d)", len(*n))
}

// tail says which tests drive the clients that have no program here, and which make test runs.
func tail() string {
	var tests, names []string
	for _, client := range official() {
		tests = append(tests, "`"+client.Test+"`")
	}
	for _, client := range light() {
		names = append(names, client.Name)
	}
	return "\nOpenAI's own clients have end-to-end tests of their own, in which\nsome requests of a batch are refused with 503 and some with 400 (" +
		strings.Join(slices.Compact(tests), ", ") + "). `make test` runs\nthose, and of the others " + strings.Join(names, ", ") + ".\n"
}
