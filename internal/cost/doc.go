// Package cost counts what calls of AWS use, and says what that costs.
//
//	units.go       what one call uses, by AWS's rules
//	middleware.go  counts the calls of an SDK's client
//	price.go       the price list
//
// It knows AWS's SDK and nothing of Musketry. Boot writes what it counts as
// metrics, and the benchmarks make dollars of it.
package cost
