#include "ops/fetch/scan/page_sizer.h"

#include <gtest/gtest.h>

namespace tfcass {
namespace {

constexpr int64_t kAny = INT64_MAX;

TEST(PageSizerTest, FixedWidthRowsComeInLargePagesAtOnce) {
  PageSizer sizer(false, kAny);

  EXPECT_FALSE(sizer.probing());
  EXPECT_GE(sizer.Rows(), 5'000);
}

TEST(PageSizerTest, PagesGrowToSomeHundredKilobytes) {
  PageSizer sizer(true, kAny);
  EXPECT_TRUE(sizer.probing());
  EXPECT_EQ(sizer.Rows(), 4);
  int pages = 0;
  for (; sizer.Bytes(sizer.Rows()) < 400'000; ++pages) {
    ASSERT_LT(pages, 8);
    sizer.OnPage(sizer.Rows(), sizer.Rows() * 150);
    EXPECT_FALSE(sizer.probing());
  }

  EXPECT_NEAR(static_cast<double>(sizer.Rows()), 524288.0 / 150, 10);
}

TEST(PageSizerTest, RowsOf16MegabytesComeFewAtATime) {
  PageSizer sizer(true, kAny);
  for (int page = 0; page < 20; ++page) {
    EXPECT_LE(sizer.Rows(), 4);
    sizer.OnPage(sizer.Rows(), sizer.Rows() * (16 << 20));
  }
  EXPECT_EQ(sizer.Rows(), 1);
}

TEST(PageSizerTest, AfterALargeRowPagesStaySmallEnoughForMoreOfThem) {
  PageSizer sizer(true, kAny);
  sizer.OnPage(1, 16 << 20);
  for (int page = 0; page < 100; ++page) sizer.OnPage(100, 100 * 100);

  EXPECT_LE(sizer.Rows(), 4);
}

TEST(PageSizerTest, EmptyRangesEndTheProbing) {
  PageSizer sizer(true, kAny);
  sizer.OnPage(0, 0);
  EXPECT_TRUE(sizer.probing());
  sizer.OnPage(0, 0);

  EXPECT_FALSE(sizer.probing());
  EXPECT_EQ(sizer.Rows(), 4);
}

TEST(PageSizerTest, NeverMoreThanWasAllowed) {
  EXPECT_EQ(PageSizer(false, 3).Rows(), 3);
  EXPECT_EQ(PageSizer(true, 1).Rows(), 1);
  EXPECT_EQ(PageSizer(false, 0).Rows(), 1);
}

}  // namespace
}  // namespace tfcass
