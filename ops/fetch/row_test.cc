#include "ops/fetch/row.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace tfcass {
namespace {

template <typename T>
T Read(std::string bytes) {
  return Cell{false, bytes}.As<T>();
}

TEST(CellTest, NumbersAreReadBigEndian) {
  EXPECT_EQ(Read<int8_t>("\xFF"), -1);
  EXPECT_EQ(Read<int16_t>(std::string("\x80\x00", 2)), std::numeric_limits<int16_t>::min());
  EXPECT_EQ(Read<int32_t>(std::string("\x00\x01\x02\x03", 4)), 0x010203);
  EXPECT_EQ(Read<int64_t>(std::string("\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFE", 8)), std::numeric_limits<int64_t>::max() - 1);
  EXPECT_EQ(Read<float>(std::string("\x3F\x80\x00\x00", 4)), 1.0f);
  EXPECT_EQ(Read<double>(std::string("\xC0\x00\x00\x00\x00\x00\x00\x00", 8)), -2.0);
  EXPECT_TRUE(Read<bool>("\x01"));
  EXPECT_FALSE(Read<bool>(std::string(1, '\0')));
}

}  // namespace
}  // namespace tfcass
