// TIFF files in memory, written by libtiff, for the tests of the decoder.
#ifndef TFCASS_OPS_DECODE_TIFF_WRITER_H_
#define TFCASS_OPS_DECODE_TIFF_WRITER_H_

#include <tiffio.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace tfcass {

struct TiffFile {
  uint32_t width = 21;
  uint32_t height = 17;
  uint16_t bits = 8;
  uint16_t samples = 3;
  uint16_t photometric = PHOTOMETRIC_RGB;
  uint16_t compression = COMPRESSION_NONE;
  uint32_t tile = 0;          // Width and height of a tile; 0: strips.
  uint32_t rows_per_strip = 6;
  bool separate = false;
  uint16_t pages = 1;
  std::string mode = "wl";    // l, b: byte order. 8: BigTIFF.

  // Sample `s` of a pixel, in the file's width. Pages differ. Smooth where JPEG has to keep it.
  uint16_t At(int page, uint32_t y, uint32_t x, int s) const {
    if (compression == COMPRESSION_JPEG) return static_cast<uint16_t>(40 + 2 * x + y + 40 * static_cast<uint32_t>(s));
    const uint32_t value = (x * 11 + y * 7 + static_cast<uint32_t>(s) * 50 + static_cast<uint32_t>(page) * 3) * 263;
    return static_cast<uint16_t>(bits == 8 ? value % 256 : value % 65536);
  }
};

// The file's bytes. Pixels outside the picture, in tiles that overhang, are 0.
inline std::string WriteTiff(const TiffFile& file) {
  struct Memory {
    std::string bytes;
    uint64_t position = 0;
  } memory;
  const auto read = [](thandle_t handle, void* to, tmsize_t count) -> tmsize_t {
    Memory* m = static_cast<Memory*>(handle);
    const uint64_t have = m->position < m->bytes.size() ? m->bytes.size() - m->position : 0;
    const uint64_t take = std::min<uint64_t>(static_cast<uint64_t>(count), have);
    std::memcpy(to, m->bytes.data() + m->position, take);
    m->position += take;
    return static_cast<tmsize_t>(take);
  };
  const auto write = [](thandle_t handle, void* from, tmsize_t count) -> tmsize_t {
    Memory* m = static_cast<Memory*>(handle);
    const uint64_t end = m->position + static_cast<uint64_t>(count);
    if (m->bytes.size() < end) m->bytes.resize(end);
    std::memcpy(&m->bytes[m->position], from, static_cast<size_t>(count));
    m->position = end;
    return count;
  };
  const auto seek = [](thandle_t handle, toff_t offset, int whence) -> toff_t {
    Memory* m = static_cast<Memory*>(handle);
    if (whence == SEEK_CUR) offset += m->position;
    if (whence == SEEK_END) offset += m->bytes.size();
    return m->position = offset;
  };
  const auto close = [](thandle_t) { return 0; };
  const auto size = [](thandle_t handle) -> toff_t { return static_cast<Memory*>(handle)->bytes.size(); };
  TIFF* tiff = TIFFClientOpen("test", file.mode.c_str(), &memory, read, write, seek, close, size, nullptr, nullptr);
  if (tiff == nullptr) throw std::runtime_error("libtiff cannot write a file in memory");
  for (int page = 0; page < file.pages; ++page) {
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, file.width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, file.height);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, file.bits);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, file.samples);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, file.photometric);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, file.compression);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, file.separate ? PLANARCONFIG_SEPARATE : PLANARCONFIG_CONTIG);
    if (file.samples == 2 || file.samples == 4) {
      const uint16_t alpha = EXTRASAMPLE_UNASSALPHA;
      TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &alpha);
    }
    if (file.photometric == PHOTOMETRIC_YCBCR) TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    uint32_t columns = file.width;
    uint32_t rows = file.rows_per_strip;
    if (file.tile > 0) {
      columns = rows = file.tile;
      TIFFSetField(tiff, TIFFTAG_TILEWIDTH, columns);
      TIFFSetField(tiff, TIFFTAG_TILELENGTH, rows);
    } else {
      TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, rows);
    }
    uint32_t number = 0;
    const int planes = file.separate ? file.samples : 1;
    const int together = file.separate ? 1 : file.samples;
    for (int plane = 0; plane < planes; ++plane) {
      for (uint32_t top = 0; top < file.height; top += rows) {
        for (uint32_t left = 0; left < file.width; left += columns, ++number) {
          const uint32_t stored_rows = file.tile > 0 ? rows : std::min(rows, file.height - top);
          std::vector<uint8_t> block;
          for (uint32_t y = top; y < top + stored_rows; ++y) {
            for (uint32_t x = left; x < left + columns; ++x) {
              for (int s = plane; s < plane + together; ++s) {
                const uint16_t value = y < file.height && x < file.width ? file.At(page, y, x, s) : uint16_t{0};
                const uint8_t bytes[2] = {static_cast<uint8_t>(value & 255), static_cast<uint8_t>(value >> 8)};
                block.insert(block.end(), bytes, bytes + file.bits / 8);  // libtiff takes the machine's order.
              }
            }
          }
          const tmsize_t length = static_cast<tmsize_t>(block.size());
          const tmsize_t wrote = file.tile > 0 ? TIFFWriteEncodedTile(tiff, number, block.data(), length)
                                               : TIFFWriteEncodedStrip(tiff, number, block.data(), length);
          if (wrote < 0) throw std::runtime_error("libtiff cannot write a block");
        }
      }
    }
    TIFFWriteDirectory(tiff);
  }
  TIFFClose(tiff);
  return memory.bytes;
}

}  // namespace tfcass

#endif  // TFCASS_OPS_DECODE_TIFF_WRITER_H_
