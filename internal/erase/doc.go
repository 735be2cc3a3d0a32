// Package erase erases a file, for whoever decides that its life is over: its bytes
// first, then its record, and then what it counts of its tenant's quota. So a crash
// leaves a record by which the rest is found, or a file that counts until the next count.
//
// It knows the domain, and the stores it needs by the small interfaces that it
// declares; nothing of why a file is erased, and no cloud.
package erase
