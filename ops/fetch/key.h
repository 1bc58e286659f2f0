// Key: what a row is asked for by.
#ifndef TFCASS_OPS_FETCH_KEY_H_
#define TFCASS_OPS_FETCH_KEY_H_

#include <array>
#include <cstdint>
#include <string>

namespace tfcass {

// A UUID's 16 bytes, big-endian: as in RFC 4122, in Python's uuid.UUID.bytes and on Cassandra's wire.
using Key = std::array<uint8_t, 16>;

// "8-4-4-4-12" lower-case hexadecimal digits.
std::string ToUuidText(const Key& key);

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_KEY_H_
