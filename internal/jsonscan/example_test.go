package jsonscan_test

import (
	"fmt"

	"github.com/musketry/musketry/internal/jsonscan"
)

// What is picked is a part of the text, as it is written there.
func ExamplePick() {
	line := []byte(`{"custom_id": "a", "body": {"model":"m", "stream" : false}, "custom_id": "b"}`)
	values, err := jsonscan.Pick(line, "custom_id", "body", "method")
	if err != nil {
		fmt.Println(err)
		return
	}
	id, ok := jsonscan.Text(values[0], 64)
	fmt.Println(id, ok)
	fmt.Printf("%s\n", values[1])
	fmt.Println(values[2] == nil)

	_, err = jsonscan.Pick(append(line, '}'), "body")
	fmt.Println(err)

	// Output:
	// b true
	// {"model":"m", "stream" : false}
	// true
	// jsonscan: not valid JSON
}

// Items and members come one after another, and nothing is kept of those before.
func ExampleItems() {
	total := 0
	err := jsonscan.Items([]byte(`["a", {"b": []}, null]`), func(value []byte) error {
		total++
		fmt.Printf("%s %v\n", value, jsonscan.Null(value))
		return nil
	})
	fmt.Println(total, err)

	// Output:
	// "a" false
	// {"b": []} false
	// null true
	// 3 <nil>
}
