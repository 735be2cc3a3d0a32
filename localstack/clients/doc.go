// Package clients says which clients of OpenAI's batches, written by others and unchanged, work with Musketry, and what each of
// them cannot do or does wrongly: the matrix of docs/clients.md. A client's folder here has what pins it and a program of a few
// lines, which does one of five things as its users would: `program CASE MODEL`, where the model's name tells the stand-in what
// to answer. It ends with 0 if all was as it should be. The end-to-end test TestClients runs the programs and holds each cell of
// the matrix to what came: also a fault must be there still, and its line must be what the matrix quotes. It must not know
// Musketry.
package clients
