#include "ops/fetch/ring/murmur3.h"

#include <gtest/gtest.h>

#include <vector>

namespace tfcass {
namespace {

// Computed with the Python driver, of 1 to 40 bytes (37 i + 11) % 256. tests/test_ring.py asks a server.
constexpr int64_t kTokens[] = {
    -7840828743381159449, -3461045251707128931, 7708685612437578929,  -3196167251021553806, -8325233194076824112,
    -9164905781720285189, 7769230177493487157,  -4778855543994828067, 1742807986804280977,  1979215391562794902,
    -2952023022999145052, 8681278921433032222,  2831357616052288142,  -8600651288557190070, -8703154124726179224,
    -2694165948723695365, 8698965027461138385,  2427264693553658704,  -4393567587366537425, 3272820248101104686,
    5171053443930370778,  -6197558753463382271, 693107041002944211,   -5349057885573403529, 7552613510986527875,
    9077606144827262450,  -841126903308921015,  -2842866623236229963, -9020646553810722129, 6655967088762531291,
    4669257817804012332,  -5804166939685258853, 8457326810448931356,  -1151051704868404743, -7504949509044154364,
    9200912037303370744,  5844377345768522494,  286015692598571798,   7258770169935458047,  -6248036598997523032,
};

TEST(Murmur3Test, GivesCassandrasTokensForEveryLength) {
  std::vector<uint8_t> bytes;
  for (const int64_t token : kTokens) {
    bytes.push_back(static_cast<uint8_t>(bytes.size() * 37 + 11));
    EXPECT_EQ(Murmur3Token(bytes.data(), bytes.size()), token) << bytes.size() << " bytes";
  }
}

TEST(Murmur3Test, ABytesSignCounts) {
  const uint8_t ones[] = {0xff, 0xff};
  EXPECT_EQ(Murmur3Token(ones, 1), -4442228696663692417);
  EXPECT_EQ(Murmur3Token(ones, 2), 6163071069786142063);
}

TEST(Murmur3Test, AKeyIsHashedAsItsBytes) {
  Key key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(i * 37 + 11);
  EXPECT_EQ(TokenOf(key), kTokens[15]);
}

TEST(Murmur3Test, NoBytesHaveTheLeastToken) { EXPECT_EQ(Murmur3Token(nullptr, 0), kMinimumToken); }

}  // namespace
}  // namespace tfcass
