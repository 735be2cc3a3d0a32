// Package route is what an operator says of models: which names a [Model]
// stands for, and by which routes their requests reach an upstream, with what
// authentication and within which limits.
//
// A request's model is looked up in a [Table]. Of the patterns that match it the
// one with the most literal characters wins, so a name wins over every pattern.
// A deployment's default route is the model of the pattern * that nobody stored.
//
//	gpt-4o          that name
//	gpt-4o*         gpt-4o, gpt-4o-mini, gpt-4o-2024-08-06
//	*.claude-*:0    anthropic.claude-3-haiku-20240307-v1:0
//
//	cache.go     the table of now
//	table.go     which model a name is of
//	json.go      how models are written
//	validate.go  what they may be
//	model.go     a model and its routes
//
// Models are kept as JSON, which is also what an operator writes. [Parse] reads
// it strictly, and every error says what is wrong, where, and what to write
// instead. No error quotes a URL or a header, which may hold a secret by mistake.
//
// The package is pure: it knows retries, and no store, cloud, HTTP or environment.
package route
