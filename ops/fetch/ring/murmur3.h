// Where Cassandra's Murmur3Partitioner puts a key on the ring.
#ifndef TFCASS_OPS_FETCH_RING_MURMUR3_H_
#define TFCASS_OPS_FETCH_RING_MURMUR3_H_

#include <cstddef>
#include <cstdint>
#include <limits>

#include "ops/fetch/key.h"

namespace tfcass {

// The ring's least value. No row has it as its token: ranges begin after it, and the last one ends at it.
inline constexpr int64_t kMinimumToken = std::numeric_limits<int64_t>::min();

// The token of a partition key of these bytes, as `SELECT token(key)` gives it: the first half of MurmurHash3's 128
// bits (x64, seed 0), in Cassandra's own variant: the bytes left over after the last block of 16 are signed, and the
// least number stands for no token, so that the greatest takes its place.
int64_t Murmur3Token(const uint8_t* bytes, size_t size);

// Of a table whose whole partition key is this uuid.
inline int64_t TokenOf(const Key& key) { return Murmur3Token(key.data(), key.size()); }

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RING_MURMUR3_H_
