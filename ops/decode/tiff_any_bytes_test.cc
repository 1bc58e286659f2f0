// What the fuzzer does, without one: files of many kinds, changed at random, with the same changes each time.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "ops/decode/any_bytes.h"
#include "ops/decode/tiff_writer.h"

namespace tfcass {
namespace {

bool DecodeText(const std::string& bytes) {
  return DecodeAnyBytes(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::vector<std::string> Files() {
  std::vector<std::string> files;
  for (const char* mode : {"wl", "wb", "wl8"}) {
    for (uint16_t compression : {COMPRESSION_NONE, COMPRESSION_LZW, COMPRESSION_ADOBE_DEFLATE, COMPRESSION_PACKBITS,
                                 COMPRESSION_JPEG, COMPRESSION_ZSTD, COMPRESSION_LZMA, COMPRESSION_WEBP}) {
      if (!TIFFIsCODECConfigured(compression)) continue;
      for (uint32_t tile : {0, 16}) {
        TiffFile file;
        file.mode = mode;
        file.compression = compression;
        file.tile = tile;
        file.rows_per_strip = 8;
        file.pages = 2;
        if (compression == COMPRESSION_JPEG && tile > 0) file.photometric = PHOTOMETRIC_YCBCR;
        if (compression == COMPRESSION_LZW) file.separate = true;
        if (compression == COMPRESSION_PACKBITS) file.bits = 16;
        files.push_back(WriteTiff(file));
      }
    }
  }
  return files;
}

TEST(TiffAnyBytesTest, WholeFilesHavePixels) {
  for (const std::string& file : Files()) EXPECT_TRUE(DecodeText(file));
}

TEST(TiffAnyBytesTest, ChangedFilesKeepThePromises) {
  constexpr uint8_t kTelling[] = {0, 1, 2, 7, 8, 16, 127, 128, 254, 255};
  const std::vector<std::string> files = Files();
  std::mt19937 random(20260101);
  const auto below = [&random](size_t n) { return random() % n; };  // The same everywhere, unlike std's distributions.
  int pixels = 0;
  int errors = 0;
  for (int turn = 0; turn < 5000; ++turn) {
    std::string bytes = files[below(files.size())];
    for (size_t change = 0; change <= below(4); ++change) {
      // The header and the directories are short, and the most is in them: half of the changes go near the ends.
      const size_t near = std::min<size_t>(bytes.size(), 300);
      size_t at = below(bytes.size());
      if (turn % 4 == 1) at = below(near);
      if (turn % 4 == 3) at = bytes.size() - 1 - below(near);
      switch (below(5)) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] = static_cast<char>(kTelling[below(sizeof(kTelling))]);
          break;
        case 2:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
          break;
        case 3:
          bytes.erase(at, 1 + below(8));
          break;
        case 4:
          bytes.insert(at, bytes.substr(below(bytes.size()), below(16)));
          break;
      }
      if (bytes.empty()) bytes = "I";
    }
    ++(DecodeText(bytes) ? pixels : errors);
  }
  // Both ends are reached: the changes are neither too weak nor too strong to try anything.
  EXPECT_GT(pixels, 500);
  EXPECT_GT(errors, 500);
}

}  // namespace
}  // namespace tfcass
