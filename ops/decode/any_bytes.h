// What the decoder promises of any bytes, checked: for the fuzzer, and for the test that runs without one.
#ifndef TFCASS_OPS_DECODE_ANY_BYTES_H_
#define TFCASS_OPS_DECODE_ANY_BYTES_H_

#include <cstddef>
#include <cstdint>

namespace tfcass {

// Decodes a copy of the bytes, in memory of just their size, with options that follow from the bytes. Aborts, saying
// why, if there is an error without a message, or one of another kind than InvalidArgument, or pixels that depend on
// what the memory held before. True if there were pixels.
bool DecodeAnyBytes(const uint8_t* bytes, size_t size);

}  // namespace tfcass

#endif  // TFCASS_OPS_DECODE_ANY_BYTES_H_
