// One page of a TIFF file that lies in memory -> pixels.
//
// Terms    Sample: one number of a pixel. Channel: one of the result's. Block: a strip or a tile of the file.
// Takes    8 or 16 bits a sample; grey, grey + alpha, RGB, RGBA, palette, and YCbCr inside JPEG; strips or tiles;
//          samples side by side or in planes; no compression, LZW, Deflate, PackBits, JPEG, ZSTD, LZMA and WebP, as
//          far as the libtiff at hand has them. Classic and Big TIFF, either byte order.
// Any bytes end in pixels or in one InvalidArgument that says what is wrong; nothing is written to stderr. Pixels are
// never made up: a block that is cut or damaged is an error.
#ifndef TFCASS_OPS_DECODE_TIFF_H_
#define TFCASS_OPS_DECODE_TIFF_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "ops/fetch/status.h"

namespace tfcass {

struct TiffOptions {
  int64_t channels = 0;           // 0: as stored (a palette: 3). 1: grey, 3: RGB, 4: RGBA.
  int64_t bits = 8;               // Of the result's samples, 8 or 16. 8 -> 16: times 257, 16 -> 8: less the low byte.
  int64_t page = 0;               // Counted from 0 in the file's chain of pages.
  int64_t max_bytes = 256 << 20;  // Memory for the pixels and the block on its way to them.
  Status Validate() const;
};

// Converts as tf.io's decoders do: an alpha that is not asked for is dropped and not blended, one that is missing is
// opaque, grey from colour is 0.299 R + 0.587 G + 0.114 B. WhiteIsZero is inverted. The orientation tag is not
// followed.
//
// Threads  Each object is one thread's; different ones share nothing.
// Owns     What libtiff holds for the file. Borrows the bytes, which must outlive it.
class TiffPage {
 public:
  // Reads the page's directory and checks that Read() can decode it within max_bytes. Takes no memory for pixels.
  static Status Open(const void* bytes, size_t size, const TiffOptions& options, std::unique_ptr<TiffPage>* page);
  ~TiffPage();
  TiffPage(const TiffPage&) = delete;
  TiffPage& operator=(const TiffPage&) = delete;

  int64_t height() const;
  int64_t width() const;
  int64_t channels() const;

  // Fills [height, width, channels] of uint8_t or uint16_t, as options.bits said. After an error they are undefined.
  Status Read(void* pixels);

 private:
  struct State;
  explicit TiffPage(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_DECODE_TIFF_H_
