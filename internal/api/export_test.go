package api

// SafeName is for tests.
var SafeName = safeName
