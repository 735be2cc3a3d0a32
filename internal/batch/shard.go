package batch

const (
	// linesPerShard is how many requests share a write shard: a partition takes
	// 1,000 write units a second
	// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html),
	// so a shard of this size loads in about 5 seconds at full rate.
	linesPerShard = 5_000
	// maxShards bounds how many ordered queries a reader merges.
	maxShards = 64
)

// Shards returns the number of write shards of a batch of total requests: at
// least 1, at most 64.
func Shards(total int) int {
	return min(max((total+linesPerShard-1)/linesPerShard, 1), maxShards)
}

// ShardOf returns the write shard of line among shards.
func ShardOf(line, shards int) int { return line % max(shards, 1) }
