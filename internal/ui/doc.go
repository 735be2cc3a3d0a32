// Package ui is the status page: the files that a browser gets, and the rules
// that it gets with them.
//
// The page is a client like any other: it asks the routes of the API, which lie
// beside it, with the key that its user gives. So its files are for anyone, tell
// nothing, and name each other and the API by relative addresses only.
//
// The package knows net/http and its own files. It knows no tenant, no key and
// nothing of the API but that it is one step up.
package ui
