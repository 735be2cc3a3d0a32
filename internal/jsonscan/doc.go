// Package jsonscan looks values up in JSON texts that others wrote, in memory
// that does not grow with the text: a body of 10 MB may have a million members,
// and a map of them takes 20 times its length.
//
// It reads tokens with encoding/json/v2's jsontext and takes what encoding/json
// takes: names are exact, the last of two members with one name counts, numbers
// have any size, and nesting goes 10,000 deep.
package jsonscan
