#include "ops/fetch/ring/murmur3.h"

#include <cstring>

namespace tfcass {
namespace {

constexpr uint64_t kC1 = 0x87c37b91114253d5u;
constexpr uint64_t kC2 = 0x4cf5ad432745937fu;

uint64_t RotateLeft(uint64_t value, int by) { return value << by | value >> (64 - by); }

uint64_t LittleEndian(const uint8_t* bytes) {
  uint64_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(value) : value;
}

// Java's bytes are signed: what is over 127 comes with its sign spread over the higher bytes.
uint64_t Signed(uint8_t byte) { return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(byte))); }

uint64_t Mix1(uint64_t k) { return RotateLeft(k * kC1, 31) * kC2; }
uint64_t Mix2(uint64_t k) { return RotateLeft(k * kC2, 33) * kC1; }

uint64_t Finish(uint64_t k) {
  k = (k ^ k >> 33) * 0xff51afd7ed558ccdu;
  k = (k ^ k >> 33) * 0xc4ceb9fe1a85ec53u;
  return k ^ k >> 33;
}

}  // namespace

int64_t Murmur3Token(const uint8_t* bytes, size_t size) {
  if (size == 0) return kMinimumToken;
  uint64_t h1 = 0, h2 = 0;
  const size_t whole = size / 16 * 16;
  for (size_t at = 0; at < whole; at += 16) {
    h1 = (RotateLeft(h1 ^ Mix1(LittleEndian(bytes + at)), 27) + h2) * 5 + 0x52dce729;
    h2 = (RotateLeft(h2 ^ Mix2(LittleEndian(bytes + at + 8)), 31) + h1) * 5 + 0x38495ab5;
  }

  uint64_t k1 = 0, k2 = 0;
  for (size_t i = size - whole; i-- > 0;) {
    uint64_t& k = i < 8 ? k1 : k2;
    k ^= Signed(bytes[whole + i]) << 8 * (i % 8);
  }
  h1 ^= Mix1(k1);
  h2 ^= Mix2(k2);

  h1 ^= size;
  h2 ^= size;
  h1 += h2;
  h2 += h1;
  h1 = Finish(h1) + Finish(h2);
  const auto token = static_cast<int64_t>(h1);
  return token == kMinimumToken ? std::numeric_limits<int64_t>::max() : token;
}

}  // namespace tfcass
