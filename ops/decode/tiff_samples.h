// Samples as a TIFF stores them -> channels as asked: one row of pixels at a time, no libtiff.
#ifndef TFCASS_OPS_DECODE_TIFF_SAMPLES_H_
#define TFCASS_OPS_DECODE_TIFF_SAMPLES_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace tfcass {

enum class TiffColor { kGrey, kInvertedGrey, kRgb, kPalette };

struct TiffSamples {
  TiffColor color = TiffColor::kGrey;
  int stored = 1;                // Samples a pixel: 1 or 2 of grey, 3 or 4 of RGB, 1 of a palette.
  int channels = 1;              // Of the result, 1 to 4.
  std::vector<uint16_t> palette;  // Red, green, blue of each entry.

  // Whether the stored samples are the result, but for their width.
  bool Plain() const {
    return (color == TiffColor::kGrey || color == TiffColor::kRgb) && stored == channels;
  }
};

template <typename To, typename From>
constexpr To ScaleSample(From value) {
  if constexpr (sizeof(To) == sizeof(From)) {
    return value;
  } else if constexpr (sizeof(To) > sizeof(From)) {
    return static_cast<To>(value * 257);  // 0xAB -> 0xABAB: white stays white.
  } else {
    return static_cast<To>(value >> 8);  // As libpng strips 16 bits to 8; the inverse of the above.
  }
}

// ITU-R BT.601, rounded as libjpeg does: tf.io.decode_jpeg(channels=1) gives the same.
template <typename T>
constexpr T Luma(T red, T green, T blue) {
  return static_cast<T>((19595u * red + 38470u * green + 7471u * blue + 32768u) >> 16);
}

template <typename From, typename To>
void ConvertPixels(const TiffSamples& samples, const From* from, size_t pixels, To* to) {
  constexpr From kMax = std::numeric_limits<From>::max();
  const size_t stored = static_cast<size_t>(samples.stored);
  const size_t channels = static_cast<size_t>(samples.channels);
  if (samples.Plain()) {
    for (size_t i = 0; i < pixels * stored; ++i) to[i] = ScaleSample<To>(from[i]);
    return;
  }
  // Writes a pixel of any kind; Sample is what its colours are kept in, which for a palette is not what is stored.
  auto put = [channels](To* pixel, auto red, auto green, auto blue, auto alpha, bool colored) {
    using Sample = decltype(red);
    if (channels <= 2) {
      pixel[0] = ScaleSample<To>(colored ? Luma<Sample>(red, green, blue) : red);
      if (channels == 2) pixel[1] = ScaleSample<To>(alpha);
      return;
    }
    pixel[0] = ScaleSample<To>(red);
    pixel[1] = ScaleSample<To>(green);
    pixel[2] = ScaleSample<To>(blue);
    if (channels == 4) pixel[3] = ScaleSample<To>(alpha);
  };
  for (size_t i = 0; i < pixels; ++i, from += stored, to += channels) {
    switch (samples.color) {
      case TiffColor::kGrey:
      case TiffColor::kInvertedGrey: {
        const From grey = samples.color == TiffColor::kGrey ? from[0] : static_cast<From>(kMax - from[0]);
        put(to, grey, grey, grey, stored == 2 ? from[1] : kMax, false);
        break;
      }
      case TiffColor::kRgb:
        put(to, from[0], from[1], from[2], stored == 4 ? from[3] : kMax, true);
        break;
      case TiffColor::kPalette: {
        const uint16_t* entry = &samples.palette[3 * static_cast<size_t>(from[0])];  // It has 2^bits entries.
        put(to, entry[0], entry[1], entry[2], std::numeric_limits<uint16_t>::max(), true);
        break;
      }
    }
  }
}

}  // namespace tfcass

#endif  // TFCASS_OPS_DECODE_TIFF_SAMPLES_H_
