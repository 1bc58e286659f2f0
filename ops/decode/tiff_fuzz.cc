// libFuzzer's way into the TIFF decoder: `make fuzz`.
#include "ops/decode/any_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  tfcass::DecodeAnyBytes(bytes, size);
  return 0;
}
