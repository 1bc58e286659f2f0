#include "ops/decode/tiff.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "ops/decode/tiff_writer.h"

namespace tfcass {
namespace {

struct Decoded {
  Status status;
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  std::vector<uint16_t> samples;  // Of either width.
};

Decoded Decode(const std::string& bytes, const TiffOptions& options) {
  Decoded decoded;
  std::unique_ptr<TiffPage> page;
  decoded.status = TiffPage::Open(bytes.data(), bytes.size(), options, &page);
  if (!decoded.status.ok()) return decoded;
  decoded.height = page->height();
  decoded.width = page->width();
  decoded.channels = page->channels();
  const size_t count = static_cast<size_t>(decoded.height * decoded.width * decoded.channels);
  if (options.bits == 16) {
    decoded.samples.resize(count);
    decoded.status = page->Read(decoded.samples.data());
  } else {
    std::vector<uint8_t> pixels(count);
    decoded.status = page->Read(pixels.data());
    decoded.samples.assign(pixels.begin(), pixels.end());
  }
  return decoded;
}

TiffOptions AsStored(const TiffFile& file) {
  TiffOptions options;
  options.bits = file.bits;
  return options;
}

std::vector<uint16_t> Written(const TiffFile& file, int page = 0) {
  std::vector<uint16_t> samples;
  for (uint32_t y = 0; y < file.height; ++y) {
    for (uint32_t x = 0; x < file.width; ++x) {
      for (int s = 0; s < file.samples; ++s) samples.push_back(file.At(page, y, x, s));
    }
  }
  return samples;
}

void ExpectRefused(const std::string& bytes, const TiffOptions& options, const std::string& message) {
  const Decoded decoded = Decode(bytes, options);
  EXPECT_EQ(decoded.status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(decoded.status.message().find(message), std::string::npos) << decoded.status.message();
}

TEST(TiffTest, GivesBackWhatWasWritten) {
  for (const char* mode : {"wl", "wb", "wl8", "wb8"}) {
    for (uint16_t bits : {8, 16}) {
      for (uint16_t samples : {1, 2, 3, 4}) {
        for (uint32_t tile : {0, 16}) {
          for (bool separate : {false, true}) {
            for (uint16_t compression : {COMPRESSION_NONE, COMPRESSION_LZW, COMPRESSION_ADOBE_DEFLATE,
                                         COMPRESSION_PACKBITS}) {
              TiffFile file;
              file.mode = mode;
              file.bits = bits;
              file.samples = samples;
              file.photometric = samples < 3 ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_RGB;
              file.tile = tile;
              file.separate = separate;
              file.compression = compression;
              SCOPED_TRACE(testing::Message() << mode << " bits " << bits << " samples " << samples << " tile " << tile
                                              << " separate " << separate << " compression " << compression);
              const Decoded decoded = Decode(WriteTiff(file), AsStored(file));
              ASSERT_TRUE(decoded.status.ok()) << decoded.status.message();
              ASSERT_EQ(decoded.samples, Written(file));
            }
          }
        }
      }
    }
  }
}

TEST(TiffTest, JpegIsNearAndInColour) {
  TiffFile file;
  file.width = file.height = 32;
  file.rows_per_strip = 16;
  file.photometric = PHOTOMETRIC_YCBCR;
  file.compression = COMPRESSION_JPEG;
  const Decoded decoded = Decode(WriteTiff(file), AsStored(file));
  ASSERT_TRUE(decoded.status.ok()) << decoded.status.message();
  const std::vector<uint16_t> written = Written(file);
  ASSERT_EQ(decoded.samples.size(), written.size());
  for (size_t i = 0; i < written.size(); ++i) ASSERT_NEAR(decoded.samples[i], written[i], 6) << i;
}

TEST(TiffTest, EachPageIsFoundAndTheOneAfterTheLastIsNot) {
  TiffFile file;
  file.pages = 3;
  const std::string bytes = WriteTiff(file);
  TiffOptions options;
  for (int page : {2, 0, 1}) {
    options.page = page;
    EXPECT_EQ(Decode(bytes, options).samples, Written(file, page));
  }
  options.page = 3;
  ExpectRefused(bytes, options, "page=3: the TIFF has 3 pages");
}

TEST(TiffTest, MemoryIsBoundedBeforeItIsTaken) {
  TiffFile file;
  TiffOptions options;
  options.max_bytes = 21 * 17 * 3;  // The pixels, and strips that are decoded in their place.
  EXPECT_TRUE(Decode(WriteTiff(file), options).status.ok());
  options.max_bytes -= 1;
  ExpectRefused(WriteTiff(file), options, "21 x 17 pixels need 1071 bytes, more than max_bytes=1070");

  file.tile = 512;  // One tile, many times the picture.
  options.max_bytes = 512 * 512 * 3;
  ExpectRefused(WriteTiff(file), options, "in tiles of 512 x 512 need 787503 bytes");
  options.max_bytes += 21 * 17 * 3;
  EXPECT_TRUE(Decode(WriteTiff(file), options).status.ok());
}

TEST(TiffTest, AFileThatIsCutAnywhereIsAnErrorOrWhole) {
  for (uint16_t compression : {COMPRESSION_NONE, COMPRESSION_LZW, COMPRESSION_JPEG}) {
    TiffFile file;
    file.compression = compression;
    if (compression == COMPRESSION_JPEG) file.rows_per_strip = 8;
    const std::string bytes = WriteTiff(file);
    const Decoded whole = Decode(bytes, AsStored(file));
    ASSERT_TRUE(whole.status.ok()) << whole.status.message();
    for (size_t size = 0; size < bytes.size(); ++size) {
      const Decoded decoded = Decode(std::string(bytes, 0, size), AsStored(file));
      // libtiff gives a missing last tag its default: the pixels are all there then.
      if (decoded.status.ok()) {
        EXPECT_EQ(decoded.samples, whole.samples) << size;
      } else {
        EXPECT_EQ(decoded.status.code(), StatusCode::kInvalidArgument);
      }
    }
  }
}

TEST(TiffTest, WhatIsNotSupportedIsNamed) {
  TiffFile file;
  file.photometric = PHOTOMETRIC_SEPARATED;
  file.samples = 4;
  ExpectRefused(WriteTiff(file), AsStored(file), "colours of kind 5 (CMYK) are not supported");
  ExpectRefused("GIF89a and more", {}, "not a TIFF");
  ExpectRefused("", {}, "not a TIFF");
  TiffOptions options;
  options.channels = 2;
  ExpectRefused(WriteTiff({}), options, "channels=2: expected 0 (as stored), 1, 3 or 4");
}

TEST(TiffTest, ThreadsDecodeAtOnce) {
  TiffFile file;
  file.compression = COMPRESSION_LZW;
  const std::string bytes = WriteTiff(file);
  const std::string cut = bytes.substr(0, bytes.size() / 2);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 50; ++turn) {
        EXPECT_EQ(Decode(bytes, AsStored(file)).samples, Written(file));
        EXPECT_FALSE(Decode(cut, AsStored(file)).status.ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace tfcass
