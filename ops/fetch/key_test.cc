#include "ops/fetch/key.h"

#include <gtest/gtest.h>

namespace tfcass {
namespace {

TEST(KeyTest, TextIsTheUuidInItsBytesOrder) {
  Key key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(i * 17);
  EXPECT_EQ(ToUuidText(key), "00112233-4455-6677-8899-aabbccddeeff");
}

}  // namespace
}  // namespace tfcass
