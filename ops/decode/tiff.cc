#include "ops/decode/tiff.h"

#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "ops/decode/tiff_samples.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

// What libtiff itself may ask for at once (tables of tags and blocks), however small max_bytes is.
constexpr int64_t kTableBytes = 16 << 20;

struct CloseTiff {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};

// The file, as libtiff reads it. It maps the bytes: compressed blocks are decoded where they lie.
struct Source {
  const uint8_t* bytes;
  uint64_t size;
  uint64_t position = 0;
};

tmsize_t ReadSource(thandle_t handle, void* to, tmsize_t wanted) {
  Source* source = static_cast<Source*>(handle);
  if (wanted <= 0 || source->position >= source->size) return 0;
  const uint64_t count = std::min<uint64_t>(static_cast<uint64_t>(wanted), source->size - source->position);
  std::memcpy(to, source->bytes + source->position, count);
  source->position += count;
  return static_cast<tmsize_t>(count);
}

tmsize_t WriteSource(thandle_t, void*, tmsize_t) { return 0; }

toff_t SeekSource(thandle_t handle, toff_t offset, int whence) {
  Source* source = static_cast<Source*>(handle);
  if (whence == SEEK_CUR) offset += source->position;
  if (whence == SEEK_END) offset += source->size;
  return source->position = offset;
}

int CloseSource(thandle_t) { return 0; }

toff_t SizeOfSource(thandle_t handle) { return static_cast<Source*>(handle)->size; }

int MapSource(thandle_t handle, void** base, toff_t* size) {
  Source* source = static_cast<Source*>(handle);
  *base = const_cast<uint8_t*>(source->bytes);  // Opened for reading: libtiff takes it for a read-only mapping.
  *size = source->size;
  return 1;
}

void UnmapSource(thandle_t, void*, toff_t) {}

// The first thing that libtiff had to complain of since it was last asked.
class Complaint {
 public:
  static int OnError(TIFF*, void* self, const char* module, const char* format, va_list arguments) {
    static_cast<Complaint*>(self)->Keep(module, format, arguments);
    return 1;  // Handled: the process's own handlers, which print, are left out.
  }

  // Most warnings are about tags that nobody needs. These are about pixels that are not in the file: libtiff would
  // leave them grey, or as the memory was.
  static int OnWarning(TIFF*, void* self, const char* module, const char* format, va_list arguments) {
    va_list copy;
    va_copy(copy, arguments);
    char text[256];
    std::vsnprintf(text, sizeof(text), format, copy);
    va_end(copy);
    const std::string_view said(text);
    const auto starts = [&said](std::string_view with) { return said.substr(0, with.size()) == with; };
    const bool lost = starts("Premature end of JPEG") || starts("Improper JPEG") ||
                      (starts("Corrupt JPEG data") && said.find("extraneous bytes") == std::string_view::npos);
    if (lost) static_cast<Complaint*>(self)->Keep(module, format, arguments);
    return 1;
  }

  bool empty() const { return text_[0] == '\0'; }
  const char* text() const { return empty() ? "libtiff gives no reason" : text_; }

 private:
  // Called from C: it takes no memory and throws nothing.
  void Keep(const char* module, const char* format, va_list arguments) {
    if (!empty()) return;  // The first is the cause, the others follow from it.
    const bool named = module != nullptr && *module != '\0';
    const int used = std::snprintf(text_, sizeof(text_), "%s: ", named ? module : "libtiff");
    const size_t at = std::min(static_cast<size_t>(std::max(used, 0)), sizeof(text_) - 1);
    std::vsnprintf(text_ + at, sizeof(text_) - at, format, arguments);
    for (char* c = text_; *c != '\0'; ++c) {  // It may quote the file.
      if (*c < ' ' || *c > '~') *c = '?';
    }
  }

  char text_[320] = {};
};

// Products of file-given numbers: more than an int64 holds is as good as the largest.
int64_t Times(int64_t a, int64_t b) {
  int64_t product;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<int64_t>::max() : product;
}

int64_t Plus(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<int64_t>::max() : sum;
}

int64_t CeilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0); }

const char* CompressionName(uint16_t compression) {
  switch (compression) {
    case COMPRESSION_CCITTRLE:
    case COMPRESSION_CCITTRLEW:
    case COMPRESSION_CCITTFAX3:
    case COMPRESSION_CCITTFAX4:
      return "CCITT fax";
    case COMPRESSION_OJPEG:
      return "old-style JPEG";
    case COMPRESSION_LERC:
      return "LERC";
    case 33003:
    case 33005:
    case 34712:
      return "JPEG 2000";
    default: {
      const TIFFCodec* codec = TIFFFindCODEC(compression);
      return codec == nullptr ? "not known" : codec->name;
    }
  }
}

bool Accepts(uint16_t compression) {
  switch (compression) {
    case COMPRESSION_NONE:
    case COMPRESSION_LZW:
    case COMPRESSION_ADOBE_DEFLATE:
    case COMPRESSION_DEFLATE:
    case COMPRESSION_PACKBITS:
    case COMPRESSION_JPEG:
    case COMPRESSION_ZSTD:
    case COMPRESSION_LZMA:
    case COMPRESSION_WEBP:
      return true;
  }
  return false;
}

const char* PhotometricName(uint16_t photometric) {
  switch (photometric) {
    case PHOTOMETRIC_MINISWHITE:
      return "WhiteIsZero";
    case PHOTOMETRIC_MINISBLACK:
      return "BlackIsZero";
    case PHOTOMETRIC_RGB:
      return "RGB";
    case PHOTOMETRIC_PALETTE:
      return "palette";
    case PHOTOMETRIC_MASK:
      return "transparency mask";
    case PHOTOMETRIC_SEPARATED:
      return "CMYK";
    case PHOTOMETRIC_YCBCR:
      return "YCbCr";
    case PHOTOMETRIC_CIELAB:
    case PHOTOMETRIC_ICCLAB:
    case PHOTOMETRIC_ITULAB:
      return "L*a*b*";
    case PHOTOMETRIC_CFA:
      return "colour filter array";
    default:
      return "not known";
  }
}

uint16_t ShortField(TIFF* tiff, uint32_t tag, uint16_t otherwise) {
  uint16_t value = 0;
  return TIFFGetFieldDefaulted(tiff, tag, &value) ? value : otherwise;
}

// Memory without a throw and without being touched: 0 bytes give null.
Status Allocate(int64_t bytes, std::unique_ptr<uint8_t[]>* memory) {
  if (bytes == 0) return OkStatus();
  memory->reset(new (std::nothrow) uint8_t[static_cast<size_t>(bytes)]);
  if (*memory == nullptr) return Internal(StrCat("no memory for ", bytes, " bytes of a TIFF's pixels"));
  return OkStatus();
}

}  // namespace

Status TiffOptions::Validate() const {
  if (channels != 0 && channels != 1 && channels != 3 && channels != 4) {
    return InvalidArgument(StrCat("channels=", channels, ": expected 0 (as stored), 1, 3 or 4"));
  }
  if (bits != 8 && bits != 16) return InvalidArgument(StrCat("bits=", bits, ": expected 8 or 16"));
  if (page < 0 || page > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument(StrCat("page=", page, ": expected at least 0"));
  }
  if (max_bytes < 1) return InvalidArgument(StrCat("max_bytes=", max_bytes, ": expected at least 1"));
  return OkStatus();
}

struct TiffPage::State {
  Status OpenFile();
  Status FindPage();
  Status ReadLayout();
  Status ReadColors();
  Status ReadPalette(uint16_t photometric);
  Status CheckSize();

  // Blocks of one plane, or of all samples side by side.
  Status ReadBlock(int64_t block, int64_t bytes, void* to);
  // A block with its samples side by side, whatever the file does.
  Status ReadInterleaved(int64_t block, int64_t pixels, uint8_t* plane, uint8_t* to);
  void Convert(const uint8_t* from, int64_t pixels, uint8_t* to) const;

  Status Bad(const std::string& what) const { return InvalidArgument(StrCat("TIFF page ", options.page, ": ", what)); }
  int64_t stored_bytes() const { return stored_bits / 8; }
  int64_t pixel_bytes() const { return samples.channels * options.bits / 8; }
  int64_t planes() const { return separate ? samples.stored : 1; }
  // Whether strips are the result's rows as they are: then they are decoded straight into it.
  bool direct() const { return !tiled && !separate && samples.Plain() && stored_bits == options.bits; }
  int64_t block_bytes() const { return Times(Times(block_rows, block_columns), samples.stored * stored_bytes()); }

  TiffOptions options;
  Source source;
  Complaint complaint;
  std::unique_ptr<TIFF, CloseTiff> tiff;  // Below what it points to.

  int64_t width = 0;
  int64_t height = 0;
  int64_t stored_bits = 0;
  TiffSamples samples;
  bool separate = false;  // Each sample in a plane of its own.
  bool tiled = false;
  int64_t block_rows = 0;
  int64_t block_columns = 0;
};

Status TiffPage::State::OpenFile() {
  std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> how(TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
  if (how == nullptr) return Internal("no memory to open a TIFF");
  TIFFOpenOptionsSetErrorHandlerExtR(how.get(), Complaint::OnError, &complaint);
  TIFFOpenOptionsSetWarningHandlerExtR(how.get(), Complaint::OnWarning, &complaint);
  TIFFOpenOptionsSetMaxSingleMemAlloc(how.get(), std::max(options.max_bytes, kTableBytes));
  // c: a large strip stays one; libtiff would cut an uncompressed one into many.
  tiff.reset(TIFFClientOpenExt("file", "rc", &source, ReadSource, WriteSource, SeekSource, CloseSource, SizeOfSource,
                               MapSource, UnmapSource, how.get()));
  if (tiff != nullptr) return OkStatus();
  return InvalidArgument(StrCat("not a TIFF, or damaged, in ", source.size, " bytes: ", complaint.text()));
}

Status TiffPage::State::FindPage() {
  if (options.page == 0) return OkStatus();  // Opening read it.
  if (TIFFSetDirectory(tiff.get(), static_cast<tdir_t>(options.page))) return OkStatus();
  const std::string reason = complaint.text();
  const int64_t pages = TIFFNumberOfDirectories(tiff.get());
  if (options.page >= pages) {
    return InvalidArgument(StrCat("page=", options.page, ": the TIFF has ", pages, pages == 1 ? " page" : " pages",
                                  ", counted from 0"));
  }
  return Bad(StrCat("damaged: ", reason));
}

Status TiffPage::State::ReadLayout() {
  uint32_t columns = 0;
  uint32_t rows = 0;
  TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &columns);
  TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &rows);
  width = columns;
  height = rows;
  if (width == 0 || height == 0) return Bad(StrCat("it has no pixels: width ", width, ", height ", height));

  const uint16_t compression = ShortField(tiff.get(), TIFFTAG_COMPRESSION, COMPRESSION_NONE);
  if (!Accepts(compression)) {
    return Bad(StrCat("compression ", compression, " (", CompressionName(compression),
                      ") is not supported: expected none, LZW, Deflate, PackBits, JPEG, ZSTD, LZMA or WebP"));
  }
  if (!TIFFIsCODECConfigured(compression)) {
    return Bad(StrCat("compression ", compression, " (", CompressionName(compression),
                      ") is missing from the libtiff on this machine"));
  }

  // A block may hold more than its pixels (writers that fill up the last strip do it). With libdeflate, libtiff 4.5
  // then leaves up to 257 of the last bytes as they were in memory; with zlib it fills them.
  if (compression == COMPRESSION_ADOBE_DEFLATE || compression == COMPRESSION_DEFLATE) {
    TIFFSetField(tiff.get(), TIFFTAG_DEFLATE_SUBCODEC, DEFLATE_SUBCODEC_ZLIB);
  }

  stored_bits = ShortField(tiff.get(), TIFFTAG_BITSPERSAMPLE, 1);
  if (stored_bits != 8 && stored_bits != 16) {
    return Bad(StrCat(stored_bits, " bits a sample are not supported: expected 8 or 16"));
  }
  const uint16_t format = ShortField(tiff.get(), TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
  if (format != SAMPLEFORMAT_UINT && format != SAMPLEFORMAT_VOID) {
    return Bad(StrCat("samples are ", format == SAMPLEFORMAT_INT ? "signed" : "not whole numbers", " (format ", format,
                      "): expected unsigned whole numbers"));
  }
  const uint16_t planar = ShortField(tiff.get(), TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  samples.stored = ShortField(tiff.get(), TIFFTAG_SAMPLESPERPIXEL, 1);
  separate = planar == PLANARCONFIG_SEPARATE && samples.stored > 1;

  tiled = TIFFIsTiled(tiff.get());
  uint32_t block_width = columns;
  uint32_t block_height = rows;
  if (tiled) {
    TIFFGetField(tiff.get(), TIFFTAG_TILEWIDTH, &block_width);
    TIFFGetField(tiff.get(), TIFFTAG_TILELENGTH, &block_height);
  } else {
    TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_ROWSPERSTRIP, &block_height);
    block_height = std::min(block_height, rows);
  }
  block_columns = block_width;
  block_rows = block_height;
  if (block_columns == 0 || block_rows == 0) {
    return Bad(StrCat(tiled ? "tiles" : "strips", " of ", block_columns, " x ", block_rows, " pixels"));
  }
  return OkStatus();
}

Status TiffPage::State::ReadColors() {
  const uint16_t compression = ShortField(tiff.get(), TIFFTAG_COMPRESSION, COMPRESSION_NONE);
  uint16_t photometric = samples.stored <= 2 ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_RGB;  // If the file does not tell.
  TIFFGetField(tiff.get(), TIFFTAG_PHOTOMETRIC, &photometric);
  int fewest = 1;
  int most = 2;
  switch (photometric) {
    case PHOTOMETRIC_MINISBLACK:
      samples.color = TiffColor::kGrey;
      break;
    case PHOTOMETRIC_MINISWHITE:
      samples.color = TiffColor::kInvertedGrey;
      break;
    case PHOTOMETRIC_RGB:
      samples.color = TiffColor::kRgb;
      fewest = 3;
      most = 4;
      break;
    case PHOTOMETRIC_YCBCR:
      if (compression != COMPRESSION_JPEG || separate) {
        return Bad("YCbCr is supported inside JPEG, with samples side by side; store RGB");
      }
      // Before any size is asked for: from here on libtiff counts, and the JPEG decoder gives, RGB.
      TIFFSetField(tiff.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
      samples.color = TiffColor::kRgb;
      fewest = most = 3;
      break;
    case PHOTOMETRIC_PALETTE:
      samples.color = TiffColor::kPalette;
      most = 1;
      break;
    default:
      return Bad(StrCat("colours of kind ", photometric, " (", PhotometricName(photometric),
                        ") are not supported: expected grey, RGB, palette, or YCbCr inside JPEG"));
  }
  if (samples.stored < fewest || samples.stored > most) {
    return Bad(StrCat(samples.stored, " samples a pixel in ", PhotometricName(photometric), ": expected ", fewest,
                      most > fewest ? StrCat(" or ", most) : ""));
  }
  samples.channels = static_cast<int>(options.channels);
  if (samples.channels == 0) samples.channels = samples.color == TiffColor::kPalette ? 3 : samples.stored;
  return samples.color == TiffColor::kPalette ? ReadPalette(photometric) : OkStatus();
}

Status TiffPage::State::ReadPalette(uint16_t photometric) {
  uint16_t* red = nullptr;
  uint16_t* green = nullptr;
  uint16_t* blue = nullptr;
  if (!TIFFGetField(tiff.get(), TIFFTAG_COLORMAP, &red, &green, &blue)) {
    return Bad(StrCat("colours of kind ", PhotometricName(photometric), " without a colour map"));
  }
  const size_t entries = size_t{1} << stored_bits;
  samples.palette.resize(3 * entries);
  uint16_t brightest = 0;
  for (size_t i = 0; i < entries; ++i) {
    samples.palette[3 * i] = red[i];
    samples.palette[3 * i + 1] = green[i];
    samples.palette[3 * i + 2] = blue[i];
    brightest = std::max({brightest, red[i], green[i], blue[i]});
  }
  // Old writers filled in 8 bits where the format has 16; libtiff's own tools look at it in the same way.
  if (brightest < 256) {
    for (uint16_t& color : samples.palette) color = static_cast<uint16_t>(color * 257);
  }
  return OkStatus();
}

Status TiffPage::State::CheckSize() {
  const int64_t pixels = Times(Times(width, height), pixel_bytes());
  // Blocks are decoded whole: a small picture in huge tiles costs what the tiles cost.
  const int64_t across = CeilDiv(width, block_columns);
  const int64_t down = CeilDiv(height, block_rows);
  const int64_t decoded = tiled ? Times(Times(across, down), block_bytes())
                                : Times(Times(width, height), samples.stored * stored_bytes());
  const int64_t scratch = direct() ? 0 : Plus(block_bytes(), separate ? block_bytes() / samples.stored : 0);
  const int64_t wanted = std::max(Plus(pixels, scratch), decoded);
  if (wanted > options.max_bytes) {
    return Bad(StrCat(width, " x ", height, " pixels",
                      tiled ? StrCat(" in tiles of ", block_columns, " x ", block_rows) : "", " need ", wanted,
                      " bytes, more than max_bytes=", options.max_bytes));
  }
  // libtiff's own idea of a block must be ours: it is what it writes.
  const uint64_t block = tiled ? TIFFTileSize64(tiff.get())
                               : TIFFVStripSize64(tiff.get(), static_cast<uint32_t>(block_rows));
  if (static_cast<int64_t>(block) != block_bytes() / planes()) {
    return Bad(StrCat("a ", tiled ? "tile" : "strip", " of ", block_columns, " x ", block_rows, " pixels has ", block,
                      " bytes: expected ", block_bytes() / planes()));
  }
  return OkStatus();
}

Status TiffPage::State::ReadBlock(int64_t block, int64_t bytes, void* to) {
  const uint32_t number = static_cast<uint32_t>(block);
  const tmsize_t got = tiled ? TIFFReadEncodedTile(tiff.get(), number, to, bytes)
                             : TIFFReadEncodedStrip(tiff.get(), number, to, bytes);
  if (got == bytes && complaint.empty()) return OkStatus();
  return Bad(StrCat(tiled ? "tile " : "strip ", block, " is damaged or cut off: ", complaint.text()));
}

Status TiffPage::State::ReadInterleaved(int64_t block, int64_t pixels, uint8_t* plane, uint8_t* to) {
  const int64_t sample_bytes = stored_bytes();
  if (!separate) return ReadBlock(block, pixels * samples.stored * sample_bytes, to);
  const int64_t blocks = tiled ? TIFFNumberOfTiles(tiff.get()) : TIFFNumberOfStrips(tiff.get());
  for (int sample = 0; sample < samples.stored; ++sample) {
    TFCASS_RETURN_IF_ERROR(ReadBlock(block + sample * (blocks / samples.stored), pixels * sample_bytes, plane));
    uint8_t* place = to + sample * sample_bytes;
    for (int64_t i = 0; i < pixels; ++i, place += samples.stored * sample_bytes) {
      std::memcpy(place, plane + i * sample_bytes, static_cast<size_t>(sample_bytes));
    }
  }
  return OkStatus();
}

void TiffPage::State::Convert(const uint8_t* from, int64_t pixels, uint8_t* to) const {
  const size_t count = static_cast<size_t>(pixels);
  const uint16_t* from16 = reinterpret_cast<const uint16_t*>(from);
  uint16_t* to16 = reinterpret_cast<uint16_t*>(to);
  if (stored_bits == 8 && options.bits == 8) ConvertPixels(samples, from, count, to);
  if (stored_bits == 8 && options.bits == 16) ConvertPixels(samples, from, count, to16);
  if (stored_bits == 16 && options.bits == 8) ConvertPixels(samples, from16, count, to);
  if (stored_bits == 16 && options.bits == 16) ConvertPixels(samples, from16, count, to16);
}

Status TiffPage::Open(const void* bytes, size_t size, const TiffOptions& options, std::unique_ptr<TiffPage>* page) {
  TFCASS_RETURN_IF_ERROR(options.Validate());
  auto state = std::make_unique<State>();
  state->options = options;
  state->source = {static_cast<const uint8_t*>(bytes), size};
  TFCASS_RETURN_IF_ERROR(state->OpenFile());
  TFCASS_RETURN_IF_ERROR(state->FindPage());
  TFCASS_RETURN_IF_ERROR(state->ReadLayout());
  TFCASS_RETURN_IF_ERROR(state->ReadColors());
  TFCASS_RETURN_IF_ERROR(state->CheckSize());
  state->complaint = Complaint();  // What it had to say of other tags is no reason for a block to fail.
  page->reset(new TiffPage(std::move(state)));
  return OkStatus();
}

TiffPage::TiffPage(std::unique_ptr<State> state) : state_(std::move(state)) {}
TiffPage::~TiffPage() = default;

int64_t TiffPage::height() const { return state_->height; }
int64_t TiffPage::width() const { return state_->width; }
int64_t TiffPage::channels() const { return state_->samples.channels; }

Status TiffPage::Read(void* pixels) {
  State& s = *state_;
  uint8_t* const to = static_cast<uint8_t*>(pixels);
  std::unique_ptr<uint8_t[]> block;
  std::unique_ptr<uint8_t[]> plane;
  if (!s.direct()) {
    TFCASS_RETURN_IF_ERROR(Allocate(s.block_bytes(), &block));
    if (s.separate) TFCASS_RETURN_IF_ERROR(Allocate(s.block_bytes() / s.samples.stored, &plane));
  }
  int64_t number = 0;
  for (int64_t top = 0; top < s.height; top += s.block_rows) {
    const int64_t rows = std::min(s.block_rows, s.height - top);
    for (int64_t left = 0; left < s.width; left += s.block_columns, ++number) {
      uint8_t* const corner = to + (top * s.width + left) * s.pixel_bytes();
      if (s.direct()) {
        TFCASS_RETURN_IF_ERROR(s.ReadBlock(number, rows * s.width * s.pixel_bytes(), corner));
        continue;
      }
      // A file has tiles whole, and the last strip as far as the picture goes.
      const int64_t stored_rows = s.tiled ? s.block_rows : rows;
      TFCASS_RETURN_IF_ERROR(s.ReadInterleaved(number, stored_rows * s.block_columns, plane.get(), block.get()));
      const int64_t columns = std::min(s.block_columns, s.width - left);
      for (int64_t row = 0; row < rows; ++row) {
        const uint8_t* from = block.get() + row * s.block_columns * s.samples.stored * s.stored_bytes();
        s.Convert(from, columns, corner + row * s.width * s.pixel_bytes());
      }
    }
  }
  return OkStatus();
}

}  // namespace tfcass
