package jsonscan

import "errors"

// ErrMany reports an object that has a member more often than its reader takes.
var ErrMany = errors.New("jsonscan: a member comes too often")

// Spans returns where the values of the members called name lie in a JSON object: from which byte of text to which, in
// order. An object should have one such member, and may have several. It returns ErrMany if there are more than most, and
// ErrSyntax if text is no object.
func Spans(text []byte, name string, most int) ([][2]int, error) {
	var spans [][2]int
	var scratch []byte
	err := walk(text, '{', func(d *decoder) error {
		written, err := d.next(text)
		if err != nil {
			return err
		}
		scratch = AppendName(scratch[:0], written)
		value, err := d.next(text)
		if err != nil {
			return err
		}
		if string(scratch) == name && len(spans) == most {
			return ErrMany
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
