#include "ops/decode/tiff_samples.h"

#include <gtest/gtest.h>

namespace tfcass {
namespace {

using Bytes = std::vector<uint8_t>;
using Shorts = std::vector<uint16_t>;

template <typename To, typename From>
std::vector<To> Convert(const TiffSamples& samples, const std::vector<From>& from) {
  const size_t pixels = from.size() / static_cast<size_t>(samples.stored);
  std::vector<To> to(pixels * static_cast<size_t>(samples.channels));
  ConvertPixels(samples, from.data(), pixels, to.data());
  return to;
}

TiffSamples Samples(TiffColor color, int stored, int channels) {
  TiffSamples samples;
  samples.color = color;
  samples.stored = stored;
  samples.channels = channels;
  return samples;
}

TEST(TiffSamplesTest, WidthsAreScaledSoThatWhiteStaysWhite) {
  const TiffSamples grey = Samples(TiffColor::kGrey, 1, 1);
  EXPECT_EQ((Convert<uint16_t>(grey, Bytes{0, 1, 200, 255})), (Shorts{0, 257, 51400, 65535}));
  EXPECT_EQ((Convert<uint8_t>(grey, Shorts{0, 255, 256, 40000, 65535})), (Bytes{0, 0, 1, 156, 255}));
}

TEST(TiffSamplesTest, GreyIsRepeatedAndAMissingAlphaIsOpaque) {
  EXPECT_EQ((Convert<uint8_t>(Samples(TiffColor::kGrey, 1, 3), Bytes{7, 9})), (Bytes{7, 7, 7, 9, 9, 9}));
  EXPECT_EQ((Convert<uint8_t>(Samples(TiffColor::kGrey, 1, 4), Bytes{7})), (Bytes{7, 7, 7, 255}));
  EXPECT_EQ((Convert<uint16_t>(Samples(TiffColor::kRgb, 3, 4), Shorts{1, 2, 3})), (Shorts{1, 2, 3, 65535}));
}

TEST(TiffSamplesTest, AnAlphaIsKeptOrDroppedAndNeverBlended) {
  EXPECT_EQ((Convert<uint8_t>(Samples(TiffColor::kGrey, 2, 4), Bytes{10, 100})), (Bytes{10, 10, 10, 100}));
  EXPECT_EQ((Convert<uint8_t>(Samples(TiffColor::kGrey, 2, 1), Bytes{10, 100})), (Bytes{10}));
  EXPECT_EQ((Convert<uint8_t>(Samples(TiffColor::kRgb, 4, 3), Bytes{10, 20, 30, 40})), (Bytes{10, 20, 30}));
}

TEST(TiffSamplesTest, GreyFromColourIsTheLumaOfJpeg) {
  EXPECT_EQ((Convert<uint8_t>(Samples(TiffColor::kRgb, 3, 1), Bytes{255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255})),
            (Bytes{76, 150, 29, 255}));
  EXPECT_EQ((Convert<uint16_t>(Samples(TiffColor::kRgb, 3, 1), Shorts{65535, 65535, 65535})), (Shorts{65535}));
}

TEST(TiffSamplesTest, WhiteIsZeroIsInvertedButNotItsAlpha) {
  EXPECT_EQ((Convert<uint8_t>(Samples(TiffColor::kInvertedGrey, 1, 1), Bytes{0, 55})), (Bytes{255, 200}));
  EXPECT_EQ((Convert<uint16_t>(Samples(TiffColor::kInvertedGrey, 2, 2), Shorts{1, 9})), (Shorts{65534, 9}));
}

TEST(TiffSamplesTest, APaletteGivesItsSixteenBitColours) {
  TiffSamples samples = Samples(TiffColor::kPalette, 1, 3);
  samples.palette.assign(3 * 256, 0);
  samples.palette[3 * 5] = 0x1234;
  samples.palette[3 * 5 + 1] = 0xFFFF;
  EXPECT_EQ((Convert<uint16_t>(samples, Bytes{5, 4})), (Shorts{0x1234, 0xFFFF, 0, 0, 0, 0}));
  EXPECT_EQ((Convert<uint8_t>(samples, Bytes{5})), (Bytes{0x12, 0xFF, 0}));
  samples.channels = 4;
  EXPECT_EQ((Convert<uint8_t>(samples, Bytes{5})), (Bytes{0x12, 0xFF, 0, 0xFF}));
}

}  // namespace
}  // namespace tfcass
