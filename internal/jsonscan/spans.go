package jsonscan

import "github.com/go-json-experiment/json/jsontext"

// Spans returns where the values of the members called name lie in a JSON object: from which byte of text to which, in
// order. An object should have one such member, and may have several. It returns ErrSyntax if text is no object.
func Spans(text []byte, name string) ([][2]int, error) {
	var spans [][2]int
	var scratch []byte
	err := walk(text, '{', func(d *jsontext.Decoder) error {
		written, err := next(d, text)
		if err != nil {
			return err
		}
		scratch = AppendName(scratch[:0], written)
		value, err := next(d, text)
		if err != nil {
			return err
		}
		if string(scratch) == name {
			end := int(d.InputOffset())
			spans = append(spans, [2]int{end - len(value), end})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return spans, nil
}
